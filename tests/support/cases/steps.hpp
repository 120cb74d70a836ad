#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "support/sim_world.hpp"

namespace mwtun::test {

/// What the cases are made of: lines, traffic, expectations.
using Outcome = std::optional<Violation>;

/// As in WorldOptions, for the worlds that pair_over() describes from now on.
void set_verbosity(unsigned verbose);

LineOptions line(Duration delay, std::uint64_t rate_bps = 0, double loss = 0);
WorldOptions pair_over(std::uint64_t seed, const std::vector<LineOptions>& lines);
TrafficOptions traffic(FlowKind kind, bool up, Duration gap, Duration start = seconds(2));
double in_ms(Duration time);

void expect_all_delivered(World& world, std::size_t flow);
/// No two frames of the flow that were sent one after the other came out further apart than this.
void expect_no_gap(World& world, std::size_t flow, Duration from, Duration most, const char* rule);
void expect_latency(World& world, std::size_t flow, Duration most, const char* rule);
void expect_all_taken_in(World& world);

/// Sum of a counter over the links of one end.
template <typename Get>
std::uint64_t over_links(const World& world, EndId end, EndId peer, Get get) {
  std::uint64_t sum = 0;
  for (const LinkReport& link : world.report(end, peer).links) sum += get(link);
  return sum;
}
const LinkReport* link_of(const PeerReport& report, std::size_t link);
bool all_up(const World& world, EndId end, EndId peer, std::size_t links);
/// As a wiretap has it.
Recording copy_of(const World& world, const Sending& sending);

}  // namespace mwtun::test
