#include "crypto/init.hpp"

/// Before any test; the library picks its implementations by processor here.
[[maybe_unused]] static const bool started = mwtun::crypto_start();
