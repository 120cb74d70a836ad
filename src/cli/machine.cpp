#include "cli/machine.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace mwtun {

std::uint64_t memory_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return UINT64_MAX;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page);
}

unsigned usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  // Fails where the kernel knows more cores than the set has room for: then there are plenty.
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) {
    return static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  }
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&cores)));
}

}  // namespace mwtun
