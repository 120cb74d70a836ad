#pragma once
#include <cstdint>

#include "base/time.hpp"

namespace mwtun {

/// What one TCP flow would have of a line that others fill: the window of CUBIC (RFC 9438, section
/// 4), as a rate. With it a link keeps its part where a delay-based control would give way until
/// nothing is left (Mo, La, Anantharam and Walrand, INFOCOM 1999, on Vegas beside Reno).
class FairShare {
 public:
  struct Step {
    double elapsed_s = 0;
    double round_s = 0;         // At most one decrease in it.
    double datagrams_rate = 0;  // Window of one datagram a round trip, as a rate in bit/s.
    bool decrease = false;      // The line overflows, or carries much less than it is sent.
    bool used = false;          // About as much is sent as the share allows.
  };

  void begin(double bps);
  /// True when it was decreased.
  bool step(const Step& step);
  double bps() const { return bps_; }
  void limit(double bps_max);

 private:
  double bps_ = 0;
  double max_ = 0;  // Window before the last decrease, datagrams.
  double since_s_ = 0, plateau_s_ = 0;
};

}  // namespace mwtun
