#include "crypto/replay.hpp"

#include <algorithm>

namespace mwtun {

bool ReplayWindow::commit(std::uint64_t number) {
  if (!fresh(number)) return false;
  if (number >= next_) {
    const std::uint64_t newest = next_ == 0 ? 0 : (next_ - 1) / 64;
    const std::uint64_t cleared = std::min<std::uint64_t>(number / 64 - newest, words);
    for (std::uint64_t i = 1; i <= cleared; ++i) ring_[(newest + i) % words] = 0;
    next_ = number + 1;
  }
  ring_[number / 64 % words] |= bit(number);
  return true;
}

}  // namespace mwtun
