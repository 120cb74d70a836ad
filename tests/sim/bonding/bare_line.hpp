#pragma once
#include <string>

#include "support/sim_bonding.hpp"

namespace mwtun::test {

/// One line without a tunnel.
struct BareLine {
  explicit BareLine(const std::string& settings, std::uint64_t seed = 1)
      : world(BondingWorld::Kind::bare, {settings}, options_with(seed)) {}
  static BondingOptions options_with(std::uint64_t seed) {
    BondingOptions options;
    options.seed = seed;
    return options;
  }
  TcpFlow& flow(TcpKind kind, Duration start = milliseconds(10)) {
    return world.add_tcp(world.net(), Side::client, kind, start);
  }
  /// Payload rate from now until then, Mbit/s.
  double run_mbit(const TcpFlow& tcp, Duration until) {
    const Duration from = world.agenda.elapsed();
    const std::uint64_t before = tcp.delivered_bytes();
    world.run_until(until);
    return static_cast<double>(tcp.delivered_bytes() - before) * 8e-6 /
           std::chrono::duration<double>(until - from).count();
  }
  BondingWorld world;
};

}  // namespace mwtun::test
