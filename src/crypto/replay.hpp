#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/planted.hpp"

namespace mwtun {

/// Which packet numbers of one link and epoch have come: a ring of bits, cleared a word at a time
/// as the largest number rises (RFC 6479). Accepts a number when it is below `limit`, has not been
/// committed, and number + size > largest: exactly the `size` numbers up to the largest, and all
/// above. Ask fresh() before opening a datagram, commit() only after it proved authentic.
class ReplayWindow {
 public:
  static constexpr std::uint64_t size = 8192;
  /// Numbers from here on are refused; no key is used that far.
  static constexpr std::uint64_t limit = std::uint64_t{1} << 47;

  /// Would be accepted.
  [[nodiscard]] bool fresh(std::uint64_t number) const {
    if (number >= limit) return false;
    if (number + (planted(Fault::window_off_by_one) ? 1 : 0) >= next_) return true;
    return number + size >= next_ && (word(number) & bit(number)) == 0;
  }
  /// False, with nothing changed, when the number is not fresh.
  bool commit(std::uint64_t number);

  /// 0 while empty.
  std::uint64_t largest() const { return next_ == 0 ? 0 : next_ - 1; }
  bool empty() const { return next_ == 0; }

 private:
  // One word more than `size` needs, or clearing the word of a new largest number would forget
  // numbers that are still inside the window.
  static constexpr std::size_t words = size / 64 + 1;

  static constexpr std::uint64_t bit(std::uint64_t number) {
    return std::uint64_t{1} << number % 64;
  }
  const std::uint64_t& word(std::uint64_t number) const { return ring_[number / 64 % words]; }

  std::uint64_t next_ = 0;  // Largest committed plus one; 0: none yet.
  std::array<std::uint64_t, words> ring_{};
};

}  // namespace mwtun
