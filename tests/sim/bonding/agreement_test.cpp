#include <catch2/catch.hpp>
#include <numeric>

#include "support/sim_bonding.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

/// One CUBIC flow down through the tunnel over emulated lines between real kernels, Mbit/s:
/// docs/BENCHMARKS.md, 2026-11-20, medians. What this says of the simulator holds as long as that
/// table is of the same program: measure again when the one or the other has changed.
struct Measured {
  std::string_view pair;
  std::vector<double> single;
  double both;
};

std::vector<Measured> measured() {
  return {{"equal", {91.1, 91.1}, 182.3},   {"200_20", {182.2, 18.0}, 199.7},
          {"baseline", {45.4, 45.4}, 90.8}, {"rtt_40", {45.4, 45.3}, 91.1},
          {"rtt_70", {45.4, 45.3}, 91.1},   {"bw_4to1", {45.4, 10.8}, 55.1}};
}

std::vector<std::string> lines_of(std::string_view pair) {
  for (const BondingScenario& scenario : bonding_scenarios()) {
    if (scenario.name == pair) return {scenario.lines.begin(), scenario.lines.end()};
  }
  return {};
}

constexpr double agreement = 0.07;

}  // namespace

TEST_CASE("the simulator says what real kernels give, alone and together") {
  BondingOptions options;
  options.measured = seconds(6);
  for (const Measured& one : measured()) {
    INFO(one.pair);
    const std::vector<std::string> lines = lines_of(one.pair);
    REQUIRE(lines.size() == one.single.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const BondingRun run = run_bonding(BondingWorld::Kind::tunnel, {lines[i]}, options);
      CHECK(run.goodput_bps == Approx(one.single[i] * 1e6).epsilon(agreement));
    }
    const BondingRun run = run_bonding(BondingWorld::Kind::tunnel, lines, options);
    CHECK(run.goodput_bps == Approx(one.both * 1e6).epsilon(agreement));
  }
}
