#pragma once
#include <cstdint>

#include "base/bytes.hpp"

namespace mwtun {

/// Internet checksum (RFC 1071): adds 16-bit words to `sum`. The words are read little-endian, so
/// fold(sum) is to be written with store_le(): the order of the two bytes does not matter as long
/// as it is the same for both.
inline std::uint64_t add_words(Bytes bytes, std::uint64_t sum) {
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint64_t words = load_le64(at);
    sum += (words & 0xffffffff) + (words >> 32);
  }
  if (left > 0) {
    const std::uint64_t words = load_le(at, left);
    sum += (words & 0xffffffff) + (words >> 32);
  }
  return sum;
}

inline std::uint16_t fold(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

}  // namespace mwtun
