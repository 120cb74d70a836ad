#include "crypto/memory.hpp"

#include <sodium.h>

namespace mwtun {

void wipe(MutableBytes bytes) {
  sodium_memzero(bytes.data(), bytes.size());
}

bool equal_constant_time(Bytes a, Bytes b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace mwtun
