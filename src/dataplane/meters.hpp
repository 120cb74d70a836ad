#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "base/time.hpp"

namespace mwtun {

/// Bytes a second as a person would read them off a meter: the mean over the last second or so.
class RateMeter {
 public:
  void add(std::uint64_t bytes, Instant now) {
    roll(now);
    current_ += bytes;
  }
  /// Bits a second.
  std::uint64_t bps(Instant now) const {
    RateMeter copy = *this;
    copy.roll(now);
    return copy.last_bps_;
  }

 private:
  static constexpr Duration window = milliseconds(500);
  void roll(Instant now) {
    if (now - began_ < window) return;
    const Duration elapsed = now - began_;
    last_bps_ = elapsed < 4 * window
                    ? static_cast<std::uint64_t>(static_cast<double>(current_) * 8e9 /
                                                 static_cast<double>(elapsed.count()))
                    : 0;
    current_ = 0;
    began_ = now;
  }
  Instant began_{};
  std::uint64_t current_ = 0;
  std::uint64_t last_bps_ = 0;
};

/// Share of datagrams lost, over about the last second and at least 50 of them; and whether any
/// are, over the last few thousand.
class LossMeter {
 public:
  void add(bool lost, Instant now) {
    ++seen_, lost_ += lost ? 1 : 0;
    ++seen_long_, lost_long_ += lost ? 1 : 0;
    if (seen_long_ >= 2 * long_seen) seen_long_ /= 2, lost_long_ /= 2;
    if (now - began_ < seconds(1) || seen_ < 50) return;
    ppm_ = static_cast<std::uint32_t>(lost_ * 1'000'000 / seen_);
    seen_ = lost_ = 0;
    began_ = now;
    ++windows_;
  }
  /// An acknowledgement came for one that was counted lost.
  void take_back() {
    lost_ -= lost_ > 0 ? 1 : 0;
    lost_long_ -= lost_long_ > 0 ? 1 : 0;
  }
  /// Of the last few thousand, more than one in a thousand.
  bool loses() const { return lost_long_ * 1000 > seen_long_; }
  std::uint32_t ppm() const { return ppm_; }
  std::uint64_t windows() const { return windows_; }

 private:
  static constexpr std::uint64_t long_seen = 2000;

  Instant began_{};
  std::uint64_t seen_ = 0, lost_ = 0, windows_ = 0;
  std::uint64_t seen_long_ = 0, lost_long_ = 0;
  std::uint32_t ppm_ = 0;
};

/// One-way delay of a link as seen from the receiver, up to an offset that is the same for all
/// links of the session (the two clocks are): so differences between links are true.
class DelayMeter {
 public:
  void sample(std::int64_t delay_units, Instant now) {
    if (now - window_began_ >= seconds(5)) {
      // The minimum is kept for four windows, as a queue can stand for long; the peak for two.
      for (std::size_t i = min_.size() - 1; i > 0; --i) min_[i] = min_[i - 1];
      min_[0] = INT64_MAX;
      peak_before_ = peak_now_;
      peak_now_ = INT64_MIN;
      window_began_ = now;
    }
    min_[0] = std::min(min_[0], delay_units);
    peak_now_ = std::max(peak_now_, delay_units);
    known_ = true;
    sampled_ = now;
  }
  /// A metered link is heard every 25 s when idle.
  bool recent(Instant now) const { return known_ && now - sampled_ < seconds(30); }
  std::int64_t min() const { return *std::min_element(min_.begin(), min_.end()); }
  std::int64_t peak() const { return std::max(peak_now_, peak_before_); }

 private:
  bool known_ = false;
  std::array<std::int64_t, 4> min_ = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
  std::int64_t peak_now_ = INT64_MIN, peak_before_ = INT64_MIN;
  Instant window_began_{}, sampled_{};
};

}  // namespace mwtun
