#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "base/time.hpp"
#include "sched/capacity_swing.hpp"
#include "sched/fair_share.hpp"
#include "sched/foreign_queue.hpp"
#include "sched/jitter_floor.hpp"

namespace mwtun {

/// What one acknowledgement tells of a link in our sending direction. Byte counts are UDP payload,
/// summed since the link began; the receiver's clock may be off by any constant.
struct RateFeedback {
  Instant sent{};                   // When the newest datagram that has arrived was sent,
  std::uint64_t sent_bytes = 0;     // all that was sent up to and with it,
  std::uint64_t starved_bytes = 0;  // and of that, what was sent while the link had room for more.
  std::uint32_t paused_us = 0;      // How long the sender paused so far; wraps.
  std::uint64_t delivered_bytes = 0;  // All acknowledged.
  std::uint64_t sent_bytes_now = 0;   // All sent by now.
  Duration arrived{};                 // When the newest one came, by the receiver's clock.
  Duration delay{};                   // Least one-way delay among the newest, by both clocks.
  Duration rtt{};                     // Smoothed,
  Duration rtt_variance{};            // and its mean deviation.
  std::uint32_t datagram_bytes = 0;   // Largest in use.
};

/// How fast one link may be sent on, so that it is full and its queue short: the queue then stands
/// in our own lanes, where it can be shared fairly and moved to another link.
///
/// While a queue stands in the line, what is delivered *is* its capacity, up and down. The rate is
/// that, with a gain which steers the queueing delay to a target: not the delay that was measured,
/// which is a round trip old, but the one that a datagram sent now will meet, since we know what
/// went after the measured one (a Smith predictor). While no queue stands, samples only say "at
/// least", and the rate grows, faster the longer nothing stops it. Loss alone stops nothing; loss
/// that comes with more sent and no more delivered is a policer's, whose rate is then held and
/// tried again ever more rarely. A queue that is not ours (ForeignQueue)
/// is taken for the new minimum, and beside whoever keeps it we take what one TCP flow would
/// (FairShare). Delay that comes and goes without us widens the target.
class RateControl {
 public:
  /// Until the first queue was seen. What sends more than a line carries from the first moment is
  /// rare; what takes the delay of a timid start for a full line (HyStart, RFC 9406) is not.
  static constexpr std::uint64_t start_bps = 40'000'000;
  static constexpr double well_known_s = 3;

  /// @param bps  never faster than that; 0: no bound
  void set_limit(std::uint64_t bps) { limit_bps_ = bps; }
  void feedback(const RateFeedback& f, Instant now);
  /// What was learnt of the delay is void (another path); rates stay as a first guess.
  void path_changed();

  /// How fast to send now; never zero.
  std::uint64_t pacing_bps() const;
  /// What the line can deliver, as far as is known; 0: nothing was delivered so far.
  std::uint64_t capacity_bps() const {
    return static_cast<std::uint64_t>(capacity_ * (1 - loss_usual_));
  }
  /// The most it was lately; what is long ago counts less.
  std::uint64_t peak_bps() const {
    return static_cast<std::uint64_t>(std::max(capacity_, alone_bps_) * (1 - loss_usual_));
  }
  /// The same of the last seconds.
  std::uint64_t recent_bps() const {
    return static_cast<std::uint64_t>(recent_bps_ * (1 - loss_usual_));
  }
  /// How much it goes up and down, from 0 to 1.
  double swing() const { return swing_.degree(); }
  /// It was seen full: it can hardly do more than capacity_bps().
  bool proven() const { return proven_; }
  /// And long enough ago that swing() would tell.
  bool well_known() const { return proven_s_ > well_known_s; }
  /// Delay that queues in the line add now.
  Duration queue() const { return queue_; }
  /// And will add to what is sent now.
  Duration queue_ahead(std::uint64_t sent_bytes_now, Instant now) const;
  /// Least one-way delay, by both clocks: differences between the links of a session are true.
  bool delay_known() const { return base_ != Duration::max(); }
  Duration delay_base() const { return floor(); }
  /// How long a burst the line's buffer takes, as far as is known.
  Duration burst_max() const { return policer_ == Policer::none ? target_max_ : Duration{0}; }
  /// Somebody else's queue stands in the line: its delay cannot be held down from here.
  bool contested(Instant now) const { return foreign_.contested(now); }

 private:
  struct Point {
    Instant sent{};
    std::uint64_t sent_bytes = 0, starved_bytes = 0, delivered_bytes = 0;
    std::uint32_t paused_us = 0;
    Duration arrived{}, delay{};
  };
  /// What happened between two points.
  struct Span {
    double sent_bps = 0, delivered_bps = 0, loss = 0;
    double sent_s = 0;
    bool starved = false;   // The link could have taken more.
    double trust = 1;       // In the two rates, for the noise of the delay.
    bool standing = false;  // A queue stood at every point,
    bool full = false;      // and no pause of the sender was long enough to let it run empty.
  };
  enum class Policer : std::uint8_t { none, suspected, held };

  const Point& at(std::size_t back) const { return points_[(next_ - 1 - back) % points_.size()]; }
  Span span(std::size_t back) const;
  void note_delay(const RateFeedback& f, Instant now);
  void note_noise(const RateFeedback& f);
  void note_stretch();
  Duration floor() const { return base_ + jitter_.height(); }
  void rotate_base(Instant now);
  void steer(const RateFeedback& f, Instant now);
  void follow(const Span& s, double rounds);
  void grow(const Span& s, double rounds, Instant now);
  double predicted_queue_s(std::uint64_t sent_bytes_now, Instant now) const;
  bool policed(const Span& s, double rounds, Instant now);
  void check_policed(const Span& s, double bps, Instant now);
  void hold_policed(double bps, Instant now);
  bool checks(const ForeignQueue::Seen& seen, Instant now);
  void compete(const RateFeedback& f, const Span& s, double elapsed_s, Instant now);
  void take_for_base(Duration delay, Instant now);

  std::array<Point, 64> points_{};  // A ring.
  std::size_t next_ = 0, count_ = 0;

  Duration base_ =
      Duration::max();  // Least smoothed delay since one or two windows, or what was taken for it.
  Duration base_now_ = Duration::max();  // Least in the window that runs.
  Instant base_began_{};
  Duration delay_smooth_{};
  Duration queue_{};  // Least of the last half round trip.
  JitterFloor jitter_;
  Point stretch_from_;        // Where the stretch that it is told of next began.
  double light_noise_s_ = 0;  // Seen while next to nothing was sent.
  unsigned light_seen_ = 0;
  double noise_s_ = 0, off_before_s_ = 0;
  Duration own_target_ = milliseconds(5);  // Without what the line does by itself.
  Duration target_ = milliseconds(5), target_max_ = milliseconds(100);

  // Bits a second.
  double rate_ = static_cast<double>(start_bps);
  double capacity_ = 0;
  double recent_bps_ = 0;  // The most the capacity was, forgotten within seconds.
  double alone_bps_ = 0;   // The most it was lately, of times when the line was ours alone,
  double alone_s_ = 0;     // the last of which was this long.
  std::uint64_t limit_bps_ = 0;
  double sent_recently_ = 0, lost_recently_ = 0;  // Datagrams.
  double loss_usual_ = 0;  // Share of the bytes sent that is lost at any rate.
  double growth_ = 0;      // A round trip.
  bool proven_ = false;
  double proven_s_ = 0;  // Since it is, while there was feedback.
  Duration round_{};
  Instant steered_{};

  Policer policer_ = Policer::none;
  double mark_sent_bps_ = 0, mark_delivered_bps_ = 0;  // Before the rate grew.
  double policed_bps_ = 0, policed_loss_ = 0, rate_before_check_ = 0;
  double policed_before_bps_ = 0;  // Held last; 0: nothing was.
  unsigned corrections_ = 0;       // Of what is checked or held.
  Duration hold_ = seconds(2);
  Instant check_until_{}, hold_until_{};

  Instant drain_until_{};
  CapacitySwing swing_;
  ForeignQueue foreign_;
  FairShare share_;
  bool competes_ = false;
};

}  // namespace mwtun
