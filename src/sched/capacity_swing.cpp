#include "sched/capacity_swing.hpp"

#include <algorithm>
#include <cmath>

namespace mwtun {

static constexpr Duration step = milliseconds(250);
static constexpr double memory = 8;  // Steps.
static constexpr double change_most = 0.7;
// Cables stay below 0.01, lines that jitter by 5 to 8 ms and those shared with others below 0.08.
static constexpr double change_noticed = 0.08, change_full = 0.16;

void CapacitySwing::add(double bps, Instant now) {
  if (bps <= 0 || (before_at_ != never && now - before_at_ < step)) return;
  if (before_bps_ > 0) {
    const double change = std::abs(std::log(bps / before_bps_));
    change_ += (std::min(change, change_most) - change_) / memory;
  }
  before_at_ = now, before_bps_ = bps;
}

double CapacitySwing::degree() const {
  return std::clamp((change_ - change_noticed) / (change_full - change_noticed), 0.0, 1.0);
}

}  // namespace mwtun
