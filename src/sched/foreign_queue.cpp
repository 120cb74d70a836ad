#include "sched/foreign_queue.hpp"

namespace mwtun {

static constexpr Duration contested_for = seconds(60), base_kept_for = seconds(60);
static constexpr Duration unraised_for = seconds(15);
static constexpr Duration check_every_least = seconds(2), check_every_most = seconds(32);
static constexpr Duration check_most = milliseconds(400);

static double to_s(Duration d) {
  return static_cast<double>(d.count()) * 1e-9;
}

bool ForeignQueue::stands(const Seen& seen, Instant now) {
  if (seen.queue <= seen.alone) {
    reset_queue();
    return false;
  }
  if (over_s_ == 0) queue_over_ = seen.queue;
  over_s_ += seen.elapsed_s;
  if (seen.arrives_bps < 0.93 * seen.sent_bps) {
    drained_s_ = 0;
  } else {
    if (drained_s_ == 0) queue_then_ = seen.queue;
    // The capacity is not known to a few hundredths.
    const double less = 1 - seen.sent_bps / seen.capacity_bps;
    drained_s_ += (less > 0.1 ? less : 0) * seen.elapsed_s + 1e-9;
  }
  const bool drains = drained_s_ >= std::max(to_s(queue_then_) / 2, 0.020);
  const bool in_vain = drains && to_s(seen.queue) > to_s(queue_then_) - drained_s_ / 4;
  if (drains) drained_s_ = 0;
  // However it is: what has stood for so long will not go away.
  const bool lasts = over_s_ > 3 + 10 * to_s(seen.round);
  const bool verdict = in_vain || (lasts && seen.queue > queue_over_ / 2);
  if (lasts) over_s_ = 0;
  if (!verdict) return false;
  if (!contested(now)) {
    // What is the least now may have his queue in it still.
    base_before_ = now < base_kept_until_ ? std::min(base_before_, seen.base) : seen.base;
    check_every_ = check_every_least;
    plan_check(now);
  }
  contested_until_ = now + contested_for;
  base_kept_until_ = contested_until_ + base_kept_for;
  return true;
}

bool ForeignQueue::checks(const Seen& seen, Instant now) {
  if (check_end_ != Instant{}) {
    check_least_ = std::min(check_least_, seen.delay);
    if (now < check_end_) return true;
    end_check(seen, now);
    return false;
  }
  const Duration raised = seen.base - base_before_;
  if (!contested(now)) return false;
  if (raised < seen.target) {
    // There is nothing to check. He may be back soon, or have ended.
    contested_until_ = std::min(contested_until_, now + unraised_for);
    return false;
  }
  if (now < check_at_) return false;
  raised_then_ = raised;
  check_least_ = seen.delay;
  check_end_ = now + std::min<Duration>(raised * 3 / 2, check_most) + seen.round;
  return true;
}

void ForeignQueue::end_check(const Seen& seen, Instant now) {
  check_end_ = Instant{};
  if (check_least_ - base_before_ < raised_then_ / 4) {
    gone_ = true;
    contested_until_ = now;
    return;
  }
  check_every_ = std::min(2 * check_every_, check_every_most);
  settled_at_ = now + 2 * seen.round + milliseconds(200);
  plan_check(now);
}

/// The next whole multiple, which is the same for every link.
void ForeignQueue::plan_check(Instant now) {
  check_at_ = Instant{(now.time_since_epoch() / check_every_ + 1) * check_every_};
}

}  // namespace mwtun
