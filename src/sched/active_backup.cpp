#include "sched/active_backup.hpp"

namespace mwtun {

static const LinkView* best_of(std::span<const LinkView> links, LinkSet among) {
  const LinkView* best = nullptr;
  for (const LinkView& link : links) {
    if (!among.has(link.id)) continue;
    if (best == nullptr || link.priority < best->priority) best = &link;
  }
  return best;
}

void ActiveBackup::update(std::span<const LinkView> links, LinkSet eligible, Instant now) {
  for (const LinkView& link : links) {
    if (eligible.has(link.id) && !eligible_.has(link.id)) eligible_since_[index_of(link.id)] = now;
  }
  eligible_ = eligible;
  if (active_ && !eligible.has(*active_)) active_.reset();
  // Without an active link anyone will do; else only who has proved itself.
  LinkSet candidates;
  for (const LinkView& link : links) {
    if (!eligible.has(link.id)) continue;
    const bool proved = now - eligible_since_[index_of(link.id)] >= hold_down;
    if (!active_ || proved || link.id == *active_) candidates.add(link.id);
  }
  if (const LinkView* best = best_of(links, candidates)) active_ = best->id;
}

std::optional<LinkId> ActiveBackup::pick(std::span<const LinkView> links, LinkSet among) const {
  if (active_ && among.has(*active_)) return active_;
  const LinkView* best = best_of(links, among);
  return best == nullptr ? std::nullopt : std::optional(best->id);
}

}  // namespace mwtun
