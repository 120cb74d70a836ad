#include "dataplane/io/kernel_version.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>

namespace mwtun {

unsigned kernel_version() {
  utsname name{};
  unsigned major = 0, minor = 0, patch = 0;
  if (uname(&name) != 0) return 0;
  if (std::sscanf(name.release, "%u.%u.%u", &major, &minor, &patch) < 2) return 0;
  return major * 1'000'000 + minor * 1'000 + std::min(patch, 999u);
}

}  // namespace mwtun
