#pragma once
#include "base/time.hpp"

namespace mwtun {

/// Tells a queue from delay that a line adds by itself under load. A radio line that keeps order
/// makes everything wait for what is late, so that its delay rises well above that of single pings,
/// however much is sent. A queue of ours follows what is sent: its change is regressed on what was
/// sent beyond the capacity, and where nothing of it shows, the delay is the line's own and belongs
/// to the floor that queues are counted from.
class JitterFloor {
 public:
  /// One stretch of time in which a queue seemed to stand and the sender was not idle.
  struct Stretch {
    double sent_beyond_s = 0;   // What was sent, at the capacity, less the time it was sent in.
    double delay_change_s = 0;  // And by how much the delay grew.
    double queue_s = 0;         // Above the floor at its end,
    double queue_own_s = 0;     // as much of which is wanted.
    double noise_s = 0;         // Mean change that nothing explains.
  };
  void add(const Stretch& s);
  /// Nothing was seen of it under load so far: what is likely from the noise without.
  void assume(double noise_s);
  /// The line's delay fell below the floor while it was loaded.
  void lower(Duration most);
  void reset() { *this = JitterFloor{}; }

  Duration height() const;

 private:
  double height_s_ = 0;
  double count_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0, queue_ = 0;  // Sums; old ones fade.
};

}  // namespace mwtun
