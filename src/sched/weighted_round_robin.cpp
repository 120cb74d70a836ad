#include "sched/weighted_round_robin.hpp"

namespace mwtun {

std::optional<LinkId> WeightedRoundRobin::pick(std::span<const LinkView> links,
                                               LinkSet among) const {
  const LinkView* best = nullptr;
  for (const LinkView& link : links) {
    if (!among.has(link.id)) continue;
    // sent/weight compared without division; 2^64 bytes at weight 1000 are out of reach.
    if (best == nullptr || sent_bytes_[index_of(link.id)] * best->weight <
                               sent_bytes_[index_of(best->id)] * link.weight) {
      best = &link;
    }
  }
  return best == nullptr ? std::nullopt : std::optional(best->id);
}

}  // namespace mwtun
