#pragma once
#include <cstdint>

namespace mwtun {

/// Memory of this machine; UINT64_MAX where it cannot be told, as then there is no reason to be
/// frugal.
std::uint64_t memory_bytes();

/// Cores that this process may use (sched_getaffinity); at least 1.
unsigned usable_cores();

}  // namespace mwtun
