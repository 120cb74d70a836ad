#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace mwtun {

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "mwtun: bug: %s:%d: %s does not hold\n", file, line, condition);
  std::abort();
}

}  // namespace mwtun
