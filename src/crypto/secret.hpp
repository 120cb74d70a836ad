#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/assert.hpp"
#include "base/bytes.hpp"
#include "crypto/memory.hpp"

namespace mwtun {

/// N secret bytes. Moves only and wipes what it leaves behind; there is no way to print it and no
/// conversion to text, so a key gets into a log only by somebody's will.
template <std::size_t N>
class Secret {
 public:
  static constexpr std::size_t bytes = N;

  /// All zeros.
  Secret() = default;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { other.clear(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      other.clear();
    }
    return *this;
  }
  ~Secret() { clear(); }

  /// @param from  exactly N bytes; the caller wipes its own copy
  static Secret copy_of(Bytes from) {
    MWTUN_ASSERT(from.size() == N);
    Secret secret;
    std::memcpy(secret.bytes_.data(), from.data(), N);
    return secret;
  }
  /// A second one, said aloud.
  Secret clone() const { return copy_of(view()); }

  Bytes view() const { return bytes_; }
  MutableBytes mutable_view() { return bytes_; }
  /// Constant time.
  [[nodiscard]] bool equals(const Secret& other) const {
    return equal_constant_time(view(), other.view());
  }
  void clear() { wipe(bytes_); }

 private:
  std::array<std::uint8_t, N> bytes_{};
};

}  // namespace mwtun
