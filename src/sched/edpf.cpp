#include "sched/edpf.hpp"

#include <algorithm>

namespace mwtun {

static constexpr std::uint64_t rate_unknown_bps = 10'000'000;
static constexpr double delivery_ns_max = 4e18;  // A century, which an int64 still holds.

Duration predicted_delivery(const LinkView& link, std::uint32_t bytes) {
  // What an idle link has delivered says only "at least".
  const bool known = link.rate_proven && link.rate_bps != 0;
  const auto rate_bps =
      static_cast<double>(known ? link.rate_bps : std::max(link.rate_bps, rate_unknown_bps));
  // Acknowledged after the round trip, or after all in flight has drained: whichever is later.
  const double drain_ns = static_cast<double>(link.in_flight_bytes + bytes) * 8e9 / rate_bps;
  const double trip_ns = static_cast<double>(link.rtt_min.count()) + bytes * 8e9 / rate_bps;
  const double delivery_ns = std::min(std::max(drain_ns, trip_ns), delivery_ns_max);
  return Duration{static_cast<std::int64_t>(delivery_ns)} - link.rtt_min / 2;
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
