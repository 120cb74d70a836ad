#pragma once
#include "base/bytes.hpp"

namespace mwtun {

/// Where the core gets randomness from: the kernel in the program (dataplane/io/os_entropy), a seed
/// in tests. Never called per packet.
class Entropy {
 public:
  virtual ~Entropy() = default;
  virtual void fill(MutableBytes out) = 0;

  std::uint32_t u32() {
    std::uint8_t bytes[4];
    fill(bytes);
    return load_le32(bytes);
  }
  std::uint64_t u64() {
    std::uint8_t bytes[8];
    fill(bytes);
    return load_le64(bytes);
  }
};

}  // namespace mwtun
