#include "sched/scheduler.hpp"

#include <algorithm>

namespace mwtun {

LinkSet best_tier(std::span<const LinkView> links) {
  LinkTier best = LinkTier::unusable;
  for (const LinkView& link : links) best = std::min(best, link.tier);
  LinkSet set;
  if (best == LinkTier::unusable) return set;
  for (const LinkView& link : links) {
    if (link.tier == best) set.add(link.id);
  }
  return set;
}

void Scheduler::update(std::span<const LinkView> links, Instant now) {
  const LinkSet before = eligible_;
  eligible_ = best_tier(links);
  weights_equal_ = true;
  const LinkView* first = nullptr;
  for (const LinkView& link : links) {
    if (!eligible_.has(link.id)) continue;
    if (first == nullptr) first = &link;
    weights_equal_ &= link.weight == first->weight;
  }
  if (kind_ == SchedulerKind::active_backup) active_backup_.update(links, eligible_, now);
  if (eligible_ == before) return;
  if (kind_ == SchedulerKind::round_robin) round_robin_.restart();
  if (kind_ == SchedulerKind::hash) hash_.update(links, eligible_);
}

static LinkSet ready(std::span<const LinkView> links, LinkSet among, Duration wait_max = {}) {
  for (const LinkView& link : links) {
    if (link.wait > wait_max) among.remove(link.id);
  }
  return among;
}

static bool waits(std::span<const LinkView> links, LinkId id, Duration wait_max) {
  for (const LinkView& link : links) {
    if (link.id == id) return link.wait > wait_max;
  }
  return false;
}

LinkSet Scheduler::striped(std::span<const LinkView> links) const {
  if (kind_ != SchedulerKind::adaptive) return eligible_;
  LinkSet found = eligible_;
  Duration best = Duration::max();
  for (const LinkView& link : links) {
    // A queue at the near end passes; while it stands the far end is no nearer.
    if (eligible_.has(link.id)) best = std::min(best, link.one_way);
  }
  for (const LinkView& link : links) {
    if (link.one_way + link.queue - best > stripe_spread_max) found.remove(link.id);
  }
  return found;
}

/// Those of them that are worth it now. What a nearer link can carry alone, with bursts that are
/// over before the farther one's frames would arrive, stays on the nearer one.
LinkSet Scheduler::stripe(std::span<const LinkView> links, LinkSet among,
                          std::uint64_t backlog_bytes) const {
  const LinkSet near = striped(links);
  Duration soonest = Duration::max();
  for (const LinkView& link : links) {
    if (!among.has(link.id)) continue;
    const Duration carried = predicted_delivery(link, backlog_bytes) - link.wait;
    soonest = std::min(soonest, carried + link.busy);
  }
  for (const LinkView& link : links) {
    const bool late = link.one_way + link.queue - stripe_slack > soonest;
    if (late || !near.has(link.id)) among.remove(link.id);
  }
  return among;
}

std::optional<LinkId> Scheduler::pick(std::span<const LinkView> links, std::uint32_t bytes,
                                      std::uint64_t flow_hash, LinkSet except, bool urgent,
                                      std::uint64_t backlog_bytes) const {
  LinkSet among = eligible_;
  for (const LinkView& link : links) {
    if (except.has(link.id)) among.remove(link.id);
  }
  if (among.empty()) among = eligible_;
  if (among.empty()) return std::nullopt;
  std::optional<LinkId> chosen;
  switch (kind_) {
    case SchedulerKind::round_robin:
      // Weights that somebody gave are kept to; else whoever has room is next, and the shares are
      // the rates'.
      if (weights_equal_) {
        among = ready(links, among, urgent ? urgent_wait_max : Duration{0});
      }
      chosen = round_robin_.pick(links, among);
      break;
    case SchedulerKind::hash: chosen = hash_.pick(flow_hash, among); break;
    case SchedulerKind::active_backup: chosen = active_backup_.pick(links, among); break;
    case SchedulerKind::adaptive:
    case SchedulerKind::redundant:
      if (!urgent) among = ready(links, stripe(links, among, backlog_bytes));
      chosen = pick_earliest(links, among, bytes);
      break;
  }
  if (!chosen || waits(links, *chosen, urgent ? urgent_wait_max : Duration{0})) return std::nullopt;
  return chosen;
}

std::optional<LinkId> Scheduler::pick_soonest(std::span<const LinkView> links, std::uint32_t bytes,
                                              LinkSet except) const {
  LinkSet among = eligible_;
  for (const LinkView& link : links) {
    if (except.has(link.id)) among.remove(link.id);
  }
  return pick_earliest(links, among.empty() ? eligible_ : among, bytes);
}

}  // namespace mwtun
