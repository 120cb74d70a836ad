#pragma once
#include <algorithm>

#include "base/time.hpp"

namespace mwtun {

/// Round-trip time of a link: smoothed and variance as in RFC 9002 section 5.3; the minimum over
/// the last 10 to 20 s, since a path can become longer; the maximum of the last few seconds.
class RttEstimator {
 public:
  /// `ack_delay` is what the peer says it waited; it counts only as far as the sample stays above
  /// the minimum.
  void sample(Duration measured, Duration ack_delay, Instant now) {
    if (measured < Duration{0} || measured > sample_max) return;
    if (now - window_began_ >= seconds(10)) {
      window_began_ = now;
      min_before_ = min_now_;
      min_now_ = Duration::max();
    }
    Duration adjusted = measured;
    if (measured - ack_delay >= min()) adjusted = measured - ack_delay;
    if (now - peak_began_ >= seconds(3)) {
      peak_before_ = now - peak_began_ < seconds(6) ? peak_now_ : Duration{0};
      peak_began_ = now;
      peak_now_ = Duration{0};
    }
    peak_now_ = std::max(peak_now_, adjusted);
    min_now_ = std::min(min_now_, adjusted);
    latest_ = adjusted;
    if (!known_) {
      known_ = true;
      smoothed_ = adjusted;
      variance_ = adjusted / 2;
      return;
    }
    variance_ = (3 * variance_ + std::chrono::abs(smoothed_ - adjusted)) / 4;
    smoothed_ = (7 * smoothed_ + adjusted) / 8;
  }
  bool known() const { return known_; }
  Duration smoothed() const { return smoothed_; }
  Duration variance() const { return variance_; }
  Duration latest() const { return latest_; }
  Duration min() const {
    const Duration least = std::min(min_now_, min_before_);
    return least == Duration::max() ? Duration{0} : least;
  }
  /// The longest of the last 3 to 6 s of samples.
  Duration peak() const { return std::max(peak_now_, peak_before_); }
  void reset() { *this = RttEstimator{}; }

 private:
  /// Longer is no path's round trip but a host that slept.
  static constexpr Duration sample_max = seconds(10);
  bool known_ = false;
  Duration smoothed_{}, variance_{}, latest_{};
  Duration min_now_ = Duration::max(), min_before_ = Duration::max();
  Duration peak_now_{}, peak_before_{};
  Instant window_began_{}, peak_began_{};
};

}  // namespace mwtun
