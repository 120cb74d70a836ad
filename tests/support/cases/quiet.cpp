// Cases: idle ends, calm lines, hubs, jumbo frames.
#include <fmt/format.h>

#include "support/cases/lists.hpp"
#include "support/cases/steps.hpp"

namespace mwtun::test {
namespace {

Outcome idle_is_quiet(std::uint64_t seed) {
  World world(
      pair_over(seed, {line(milliseconds(10)), line(milliseconds(40)), line(milliseconds(300))}));
  world.run_until(seconds(20));
  const std::uint64_t woke = world.wakeups(0) + world.wakeups(1);
  const std::uint64_t sent = world.datagrams_sent(0) + world.datagrams_sent(1);
  world.run_until(seconds(80));
  const std::uint64_t per_minute = world.datagrams_sent(0) + world.datagrams_sent(1) - sent;
  // One probe and one answer a second a link, from each end at most.
  world.expect(per_minute <= 60 * 3 * 4, "an idle tunnel sends little",
               fmt::format("{} a minute", per_minute));
  world.expect(per_minute >= 60, "an idle tunnel looks after its links",
               fmt::format("{} a minute", per_minute));
  world.expect(world.wakeups(0) + world.wakeups(1) - woke <= 60 * 50, "an idle tunnel sleeps",
               fmt::format("{} wake-ups a minute", world.wakeups(0) + world.wakeups(1) - woke));
  world.expect(all_up(world, 1, 0, 3) && all_up(world, 0, 1, 3), "idle links stay up");
  return world.oracle.violation();
}

Outcome calm_lines_lose_nothing(std::uint64_t seed) {
  World world(
      pair_over(seed, {line(milliseconds(10), 100'000'000), line(milliseconds(30), 50'000'000)}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, microseconds(400)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::udp4, false, microseconds(400)));
  const std::size_t ping = world.add_traffic(traffic(FlowKind::icmp4, true, milliseconds(50)));
  world.run_until(seconds(8));
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back, ping}) {
    expect_all_delivered(world, id);
    expect_latency(world, id, milliseconds(45), "calm lines delay nothing");
  }
  for (const bool upwards : {true, false}) {
    const World::Balance sum = upwards ? world.balance(1, 0) : world.balance(0, 1);
    world.expect(sum.drops == 0, "calm lines drop nothing", fmt::format("{} drops", sum.drops));
  }
  world.expect_settled();
  return world.oracle.violation();
}

Outcome hub_of_two(std::uint64_t seed) {
  WorldOptions options = pair_over(seed, {line(milliseconds(10)), line(milliseconds(30))});
  options.clients.push_back(options.clients[0]);
  World world(options);
  std::vector<std::size_t> steady;
  for (const std::size_t client : {0u, 1u}) {
    for (const bool up : {true, false}) {
      TrafficOptions it = traffic(FlowKind::tcp4, up, milliseconds(5));
      it.client = client;
      const std::size_t flow = world.add_traffic(it);
      if (client == 0) steady.push_back(flow);
    }
  }
  world.at(seconds(5), [&world] { world.restart(2, milliseconds(500)); });
  world.at(seconds(8), [&world] {
    world.kill_link(1, 0);
    world.kill_link(1, 1);
  });
  world.run_until(seconds(11));
  world.expect(world.events(0, Event::Kind::session_up) >= 3,
               "both clients and the restarted one were there");
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : steady) {
    expect_all_delivered(world, id);
    expect_latency(world, id, milliseconds(35), "one client's trouble is no other's");
  }
  return world.oracle.violation();
}

Outcome jumbo_frames(std::uint64_t seed) {
  WorldOptions options = pair_over(
      seed, {line(milliseconds(10), 50'000'000, 0.01), line(milliseconds(30), 50'000'000)});
  options.mtu = 9000;
  World world(options);
  TrafficOptions large = traffic(FlowKind::tcp4, true, milliseconds(5));
  large.bytes_min = 5000, large.bytes_max = 9014;
  const std::size_t flow = world.add_traffic(large);
  large.kind = FlowKind::icmp4, large.up = false;
  const std::size_t back = world.add_traffic(large);
  world.run_until(seconds(10));
  world.stop_traffic();
  world.run_for(seconds(9));
  expect_all_delivered(world, flow);
  expect_all_delivered(world, back);
  world.expect_settled();
  return world.oracle.violation();
}

constexpr Case cases[] = {
    {"idle_is_quiet", idle_is_quiet},
    {"calm_lines_lose_nothing", calm_lines_lose_nothing},
    {"hub_of_two", hub_of_two},
    {"jumbo_frames", jumbo_frames},
};

}  // namespace

std::span<const Case> quiet_cases() {
  return cases;
}

}  // namespace mwtun::test
