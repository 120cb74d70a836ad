#include "crypto/init.hpp"

#include <sodium.h>

namespace mwtun {

bool crypto_start() {
  return sodium_init() >= 0;
}

}  // namespace mwtun
