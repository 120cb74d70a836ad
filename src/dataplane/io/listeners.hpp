#pragma once
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "dataplane/io/udp_socket.hpp"

namespace mwtun {

/// A socket with the number the core knows it by.
struct NumberedSocket {
  SocketId id{};
  UdpSocket socket;
};

/// A server's sockets for each worker: one an address, numbered from 0. The kernel gives each
/// worker what is for it (steering_program.hpp) by the order in which they were bound, so all stay
/// open for the process's life. Where it can't, there is one worker, with a line in `warnings`;
/// [::] is left out, with a line, on a machine without IPv6 when there are other addresses.
Result<std::vector<std::vector<NumberedSocket>>> open_listeners(
    const std::vector<Address>& addresses, std::uint32_t buffer_bytes, unsigned workers,
    std::vector<std::string>& warnings);

}  // namespace mwtun
