#include "sched/fair_share.hpp"

#include <algorithm>
#include <cmath>

namespace mwtun {

static constexpr double cubic_c = 0.4;            // Datagrams/s^3.
static constexpr double cubic_beta = 0.7;         // What a decrease leaves.
static constexpr double convergence = 0.85;       // (1 + beta) / 2
static constexpr double growth_round_most = 0.5;  // Section 4.4.

void FairShare::begin(double bps) {
  bps_ = bps;
  max_ = since_s_ = plateau_s_ = 0;
}

bool FairShare::step(const Step& step) {
  since_s_ += step.elapsed_s;
  if (max_ == 0) max_ = bps_ / step.datagrams_rate;
  if (step.decrease && since_s_ > step.round_s) {
    const double window = bps_ / step.datagrams_rate;
    // A window that did not come back to its old maximum makes room for those that are smaller.
    max_ = window < max_ ? convergence * window : window;
    bps_ *= cubic_beta;
    plateau_s_ = std::cbrt(std::max(0.0, max_ - cubic_beta * window) / cubic_c);
    since_s_ = 0;
    return true;
  }
  if (step.used) {
    const double t = since_s_ - plateau_s_;
    const double most = bps_ * (1 + growth_round_most * step.elapsed_s / step.round_s);
    bps_ = std::min((max_ + cubic_c * t * t * t) * step.datagrams_rate, most);
  }
  return false;
}

void FairShare::limit(double bps_max) {
  bps_ = std::min(bps_, bps_max);
}

}  // namespace mwtun
