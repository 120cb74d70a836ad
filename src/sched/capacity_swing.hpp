#pragma once
#include "base/time.hpp"

namespace mwtun {

/// How much the rate a line delivers goes up and down: hardly on a cable, by a third and more from
/// one quarter of a second to the next on a phone that moves. Neither the noise of measuring it nor
/// a single step is a swing.
class CapacitySwing {
 public:
  /// @param bps  what the line delivers, seen while it is full
  void add(double bps, Instant now);
  void reset() { *this = {}; }

  /// 0: as good as constant; 1: as a mobile line.
  double degree() const;

 private:
  Instant before_at_ = never;
  double before_bps_ = 0;
  double change_ = 0;  // Mean over the last steps, of the logarithm.
};

}  // namespace mwtun
