#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "sched/link_view.hpp"

namespace mwtun {

/// When `bytes` more would be delivered by this link, from now, up to the offset of `one_way`:
/// after the wait for its pacing, the queue in the line, the bytes' own time and the way. A link of
/// unknown rate is taken for 10 Mbit/s.
Duration predicted_delivery(const LinkView& link, std::uint64_t bytes);

/// Earliest Delivery Path First (Chebrolu and Rao, IEEE TMC 5(4), 2006) over measured delays and
/// rates. A tie keeps the lower number, so that runs repeat.
std::optional<LinkId> pick_earliest(std::span<const LinkView> links, LinkSet among,
                                    std::uint32_t bytes);

}  // namespace mwtun
