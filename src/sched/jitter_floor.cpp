#include "sched/jitter_floor.hpp"

#include <algorithm>

namespace mwtun {

static constexpr double memory = 40, enough = 15;  // Stretches.
static constexpr double follows_not = 0.35, follows = 0.7;
static constexpr double noise_in_height = 8, noise_assumed = 3;
static constexpr double fades = 0.9;

void JitterFloor::add(const Stretch& s) {
  const double keep = 1 - 1 / memory;
  count_ = count_ * keep + 1;
  x_ = x_ * keep + s.sent_beyond_s;
  y_ = y_ * keep + s.delay_change_s;
  xx_ = xx_ * keep + s.sent_beyond_s * s.sent_beyond_s;
  xy_ = xy_ * keep + s.sent_beyond_s * s.delay_change_s;
  queue_ = queue_ * keep + s.queue_s;
  height_s_ = std::min(height_s_, noise_in_height * s.noise_s);
  if (count_ < enough) return;
  const double varies = xx_ - x_ * x_ / count_;
  // Sums of squares; what varies by less than the noise shows nothing.
  if (varies < count_ * s.noise_s * s.noise_s / 4) return;
  const double slope = (xy_ - x_ * y_ / count_) / varies;
  if (slope > follows) {
    height_s_ *= fades;
  } else if (slope < follows_not) {
    const double more = queue_ / count_ - s.queue_own_s / 2;
    height_s_ = std::min(height_s_ + std::max(0.0, more), noise_in_height * s.noise_s);
  } else {
    return;
  }
  count_ = x_ = y_ = xx_ = xy_ = queue_ = 0;
}

void JitterFloor::assume(double noise_s) {
  height_s_ = noise_assumed * noise_s;
}

void JitterFloor::lower(Duration most) {
  height_s_ = std::clamp(static_cast<double>(most.count()) * 1e-9, 0.0, height_s_);
}

Duration JitterFloor::height() const {
  return Duration{static_cast<std::int64_t>(height_s_ * 1e9)};
}

}  // namespace mwtun
