#pragma once
#include <algorithm>
#include <utility>

#include "base/time.hpp"

namespace mwtun {

/// Tells a queue that somebody else keeps in the line from one of ours. Less is sent than the line
/// has just carried, all of it arrives at the pace it was sent, and still the queue does not
/// shrink: it is not ours to drain, or not a queue at all but a longer way. It is then taken for
/// the least delay there is. Now and then the link is all but stopped to see whether that still
/// holds. All links of a process do so at the same moments, so that several that share a line do
/// not take each other's queue for a stranger's.
class ForeignQueue {
 public:
  /// Delays are one-way, by the clocks of both ends.
  struct Seen {
    Duration base{};   // Least delay,
    Duration queue{};  // and what it is exceeded by.
    Duration alone{};  // The longest that it should be with nobody else there.
    Duration delay{};  // The newest.
    Duration target{};
    Duration round{};
    double sent_bps = 0, arrives_bps = 0;  // Over about a round trip.
    double capacity_bps = 0;
    double elapsed_s = 0;
  };

  /// True when the queue is not ours: what stands is to be taken for the base.
  bool stands(const Seen& seen, Instant now);
  /// True while the link is all but stopped to see whether a queue is left.
  bool checks(const Seen& seen, Instant now);
  bool checking() const { return check_end_ != Instant{}; }
  /// The check that has just ended found the line empty: nobody else is there. Asked once.
  bool found_gone() { return std::exchange(gone_, false); }
  /// The least delay that the last check met.
  Duration found_base() const { return std::max(check_least_, base_before_); }
  /// Somebody else's queue stood in the line lately.
  bool contested(Instant now) const { return now < contested_until_; }
  /// What is sent and what arrives do not tell of each other yet after a check.
  bool settling(Instant now) const { return now < settled_at_; }
  void reset_queue() { drained_s_ = over_s_ = 0; }
  void reset() { *this = {}; }

 private:
  void plan_check(Instant now);
  void end_check(const Seen& seen, Instant now);

  double drained_s_ = 0;   // By how much the queue ought to have become shorter since it was
  Duration queue_then_{};  // this.
  double over_s_ = 0;      // For so long the queue has been above the target since it was
  Duration queue_over_{};  // this.
  Instant contested_until_{};

  Duration base_before_{};     // Before the first verdict,
  Instant base_kept_until_{};  // which still holds for a verdict before then.
  Duration check_every_{};
  Instant check_at_{}, check_end_{}, settled_at_{};
  Duration raised_then_{}, check_least_{};
  bool gone_ = false;
};

}  // namespace mwtun
