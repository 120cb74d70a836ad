#include "dataplane/io/kernel_version.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>

namespace mwtun {

unsigned kernel_version_of(const char* release) {
  unsigned major = 0, minor = 0, patch = 0;
  if (std::sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2) return 0;
  return major * 1'000'000 + std::min(minor, 999u) * 1'000 + std::min(patch, 999u);
}

unsigned kernel_version() {
  utsname name{};
  return uname(&name) == 0 ? kernel_version_of(name.release) : 0;
}

}  // namespace mwtun
