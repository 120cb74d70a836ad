#pragma once
#include <span>

#include "sched/link_view.hpp"

namespace mwtun {

/// Those of `wanted` that answer. A link whose answers are overdue does not count, so what should
/// travel on it alone moves on at once.
inline LinkSet answering_of(std::span<const LinkView> links, LinkSet wanted) {
  LinkSet found;
  for (const LinkView& link : links) {
    if (wanted.has(link.id) && link.tier < LinkTier::held) found.add(link.id);
  }
  return found;
}

/// Makes the others unusable, in a copy of the views that a scheduler's update() is given.
inline void restrict_to(std::span<LinkView> links, LinkSet allowed) {
  for (LinkView& link : links) {
    if (!allowed.has(link.id)) link.tier = LinkTier::unusable;
  }
}

}  // namespace mwtun
