#pragma once
#include "base/bytes.hpp"

namespace mwtun {

/// Overwrites with zeros in a way the compiler may not leave out.
void wipe(MutableBytes bytes);

/// Compares in a time that depends on the sizes only. Different sizes are unequal.
[[nodiscard]] bool equal_constant_time(Bytes a, Bytes b);

}  // namespace mwtun
