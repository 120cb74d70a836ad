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
  if (kind_ == SchedulerKind::active_backup) active_backup_.update(links, eligible_, now);
  if (eligible_ == before) return;
  if (kind_ == SchedulerKind::round_robin) round_robin_.restart();
  if (kind_ == SchedulerKind::hash) hash_.update(links, eligible_);
}

std::optional<LinkId> Scheduler::pick(std::span<const LinkView> links, std::uint32_t bytes,
                                      std::uint64_t flow_hash, LinkSet except) {
  LinkSet among = eligible_;
  for (const LinkView& link : links) {
    if (except.has(link.id)) among.remove(link.id);
  }
  if (among.empty()) among = eligible_;
  if (among.empty()) return std::nullopt;
  switch (kind_) {
    case SchedulerKind::round_robin: return round_robin_.pick(links, among);
    case SchedulerKind::hash: return hash_.pick(flow_hash, among);
    case SchedulerKind::active_backup: return active_backup_.pick(links, among);
    case SchedulerKind::adaptive:
    case SchedulerKind::redundant: break;
  }
  return pick_earliest(links, among, bytes);
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
