#pragma once
#include <algorithm>
#include <cstdint>

#include "base/time.hpp"

namespace mwtun {

/// Spreads a link's datagrams over time at the rate it is given. Time not used is credit for a
/// short while only, so that a link is not flooded after a pause.
class Pacer {
 public:
  /// Credit at most, and so the longest burst: what a late wake-up may cost without losing rate.
  static constexpr Duration credit_max = milliseconds(2);
  /// One that had more to send and comes later than that had no pause: its processor ran somebody
  /// else, for a tick of the kernel or more. Up to so much is made up for, at twice the rate.
  static constexpr Duration late_credit_max = milliseconds(10);
  /// How far what does not wait can put off what does.
  static constexpr Duration debt_max = milliseconds(60);
  /// A waiting sender sleeps this much longer than it must: a batch is cheaper than its datagrams.
  static constexpr Duration batch_max = microseconds(500);

  /// Until the next datagram may go; zero: now.
  Duration wait(Instant now) const { return std::max(next_ - now, Duration{0}); }
  /// When to wake for sending.
  Instant wake() const { return next_ + std::min(batch_max, 4 * last_); }
  /// For how long it has been sending without a pause, of which each counts four times what it was;
  /// no more than busy_max.
  Duration busy(Instant now) const {
    return std::clamp<Duration>(now - busy_since_ - pause_weight * idle(now), Duration{0},
                                busy_max);
  }
  /// All pauses so far that were longer than the credit; wraps.
  std::uint32_t paused_us() const { return static_cast<std::uint32_t>(paused_.count() / 1000); }
  /// The end of a turn of the sender's.
  /// @param burst_max  when it has more that only waits for this link: how long a burst the line
  ///                   takes; else zero
  void stops(Duration burst_max) {
    late_max_ = std::min(burst_max, late_credit_max);
    late_ = std::min(late_, late_max_);
  }
  /// A datagram goes. True when the link had room for more before it.
  bool sent(std::size_t bytes, std::uint64_t rate_bps, Instant now) {
    last_ = Duration{static_cast<std::int64_t>(static_cast<double>(bytes) * 8e9 /
                                               static_cast<double>(rate_bps))};
    const bool starved = next_ + pause() < now;
    if (starved) {
      if (now - next_ > 2 * pause()) paused_ += now - next_ - pause();
      busy_since_ = now - busy(now);
      late_ = std::min(late_ + (now - pause() - next_), late_max_);
      next_ = now - pause();
    }
    const Duration made_up = std::min(late_, last_ / 2);
    late_ -= made_up;
    // What is never paced (acknowledgements, probes) must not shut frames out for long.
    next_ = std::min(next_ + last_ - made_up, now + std::max(debt_max, 2 * last_));
    return starved;
  }

 private:
  static constexpr int pause_weight = 4;
  static constexpr Duration busy_max = seconds(2);

  Duration idle(Instant now) const {
    return std::max(now - next_ - std::max(pause(), late_max_), Duration{0});
  }
  Duration pause() const { return std::max(credit_max, 2 * last_); }

  Instant next_{}, busy_since_{};
  Duration last_{}, paused_{}, late_max_{}, late_{};
};

}  // namespace mwtun
