#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/entropy.hpp"
#include "base/prng.hpp"

namespace mwtun::test {

/// The same bytes for the same seed.
class SeededEntropy final : public Entropy {
 public:
  explicit SeededEntropy(std::uint64_t seed) : prng_(seed) {}
  void fill(MutableBytes out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(prng_.next() >> 56);
  }

 private:
  Prng prng_;
};

/// Exactly the bytes given, in order; asking for more than there are is a broken test.
class ScriptedEntropy final : public Entropy {
 public:
  explicit ScriptedEntropy(Bytes script) : script_(script.begin(), script.end()) {}
  void fill(MutableBytes out) override {
    MWTUN_ASSERT(out.size() <= script_.size() - used_);
    std::copy_n(script_.begin() + static_cast<std::ptrdiff_t>(used_), out.size(), out.begin());
    used_ += out.size();
  }
  bool used_up() const { return used_ == script_.size(); }

 private:
  std::vector<std::uint8_t> script_;
  std::size_t used_ = 0;
};

}  // namespace mwtun::test
