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
  /// How far what does not wait can put off what does.
  static constexpr Duration debt_max = milliseconds(60);
  /// A waiting sender sleeps this much longer than it must: a batch is cheaper than its datagrams.
  static constexpr Duration batch_max = microseconds(500);

  /// Until the next datagram may go; zero: now.
  Duration wait(Instant now) const { return std::max(next_ - now, Duration{0}); }
  /// When to wake for sending.
  Instant wake() const { return next_ + std::min(batch_max, 4 * last_); }
  /// A datagram goes. True when the link had room for more before it.
  bool sent(std::size_t bytes, std::uint64_t rate_bps, Instant now) {
    last_ = Duration{static_cast<std::int64_t>(static_cast<double>(bytes) * 8e9 /
                                               static_cast<double>(rate_bps))};
    const Duration credit = std::max(credit_max, 2 * last_);
    const bool starved = next_ + credit < now;
    if (starved) next_ = now - credit;
    // What is never paced (acknowledgements, probes) must not shut frames out for long.
    next_ = std::min(next_ + last_, now + std::max(debt_max, 2 * last_));
    return starved;
  }

 private:
  Instant next_{};
  Duration last_{};
};

}  // namespace mwtun
