#pragma once
#include <algorithm>

#include "base/time.hpp"

namespace mwtun {

/// How long whatever comes on a link has to wait in our own socket's buffer, for a while already:
/// the least wait of the last 10 to 20 ms, as with CoDel (RFC 8289, 3.2). When a turn of ours is
/// late once, something of what comes after it hardly waits. But when we are slower than the link,
/// its queue stands with us, and the sender can only keep it short when it hears of it.
class StandingWait {
 public:
  /// @param wait  of a datagram that is taken from the buffer now
  /// @return what stands, at most `wait`
  Duration seen(Duration wait, Instant now) {
    if (now - began_ >= window) {
      before_ = now - began_ < 2 * window ? least_ : Duration{0};
      least_ = wait;
      began_ = now;
    }
    least_ = std::min(least_, wait);
    return std::min(least_, before_);
  }

 private:
  static constexpr Duration window = milliseconds(10);

  Instant began_{};
  Duration least_{}, before_{};
};

}  // namespace mwtun
