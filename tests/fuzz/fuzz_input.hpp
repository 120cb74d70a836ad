#pragma once
#include <algorithm>
#include <cstdint>

#include "base/bytes.hpp"

namespace mwtun::test {

/// A fuzzer's bytes as choices. When they run out everything is zero.
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : reader_(Bytes(data, size)) {}
  bool empty() const { return reader_.size() == 0; }
  std::uint8_t byte() { return reader_.size() == 0 ? std::uint8_t{0} : reader_.u8(); }
  std::uint64_t number(std::size_t width) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i) value = value << 8 | byte();
    return value;
  }
  /// As many of `count` bytes as there are.
  Bytes bytes(std::size_t count) { return reader_.take(std::min(count, reader_.size())); }
  Bytes rest() { return reader_.take(reader_.size()); }

 private:
  Reader reader_;
};

}  // namespace mwtun::test

/// libFuzzer's entry; each target defines it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
