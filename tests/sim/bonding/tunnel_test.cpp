#include <catch2/catch.hpp>

#include "support/sim_bonding_cases.hpp"

using namespace mwtun;
using namespace mwtun::test;

TEST_CASE("a TCP flow, pings and UDP go through a tunnel unaltered") {
  BondingWorld world(BondingWorld::Kind::tunnel, {"rate=20M delay=5ms", "rate=20M delay=10ms"}, {});
  const PingSource& ping = world.add_ping(seconds(1));
  UdpSource::Options options;
  options.rate_bps = 2'000'000;
  options.start = seconds(1), options.stop = seconds(9);
  const UdpSource& udp = world.add_udp(options);
  const TcpFlow& down = world.add_tcp(Side::client, seconds(1));
  const TcpFlow& up = world.add_tcp(Side::server, seconds(1));
  world.run_until(seconds(10));
  for (const TcpFlow* flow : {&down, &up}) {
    CHECK(flow->broken() == 0);
    CHECK(flow->delivered_bytes() > 9u * 12'000'000 / 8);
  }
  CHECK(world.net().strays() == 0);
  CHECK(world.tunnel().sessions_lost() == 0);
  const Instant begin = Agenda::begin;
  CHECK(ping.unanswered(begin, begin + seconds(9)) == 0);
  CHECK(ping.duplicates() == 0);
  CHECK(udp.duplicates() == 0);
  CHECK(udp.summary(begin, begin + seconds(9)).lost == 0);
}

TEST_CASE("two lines give one flow more than one line can") {
  BondingOptions options;
  options.measured = seconds(4);
  const std::string line = "rate=20M delay=10ms";
  const BondingRun one = run_bonding(BondingWorld::Kind::tunnel, {line}, options);
  const BondingRun both = run_bonding(BondingWorld::Kind::tunnel, {line, line}, options);
  CHECK(one.goodput_bps < 20e6);
  CHECK(both.goodput_bps > 1.5 * one.goodput_bps);
}

TEST_CASE("a line too far to be striped over costs a flow no more than two hundredths") {
  BondingOptions options;
  options.measured = seconds(8);
  const std::string near = "rate=40M delay=35ms";
  const std::string far = "rate=20M delay=320ms jitter=20ms loss=0.5%";
  for (options.seed = 1; options.seed <= 3; ++options.seed) {
    for (options.flows = 1; options.flows <= 4; options.flows += 3) {
      CAPTURE(options.seed, options.flows);
      const BondingRun one = run_bonding(BondingWorld::Kind::tunnel, {near}, options);
      const BondingRun both = run_bonding(BondingWorld::Kind::tunnel, {near, far}, options);
      CHECK(both.goodput_bps > 0.98 * one.goodput_bps);
      // CoDel acts as soon as it would on the near line alone: what waits is no more.
      CHECK(both.retransmitted < one.retransmitted + 50);
    }
  }
}

TEST_CASE("jitter that pings meet does not make a line a slow one") {
  BondingOptions options;
  for (options.seed = 1; options.seed <= 5; ++options.seed) {
    CAPTURE(options.seed);
    BondingWorld world(BondingWorld::Kind::tunnel, {"rate=50M delay=20ms jitter=20ms"}, options);
    world.add_ping(seconds(1));
    world.run_until(seconds(5));
    for (const Side side : {Side::client, Side::server}) {
      CHECK(world.tunnel().report(side).links.at(0).pacing_bps >= 40'000'000);
    }
  }
}

TEST_CASE("hosts outside the tunnel share a line with it") {
  BondingWorld world(BondingWorld::Kind::tunnel, {"rate=20M delay=10ms"}, {});
  const TcpFlow& inside = world.add_tcp(Side::client, seconds(2));
  const TcpFlow& outside =
      world.add_tcp(world.outside(0), Side::client, TcpKind::cubic, seconds(2));
  world.run_until(seconds(12));
  CHECK(outside.delivered_bytes() > 0);
  CHECK(inside.delivered_bytes() > 0);
  const double all = static_cast<double>(outside.delivered_bytes() + inside.delivered_bytes());
  CHECK(all * 8 / 10 < 20e6);
  CHECK(all * 8 / 10 > 15e6);
}

TEST_CASE("every line of every pair reads, and the stand-in for a trace is one") {
  BondingOptions options;
  options.load_trace = [](const std::string& name) -> Result<linkem::TracePtr> {
    return synthetic_trace(name);
  };
  for (const BondingScenario& scenario : bonding_scenarios()) {
    INFO(scenario.name);
    const std::vector<std::string> lines(scenario.lines.begin(), scenario.lines.end());
    BondingWorld world(BondingWorld::Kind::tunnel, lines, options);
    CHECK(world.line_count() >= 2);
    for (std::size_t line = 0; line < world.line_count(); ++line) {
      CHECK(world.line(line).options(Side::server).own.average_bps() > 1'000'000);
      CHECK(world.line(line).options(Side::client).delay >= milliseconds(6));
    }
  }
  CHECK(synthetic_trace("one")->period() == seconds(60));
  CHECK(synthetic_trace("one")->average_bps() == synthetic_trace("one")->average_bps());
  CHECK(synthetic_trace("one")->average_bps() != synthetic_trace("two")->average_bps());
}
