#include "sched/priority_tiers.hpp"

#include <algorithm>

#include "sched/scheduler.hpp"

namespace mwtun {

/// Shares of the measured rate. Between the first two nothing changes, so that a load near the
/// brim opens and leaves nothing all the time. A standing queue says little while the links are not
/// even used by half: then it is something else that holds the frames back.
static constexpr double full_share = 0.85;
static constexpr double room_share = 0.70;
static constexpr double used_share = 0.50;

void PriorityTiers::restart(Instant now) {
  began_ = now;
  bytes_ = 0;
  queue_stood_ = true;
}

LinkSet PriorityTiers::update(std::span<const LinkView> links, Duration queue_delay, Instant now) {
  const LinkSet before = candidates_;
  candidates_ = best_tier(links);
  std::uint8_t best = 255, worst = 0;
  for (const LinkView& link : links) {
    if (!candidates_.has(link.id)) continue;
    best = std::min(best, link.priority);
    worst = std::max(worst, link.priority);
  }
  if (best >= worst) {
    // One tier, or none: nothing to decide, and nothing to measure.
    if (!candidates_.empty()) open_ = best;
    allowed_ = candidates_;
    full_for_ = room_for_ = Duration{0};
    restart(now);
    return allowed_;
  }
  // What is better than all that is open must be taken; what died may have been open.
  open_ = std::clamp(open_, best, worst);
  if (candidates_ != before) {
    full_for_ = room_for_ = Duration{0};
    restart(now);
  }
  queue_stood_ &= queue_delay >= queue_long;
  if (now - began_ >= window) judge(links, now);
  allowed_ = {};
  for (const LinkView& link : links) {
    if (candidates_.has(link.id) && link.priority <= open_) allowed_.add(link.id);
  }
  return allowed_;
}

/// A window is over.
void PriorityTiers::judge(std::span<const LinkView> links, Instant now) {
  std::uint8_t last_open = 0, better = 0, next = 255;
  bool is_better = false;
  for (const LinkView& link : links) {
    if (!candidates_.has(link.id)) continue;
    if (link.priority <= open_) last_open = std::max(last_open, link.priority);
    if (link.priority > open_) next = std::min(next, link.priority);
  }
  double open_bps = 0, better_bps = 0;
  bool measured = true;
  for (const LinkView& link : links) {
    if (!candidates_.has(link.id) || link.priority > open_) continue;
    open_bps += static_cast<double>(link.rate_bps);
    measured &= link.rate_proven;
    if (link.priority == last_open) continue;
    better_bps += static_cast<double>(link.rate_bps);
    better = std::max(better, link.priority);
    is_better = true;
  }
  const Duration elapsed = now - began_;
  const double sent_bps = static_cast<double>(bytes_) * 8e9 / static_cast<double>(elapsed.count());
  // A rate that still grows is reached by whoever starts to send: only a queue tells then.
  const bool full = (measured && sent_bps >= full_share * open_bps) ||
                    (queue_stood_ && sent_bps >= used_share * open_bps);
  const bool room = sent_bps < room_share * better_bps;
  full_for_ = full ? full_for_ + elapsed : Duration{0};
  room_for_ = room ? room_for_ + elapsed : Duration{0};
  if (full_for_ >= open_after && next > open_) {
    open_ = next;
    full_for_ = room_for_ = Duration{0};
  } else if (room_for_ >= close_after && is_better) {
    open_ = better;
    full_for_ = room_for_ = Duration{0};
  }
  restart(now);
}

}  // namespace mwtun
