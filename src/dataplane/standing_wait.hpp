#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"

namespace mwtun {

/// How long whatever comes on a link has to wait in our own socket's buffer, for a while already:
/// the least wait of the last 10 to 20 ms, as with CoDel (RFC 8289, 3.2). When a turn of ours is
/// late once, something of what comes after it hardly waits. But when we are slower than the link,
/// its queue stands with us, and the sender can only keep it short when it hears of it. Where the
/// processor is short we can be late for some 10 ms on end: on a line of 300 Mbit/s that is no
/// queue of the line's, and its sender would slow down for nothing. So little is not counted.
class StandingWait {
 public:
  /// What waits must be more; a socket's buffer takes several times as much.
  static constexpr std::uint64_t bytes_min = 512 * 1024;

  /// @param wait   of a datagram that is taken from the buffer now
  /// @param bytes  its size
  /// @return what stands, at most `wait`
  Duration seen(Duration wait, std::size_t bytes, Instant now) {
    if (now - began_ >= window) roll(wait, now);
    least_ = std::min(least_, wait);
    bytes_ += bytes;
    const Duration stands = std::min(least_, before_.least);
    return stands.count() >= before_.least_that_counts_ns ? stands : Duration{0};
  }

 private:
  static constexpr Duration window = milliseconds(10);

  struct Window {
    Duration least{};
    std::int64_t least_that_counts_ns = 0;  // In which bytes_min came.
  };

  void roll(Duration wait, Instant now) {
    const Duration length = now - began_;
    before_ = {};
    if (length < 2 * window && bytes_ > 0) {
      before_ = {least_, static_cast<std::int64_t>(
                             bytes_min * static_cast<std::uint64_t>(length.count()) / bytes_)};
    }
    least_ = wait;
    bytes_ = 0;
    began_ = now;
  }

  Instant began_{};
  Duration least_{};
  std::uint64_t bytes_ = 0;
  Window before_;
};

}  // namespace mwtun
