#pragma once
#include <linux/filter.h>

#include <cstddef>
#include <vector>

#include "base/result.hpp"

namespace mwtun {

/// worker_of() (dataplane/steering.hpp) as a classic BPF program over the UDP payload.
std::vector<sock_filter> steering_program(unsigned workers);

/// Has the kernel choose among the sockets that share the port of `fd` (SO_REUSEPORT), numbered in
/// the order in which they were bound (SO_ATTACH_REUSEPORT_CBPF, Linux 4.5).
Result<void> attach_steering(int fd, unsigned workers);

}  // namespace mwtun
