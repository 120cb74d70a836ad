#include "sched/rate_control.hpp"

#include <algorithm>
#include <cmath>

namespace mwtun {

static constexpr double rate_least_bps = 100'000;
static constexpr double rate_most_bps = 1e12;
static constexpr double growth_starting = 1.0;  // A doubling a round trip.
static constexpr double growth_most = 0.25;
static constexpr double gain_least = 0.25, gain_most = 1.1;
static constexpr double gain_draining = 0.6, gain_checking = 0.3;
static constexpr double share_alone_most = 0.5, share_arrives_least = 0.65;
static constexpr double alone_memory_s = 60, alone_known_s = 5;
static constexpr double recent_memory_s = 6;
static constexpr double loss_noticed = 0.02;
static constexpr double lost_least = 5;  // Datagrams; fewer are chance.
static constexpr double starved_most = 0.25;
static constexpr double full_bytes_least = 12'000;  // Of a sender with pauses; less fills no line.
static constexpr double noise_in_target = 3, noise_in_standing = 1.5, noise_in_first = 2;
static constexpr double trusted_error = 0.03, trust_for_swing = 0.5;
static constexpr double jitter_least_s = 0.001;
static constexpr double noise_most_s = 0.050;
static constexpr unsigned light_enough = 8, light_memory = 64;  // Samples.
static constexpr Duration base_window = seconds(10);
static constexpr Duration stretch_least = milliseconds(40);
static constexpr Duration step_least = milliseconds(4);
static constexpr Duration hold_most = seconds(16);
static constexpr unsigned corrections_most = 3;
static constexpr double policed_creep = 0.01;  // A second.
static constexpr double policer_gone = 1.5;  // So many times its rate arrive, and nothing is lost.
static constexpr double correction_least = 0.85;

static double to_s(Duration d) {
  return static_cast<double>(d.count()) * 1e-9;
}
static Duration from_s(double s) {
  return Duration{static_cast<std::int64_t>(s * 1e9)};
}

void RateControl::path_changed() {
  base_ = base_now_ = Duration::max();
  jitter_.reset();
  swing_.reset();
  queue_ = Duration{0};
  count_ = 0;
  noise_s_ = light_noise_s_ = 0;
  light_seen_ = 0;
  drain_until_ = Instant{};
  foreign_.reset();
  policer_ = Policer::none;
  growth_ = 0;
}

std::uint64_t RateControl::pacing_bps() const {
  double rate = rate_;
  if (limit_bps_ != 0) rate = std::min(rate, static_cast<double>(limit_bps_));
  return static_cast<std::uint64_t>(std::max(rate, rate_least_bps));
}

void RateControl::feedback(const RateFeedback& f, Instant now) {
  note_delay(f, now);
  if (count_ > 0 && (f.arrived <= at(0).arrived || f.sent <= at(0).sent)) return;  // An older one.
  // Points that are too near each other merge.
  if (count_ > 1 && f.arrived - at(1).arrived < step_least) --next_, --count_;
  points_[next_++ % points_.size()] = {
      f.sent, f.sent_bytes, f.starved_bytes, f.delivered_bytes, f.paused_us, f.arrived, f.delay};
  count_ = std::min(count_ + 1, points_.size());
  note_noise(f);
  note_stretch();
  const Duration window = std::clamp<Duration>(f.rtt / 2, milliseconds(15), milliseconds(100));
  queue_ = f.delay - floor();
  for (std::size_t i = 1; i < count_ && at(0).arrived - at(i).arrived <= window; ++i) {
    queue_ = std::min(queue_, at(i).delay - floor());
  }
  queue_ = std::max(queue_, Duration{0});
  if (now - steered_ >= step_least) steer(f, now);
}

void RateControl::note_delay(const RateFeedback& f, Instant now) {
  round_ = std::max<Duration>(f.rtt, milliseconds(1)) + milliseconds(10);
  if (base_ == Duration::max()) take_for_base(delay_smooth_ = f.delay, now);
  // Smoothed, since on a line with jitter the very least is luck that never comes again.
  delay_smooth_ += (f.delay - delay_smooth_) / 8;
  // A clock that was set back, or stood while its host slept.
  if (base_ - f.delay > 2 * f.rtt + milliseconds(50)) {
    take_for_base(delay_smooth_ = f.delay, now);
    count_ = 0;
  }
  // A queue is part of the round trip. Else one of the ends slept, or its clock was set.
  if (f.delay - base_ > 2 * f.rtt + milliseconds(50)) take_for_base(delay_smooth_ = f.delay, now);
  base_now_ = std::min(base_now_, delay_smooth_);
  base_ = std::min(base_, delay_smooth_);
  if (now - base_began_ >= base_window) rotate_base(now);
}

/// How far the delay goes another way than what was sent explains; and the target, which is forty
/// datagrams' time and what the line does by itself.
void RateControl::note_noise(const RateFeedback& f) {
  const double capacity = std::max(capacity_, rate_least_bps);
  if (count_ > 1) {
    const Point &to = at(0), &from = at(1);
    if (f.sent_bytes_now - from.sent_bytes <= f.datagram_bytes) {
      const double change_s = std::abs(to_s(to.delay - from.delay)) / 2;
      light_noise_s_ += (change_s - light_noise_s_) / std::min(++light_seen_, light_memory);
    }
    const double sent_s = to_s(to.sent - from.sent);
    const double sent = static_cast<double>(to.sent_bytes) - static_cast<double>(from.sent_bytes);
    // Before the line was full for once, nothing of ours queues as far as is known.
    const double added_s = (proven_ ? sent * 8 / capacity : 0) - sent_s;
    const double off_s =
        to_s(to.delay - floor()) - std::max(0.0, to_s(from.delay - floor()) + added_s);
    // A capacity that changes, or is not known well, puts all off the same way: only differences
    // count.
    const double noise_s = std::min(std::abs(off_s - off_before_s_) / 2, noise_most_s);
    off_before_s_ = off_s;
    noise_s_ += (noise_s - noise_s_) * std::min(0.25, sent_s);
  }
  // Before the first queue what is sent says little; what the delay does while next to nothing is
  // sent is the line's own doing.
  if (!proven_) noise_s_ = light_seen_ >= light_enough ? light_noise_s_ : to_s(f.rtt_variance) / 8;
  noise_s_ = std::min(noise_s_, noise_most_s);
  // What is less may be the bursts of others.
  const bool jitters = light_seen_ >= light_enough && light_noise_s_ > jitter_least_s;
  if (!proven_) jitter_.assume(jitters ? light_noise_s_ : 0);
  own_target_ = std::clamp<Duration>(from_s(40.0 * 8 * f.datagram_bytes / capacity),
                                     milliseconds(1), milliseconds(6));
  target_ = own_target_ + from_s(noise_in_target * noise_s_);
  target_ = std::min(target_, target_max_);
}

/// Does the delay follow what is sent?
void RateControl::note_stretch() {
  const Point& to = at(0);
  const Point from = stretch_from_;
  if (to.arrived - from.arrived < stretch_least) return;
  stretch_from_ = to;
  const double sent_s = to_s(to.sent - from.sent);
  const double sent = static_cast<double>(to.sent_bytes) - static_cast<double>(from.sent_bytes);
  const double starved =
      static_cast<double>(to.starved_bytes) - static_cast<double>(from.starved_bytes);
  if (!proven_ || to.arrived - from.arrived > 4 * stretch_least || starved > starved_most * sent) {
    return;
  }
  if (delay_smooth_ < floor()) jitter_.lower(delay_smooth_ - base_);
  const double capacity = std::max(capacity_, rate_least_bps);
  if (queue_ > own_target_) {
    jitter_.add({.sent_beyond_s = sent * 8 / capacity - sent_s,
                 .delay_change_s = to_s(to.delay - from.delay),
                 .queue_s = to_s(queue_),
                 .queue_own_s = to_s(own_target_),
                 .noise_s = noise_s_});
  }
}

/// A base that was not seen again for a window may be gone. Since our own queue would hide it, the
/// line is let run empty first.
void RateControl::rotate_base(Instant now) {
  if (base_now_ - base_ > target_ / 4 && drain_until_ == Instant{} && proven_) {
    drain_until_ = now + from_s(to_s(2 * target_) / (1 - gain_draining)) + round_;
    return;
  }
  if (now < drain_until_ && base_now_ - base_ > target_ / 4) return;
  drain_until_ = Instant{};
  jitter_.lower(jitter_.height() - std::max(base_now_ - base_, Duration{0}));
  base_ = base_now_;
  base_now_ = Duration::max();
  base_began_ = now;
}

RateControl::Span RateControl::span(std::size_t back) const {
  const Point &to = at(0), &from = at(back);
  Span s;
  // What the host refused is taken back later, so the sum may fall.
  const auto sent = static_cast<double>(std::max(to.sent_bytes, from.sent_bytes) - from.sent_bytes);
  const auto delivered = static_cast<double>(to.delivered_bytes - from.delivered_bytes);
  s.sent_s = to_s(to.sent - from.sent);
  s.sent_bps = sent * 8 / s.sent_s;
  s.delivered_bps = delivered * 8 / to_s(to.arrived - from.arrived);
  s.loss = sent > 0 ? std::clamp(1 - delivered / sent, 0.0, 1.0) : 0;
  s.starved = static_cast<double>(to.starved_bytes - from.starved_bytes) > starved_most * sent;
  Duration least = Duration::max();
  for (std::size_t i = 0; i <= back; ++i) least = std::min(least, at(i).delay - floor());
  least -= from_s((proven_ ? noise_in_standing : noise_in_first) * noise_s_);
  s.standing = least > own_target_ / 4;
  s.full = s.standing && microseconds(to.paused_us - from.paused_us) < least &&
           (!s.starved || sent >= full_bytes_least);
  s.trust = std::min(1.0, trusted_error * to_s(to.arrived - from.arrived) / (2 * noise_s_ + 1e-9));
  return s;
}

/// The queueing delay a datagram will meet that is sent now: what the newest met, and what was sent
/// after it beyond the line's capacity. The least of the last few, for the line's own noise.
double RateControl::predicted_queue_s(std::uint64_t sent_bytes_now, Instant now) const {
  double least = 1e9;
  for (std::size_t i = 0; i < count_ && at(0).arrived - at(i).arrived <= milliseconds(15); ++i) {
    const Point& p = at(i);
    const double after_s =
        static_cast<double>(std::max(sent_bytes_now, p.sent_bytes) - p.sent_bytes) * 8 /
        std::max(capacity_, rate_least_bps);
    least = std::min(least, to_s(p.delay - floor()) + after_s - to_s(now - p.sent));
  }
  return std::max(least, 0.0);
}

Duration RateControl::queue_ahead(std::uint64_t sent_bytes_now, Instant now) const {
  if (!proven_ || count_ == 0) return queue_;
  return from_s(std::min(predicted_queue_s(sent_bytes_now, now), 1.0));
}

void RateControl::steer(const RateFeedback& f, Instant now) {
  const Duration window = std::clamp<Duration>(f.rtt, milliseconds(40), milliseconds(200));
  std::size_t back = 1;
  while (back + 1 < count_ && at(0).arrived - at(back).arrived < window) ++back;
  if (back >= count_ || at(0).arrived - at(back).arrived < milliseconds(2)) return;
  // The first queue, or one that grows fast: what came while it stood tells soonest.
  if (queue_ > 2 * target_ || (!proven_ && queue_ > target_ / 2)) {
    while (back > 1 && at(back).delay - floor() <= target_ / 4 &&
           at(0).arrived - at(back - 1).arrived >= milliseconds(12)) {
      --back;
    }
  }
  const Span s = span(back);
  const double elapsed_s = to_s(std::min<Duration>(now - steered_, seconds(1)));
  const double rounds = std::min(elapsed_s / to_s(round_), 1.0);
  steered_ = now;
  // Datagrams of about the last four rounds.
  const double fresh = s.sent_s > 0 ? std::min(1.0, rounds * to_s(round_) / s.sent_s) : 0;
  const double datagrams = s.sent_bps / 8 * s.sent_s / f.datagram_bytes * fresh;
  const double keep = 1 - rounds / 4;
  // What is lost although hardly anything is sent is no overflow.
  const bool little = s.sent_bps < capacity_ / 2 || rate_ <= rate_least_bps;
  if (s.loss < loss_usual_ || little) loss_usual_ += (s.loss - loss_usual_) * rounds / 8;
  sent_recently_ = sent_recently_ * keep + datagrams;
  lost_recently_ = lost_recently_ * keep + datagrams * s.loss;
  // A stranger may keep hardly more than we would, where only our own datagrams queue; what the
  // line's jitter adds to the target says less.
  const Duration alone = own_target_ * 11 / 10 + 2 * (target_ - own_target_);
  const ForeignQueue::Seen seen{.base = base_,
                                .queue = queue_,
                                .alone = alone,
                                .delay = f.delay,
                                .target = target_,
                                .round = round_,
                                .sent_bps = s.sent_bps,
                                .arrives_bps = s.delivered_bps / (1 - std::min(loss_usual_, 0.5)),
                                .capacity_bps = std::max(capacity_, rate_least_bps),
                                .elapsed_s = elapsed_s};
  if (foreign_.stands(seen, now)) {
    take_for_base(delay_smooth_ = floor() + queue_ - target_ / 4, now);
  }
  if (checks(seen, now)) {
    rate_ = capacity_ * gain_checking;
  } else if (now < drain_until_) {
    rate_ = capacity_ * gain_draining;
    if (queue_ <= target_ / 4) rotate_base(now);
  } else if (queue_ > target_ / 2) {
    follow(s, rounds);
    // What came before the first queue says nothing of the capacity.
    if (!proven_) return;
    // What jitter makes of the capacity is no swing.
    if (s.full && s.trust > trust_for_swing && !competes_) swing_.add(capacity_, now);
    const double horizon_s = std::max({0.040, to_s(round_) / 4, 10 * noise_s_});
    const double error_s = to_s(target_) - predicted_queue_s(f.sent_bytes_now, now);
    const double gain = std::clamp(1 + error_s / horizon_s, gain_least, gain_most);
    // What the line loses anyway must be sent on top to fill it.
    rate_ = capacity_ * gain / (1 - std::min(loss_usual_, 0.5));
  } else {
    grow(s, rounds, now);
  }
  compete(f, s, elapsed_s, now);
  if (proven_) proven_s_ += elapsed_s;
  recent_bps_ = std::max(capacity_, recent_bps_ * (1 - elapsed_s / recent_memory_s));
  rate_ = std::clamp(rate_, rate_least_bps, rate_most_bps);
}

/// A queue stands, so this is what the line delivers.
void RateControl::follow(const Span& s, double rounds) {
  growth_ = 0;
  policer_ = Policer::none;
  // A buffer that overflows is shorter than the target.
  target_max_ = std::min<Duration>(
      target_max_ + from_s(to_s(target_max_) * rounds * to_s(round_) / 5), milliseconds(200));
  if (lost_recently_ > lost_least && queue_ < 2 * target_ &&
      lost_recently_ > (loss_usual_ + loss_noticed) * sent_recently_) {
    target_max_ = std::max<Duration>(queue_ * 3 / 4, milliseconds(1));
    lost_recently_ = 0;
  }
  // That less arrives than the line can carry is only shown when more was sent than arrives, by
  // more than the noise of the delay makes of it.
  const double error = std::min(trusted_error / s.trust, 0.5);
  const bool falls = s.delivered_bps < (1 - error) * (1 - loss_usual_) * s.sent_bps;
  if (!proven_ && s.full) {
    capacity_ = s.delivered_bps;
  } else if (s.delivered_bps >= capacity_) {
    const double step = s.trust == 1 ? 1 : std::min(1.0, 2 * rounds * s.trust);
    capacity_ += (s.delivered_bps - capacity_) * step;
  } else if (s.full && (!s.starved || falls)) {
    const double step = falls ? 2 * rounds : queue_ > target_ ? rounds / 8 : 0;
    capacity_ += (s.delivered_bps - capacity_) * std::min(1.0, step);
  }
  proven_ |= s.full;
}

/// No queue stands: the line may be able to do more.
void RateControl::grow(const Span& s, double rounds, Instant now) {
  capacity_ = std::max(capacity_, s.delivered_bps);
  if (policed(s, rounds, now)) return;
  if (s.loss <= loss_usual_ && s.delivered_bps > policer_gone * policed_before_bps_) {
    policed_before_bps_ = 0;
  }
  if (s.loss > loss_usual_) loss_usual_ += (s.loss - loss_usual_) * rounds / 8;
  if (s.starved) return;
  if (growth_ == 0) {
    mark_sent_bps_ = s.sent_bps, mark_delivered_bps_ = s.delivered_bps;
    rate_ = std::max(rate_, capacity_);
  }
  // First so little that a quarter of the target's queue may come of it, then twice as much each
  // round.
  const double first = std::min(0.05, 0.25 * to_s(target_) / to_s(round_));
  // Where the capacity comes and goes, it is back as suddenly.
  const double least = std::lerp(first, growth_most, swing_.degree());
  growth_ = std::clamp(growth_ * (1 + rounds), least, growth_most);
  rate_ *= 1 + (proven_ ? growth_ : growth_starting) * rounds;
  // What was never seen to arrive is not believed for long.
  const double ahead = proven_ ? 1 + 2 * growth_ : 2;
  rate_ = std::min(rate_, ahead * std::max(capacity_, static_cast<double>(start_bps)));
}

/// True while the rate is held because of a policer.
bool RateControl::policed(const Span& s, double rounds, Instant now) {
  switch (policer_) {
    case Policer::none: {
      const bool more = s.sent_bps > 1.08 * mark_sent_bps_ && mark_sent_bps_ > 0;
      const bool no_more_arrives =
          s.delivered_bps < mark_delivered_bps_ * (1 + 0.5 * (s.sent_bps / mark_sent_bps_ - 1));
      if (!more || !no_more_arrives || s.starved || lost_recently_ < lost_least ||
          s.loss < loss_usual_ + loss_noticed) {
        return false;
      }
      policer_ = Policer::suspected;
      rate_before_check_ = rate_;
      corrections_ = 0;
      // A rate that was held before is the better guess: what arrives now has the bucket in it.
      check_policed(s, policed_before_bps_ > 0 ? policed_before_bps_ : s.delivered_bps, now);
      return true;
    }
    case Policer::suspected:
      if (now < check_until_) return true;
      if (s.loss > loss_usual_ + loss_noticed / 2) {
        // What a line loses at any rate is much the same at both. Else its bucket passed more than
        // its rate when that was measured.
        const bool differs = s.loss > 2 * policed_loss_ || s.loss < policed_loss_ / 2;
        if (differs && corrections_ < corrections_most) {
          ++corrections_;
          check_policed(s, std::min(policed_bps_, s.delivered_bps), now);
          return true;
        }
        policer_ = Policer::none;
        loss_usual_ = s.loss;
        rate_ = rate_before_check_;
        return false;
      }
      policer_ = Policer::held;
      proven_ = true;
      hold_policed(policed_bps_, now);
      corrections_ = 0;
      hold_until_ = now + hold_;
      hold_ = std::min<Duration>(2 * hold_, hold_most);
      return true;
    case Policer::held:
      if (now < hold_until_) {
        // What its bucket let pass was taken for its rate. Loss that stays, or that is much, has
        // other reasons.
        const bool too_fast = lost_recently_ > lost_least && s.sent_bps > 0.97 * rate_ &&
                              s.loss > loss_usual_ + loss_noticed / 2 &&
                              s.delivered_bps > correction_least * policed_bps_;
        if (too_fast && now >= check_until_ && corrections_ < corrections_most) {
          ++corrections_;
          hold_policed(std::min(policed_bps_, s.delivered_bps), now);
        } else if (corrections_ == 0 && lost_recently_ < 1 && s.sent_bps > 0.9 * rate_) {
          // Slowly, for its bucket hides for a second that a hundredth too much is sent.
          rate_ *= 1 + policed_creep * rounds * to_s(round_);
          capacity_ = policed_bps_ = std::max(policed_bps_, rate_);
        }
        return true;
      }
      policer_ = Policer::none;
      policed_before_bps_ = policed_bps_;
      growth_ = 0;
      return false;
  }
  return false;
}

/// A little less than what arrives is sent for a while, to see whether that is lost, too.
void RateControl::check_policed(const Span& s, double bps, Instant now) {
  policed_bps_ = bps;
  policed_loss_ = s.loss;
  rate_ = policed_bps_ * 0.95;
  check_until_ = now + 3 * round_ + milliseconds(100);
}

void RateControl::hold_policed(double bps, Instant now) {
  capacity_ = policed_bps_ = bps;
  // What was held without loss before is safe.
  rate_ = bps == policed_before_bps_ ? bps : bps * 0.99;
  lost_recently_ = 0;
  check_until_ = now + 3 * round_ + milliseconds(100);
}

/// True while the link is all but stopped to see whose queue it is.
bool RateControl::checks(const ForeignQueue::Seen& seen, Instant now) {
  if (foreign_.checks(seen, now)) return true;
  if (foreign_.found_gone()) take_for_base(delay_smooth_ = foreign_.found_base(), now);
  return false;
}

/// Beside somebody who fills the line, its delay cannot be held down from here: then we take what
/// one more TCP flow would. Half of what the line was seen to carry alone is enough: should nobody
/// be there after all, that much drains the queue.
void RateControl::compete(const RateFeedback& f, const Span& s, double elapsed_s, Instant now) {
  if (!contested(now)) {
    alone_bps_ = std::max(proven_ ? capacity_ : 0, alone_bps_ * (1 - elapsed_s / alone_memory_s));
    alone_s_ = proven_ ? alone_s_ + elapsed_s : 0;
    competes_ = false;
    return;
  }
  if (!competes_) share_.begin(std::max(capacity_, alone_bps_ * share_alone_most));
  competes_ = true;
  if (!foreign_.settling(now)) {
    const bool overflows = lost_recently_ > lost_least &&
                           lost_recently_ > (loss_usual_ + loss_noticed) * sent_recently_;
    const bool too_much =
        s.standing && s.delivered_bps < share_arrives_least * (1 - loss_usual_) * s.sent_bps;
    const FairShare::Step step{.elapsed_s = elapsed_s,
                               .round_s = to_s(round_),
                               .datagrams_rate = 8.0 * f.datagram_bytes / to_s(f.rtt),
                               .decrease = overflows || too_much,
                               .used = s.sent_bps > 0.8 * share_.bps()};
    if (share_.step(step)) lost_recently_ = 0;
  }
  if (alone_s_ > alone_known_s) share_.limit(alone_bps_ * share_alone_most);
  if (!foreign_.checking()) rate_ = std::max(rate_, share_.bps());
}

void RateControl::take_for_base(Duration delay, Instant now) {
  base_ = base_now_ = delay;
  base_began_ = now;
  jitter_.reset();
  foreign_.reset_queue();
  drain_until_ = Instant{};
}

}  // namespace mwtun
