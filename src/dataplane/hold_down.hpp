#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "base/time.hpp"

namespace mwtun {

/// How soon a link that came back is used as before. At first it has to answer a few times, which
/// doubled frames and probes make it do; from the third failure in a minute on it is also held back
/// for a time, which doubles with every further one.
class HoldDown {
 public:
  static constexpr std::size_t failures = 3;
  static constexpr Duration window = seconds(60);
  static constexpr Duration first = seconds(5), most = seconds(60);
  static constexpr unsigned answers = 3;
  static constexpr Duration proof_least = milliseconds(100);

  void went_down(Instant now) {
    if (time_ > Duration{0} && now < until_ + window) {
      time_ = std::min(2 * time_, most);
    } else {
      time_ =
          went_down_[0] != Instant::min() && now - went_down_[0] <= window ? first : Duration{0};
    }
    std::rotate(went_down_.begin(), went_down_.begin() + 1, went_down_.end());
    went_down_.back() = now;
    failed_ = true;
    held_ = false;
  }
  /// @param rtt  of the link
  void came_back(Instant now, Duration rtt) {
    if (!failed_) return;
    held_ = true;
    answers_left_ = answers;
    until_ = now + std::max(time_, rtt + proof_least);
  }
  /// Something sent on it was acknowledged.
  void answered() {
    if (answers_left_ > 0) --answers_left_;
  }
  /// True when the hold has just ended.
  bool ended(Instant now) {
    if (!held_ || now < until_ || answers_left_ > 0) return false;
    held_ = false;
    return true;
  }
  bool held() const { return held_; }
  /// It has answered as often as it must; only time is left.
  bool proven() const { return answers_left_ == 0; }
  /// Not before, while held.
  Instant until() const { return until_; }
  /// How long the link is held back for having failed so often; zero: it is not.
  Duration time() const { return held_ ? time_ : Duration{0}; }

 private:
  std::array<Instant, failures - 1> went_down_{Instant::min(), Instant::min()};
  Duration time_{};
  Instant until_{};
  unsigned answers_left_ = 0;
  bool failed_ = false, held_ = false;
};

}  // namespace mwtun
