#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/assert.hpp"

namespace mwtun {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

/// Little-endian load of the low `width` bytes (1 to 8). The wire is little-endian throughout.
/// Always inline, since GCC leaves a loop a loop, and what was written byte by byte makes whoever
/// reads it as words wait.
[[gnu::always_inline]] constexpr std::uint64_t load_le(const std::uint8_t* at, std::size_t width) {
  std::uint64_t value = 0;
  if (!std::is_constant_evaluated() && std::endian::native == std::endian::little) {
    std::memcpy(&value, at, width);
    return value;
  }
  for (std::size_t i = width; i > 0; --i) value = value << 8 | at[i - 1];
  return value;
}
[[gnu::always_inline]] constexpr void store_le(std::uint8_t* at, std::uint64_t value,
                                               std::size_t width) {
  if (!std::is_constant_evaluated() && std::endian::native == std::endian::little) {
    std::memcpy(at, &value, width);
    return;
  }
  for (std::size_t i = 0; i < width; ++i, value >>= 8) at[i] = static_cast<std::uint8_t>(value);
}
constexpr std::uint16_t load_le16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(load_le(at, 2));
}
constexpr std::uint32_t load_le32(const std::uint8_t* at) {
  return static_cast<std::uint32_t>(load_le(at, 4));
}
constexpr std::uint64_t load_le64(const std::uint8_t* at) { return load_le(at, 8); }
/// Big-endian, for the headers of the frames we look into.
constexpr std::uint16_t load_be16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}
constexpr std::uint32_t load_be32(const std::uint8_t* at) {
  return static_cast<std::uint32_t>(load_be16(at)) << 16 | load_be16(at + 2);
}
constexpr void store_be16(std::uint8_t* at, std::uint16_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8), at[1] = static_cast<std::uint8_t>(value);
}
constexpr void store_be32(std::uint8_t* at, std::uint32_t value) {
  store_be16(at, static_cast<std::uint16_t>(value >> 16));
  store_be16(at + 2, static_cast<std::uint16_t>(value));
}

/// Reads fields front to back. Past the end every read gives zero (or an empty span) and ok() turns
/// false for good, so a parser checks once, after the last field, before it acts.
class Reader {
 public:
  explicit constexpr Reader(Bytes bytes) : rest_(bytes) {}
  [[gnu::always_inline]] constexpr std::uint64_t uint(std::size_t width) {
    const Bytes field = take(width);
    return field.size() == width ? load_le(field.data(), width) : 0;
  }
  constexpr std::uint8_t u8() { return static_cast<std::uint8_t>(uint(1)); }
  constexpr std::uint16_t u16() { return static_cast<std::uint16_t>(uint(2)); }
  constexpr std::uint32_t u24() { return static_cast<std::uint32_t>(uint(3)); }
  constexpr std::uint32_t u32() { return static_cast<std::uint32_t>(uint(4)); }
  constexpr std::uint64_t u64() { return uint(8); }
  constexpr Bytes take(std::size_t count) {
    if (count > rest_.size()) {
      ok_ = false, rest_ = {};
      return {};
    }
    const Bytes field = rest_.first(count);
    rest_ = rest_.subspan(count);
    return field;
  }
  /// LEB128, at most 5 bytes and 32 bits; anything longer is an error.
  constexpr std::uint32_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      const std::uint8_t byte = u8();
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) {
        if (value > UINT32_MAX) break;
        return static_cast<std::uint32_t>(value);
      }
    }
    ok_ = false;
    return 0;
  }
  constexpr Bytes rest() const { return rest_; }
  constexpr std::size_t size() const { return rest_.size(); }
  constexpr bool ok() const { return ok_; }
  /// Everything was there and nothing is left.
  constexpr bool done() const { return ok_ && rest_.empty(); }

 private:
  Bytes rest_;
  bool ok_ = true;
};

/// Writes fields front to back into a buffer the caller made large enough.
class Writer {
 public:
  explicit constexpr Writer(MutableBytes room) : room_(room) {}
  [[gnu::always_inline]] constexpr void uint(std::uint64_t value, std::size_t width) {
    MWTUN_ASSERT(width <= room_.size() - used_);
    store_le(room_.data() + used_, value, width);
    used_ += width;
  }
  constexpr void u8(std::uint64_t value) { uint(value, 1); }
  constexpr void u16(std::uint64_t value) { uint(value, 2); }
  constexpr void u24(std::uint64_t value) { uint(value, 3); }
  constexpr void u32(std::uint64_t value) { uint(value, 4); }
  constexpr void u64(std::uint64_t value) { uint(value, 8); }
  constexpr void varint(std::uint32_t value) {
    for (; value >= 0x80; value >>= 7) u8(value | 0x80);
    u8(value);
  }
  void bytes(Bytes from) {
    MWTUN_ASSERT(from.size() <= room_.size() - used_);
    if (!from.empty()) std::memcpy(room_.data() + used_, from.data(), from.size());
    used_ += from.size();
  }
  void zeros(std::size_t count) {
    MWTUN_ASSERT(count <= room_.size() - used_);
    if (count > 0) std::memset(room_.data() + used_, 0, count);
    used_ += count;
  }
  constexpr std::size_t size() const { return used_; }
  constexpr std::size_t room() const { return room_.size() - used_; }
  constexpr MutableBytes written() const { return room_.first(used_); }

 private:
  MutableBytes room_;
  std::size_t used_ = 0;
};

constexpr std::size_t varint_size(std::uint32_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace mwtun
