#include "sched/edpf.hpp"

#include <algorithm>

namespace mwtun {

static constexpr std::uint64_t rate_unknown_bps = 10'000'000;
static constexpr double bytes_ns_max = 1e18;  // Decades, whose sum an int64 still holds.

Duration predicted_delivery(const LinkView& link, std::uint64_t bytes) {
  const std::uint64_t rate_bps = link.rate_bps == 0 ? rate_unknown_bps : link.rate_bps;
  const double bytes_ns = static_cast<double>(bytes) * 8e9 / static_cast<double>(rate_bps);
  return link.wait + link.queue + link.one_way +
         Duration{static_cast<std::int64_t>(std::min(bytes_ns, bytes_ns_max))};
}

std::optional<LinkId> pick_earliest(std::span<const LinkView> links, LinkSet among,
                                    std::uint32_t bytes) {
  std::optional<LinkId> best;
  Duration best_delivery = Duration::max();
  for (const LinkView& link : links) {
    if (!among.has(link.id)) continue;
    const Duration delivery = predicted_delivery(link, bytes);
    if (delivery < best_delivery) best = link.id, best_delivery = delivery;
  }
  return best;
}

}  // namespace mwtun
