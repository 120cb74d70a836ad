#pragma once
#include "base/entropy.hpp"

namespace mwtun {

/// The kernel's random numbers. Waits once, early in boot, until the kernel has gathered enough.
class OsEntropy : public Entropy {
 public:
  void fill(MutableBytes out) override;
};

}  // namespace mwtun
