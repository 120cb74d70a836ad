#include "dataplane/io/os_entropy.hpp"

#include <sys/random.h>

#include <cerrno>

namespace mwtun {

void OsEntropy::fill(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      // Without randomness there are no keys; carrying on would be worse than ending.
      MWTUN_ASSERT(errno == EINTR);
      continue;
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace mwtun
