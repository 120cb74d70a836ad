// Cases: links that die, change or lose.
#include <fmt/format.h>

#include <algorithm>

#include "support/cases/lists.hpp"
#include "support/cases/steps.hpp"

namespace mwtun::test {
namespace {

Outcome silent_death(std::uint64_t seed) {
  WorldOptions options =
      pair_over(seed, {line(milliseconds(20), 20'000'000), line(milliseconds(20), 20'000'000)});
  // One line alone could carry it all: only a scheduler that takes turns needs the returned one.
  options.scheduler = SchedulerKind::round_robin;
  World world(std::move(options));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, microseconds(500)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(2)));
  const std::size_t victim = seed % 2;
  world.at(seconds(5), [&world, victim] { world.kill_link(0, victim); });
  world.run_until(seconds(8));
  expect_no_gap(world, flow, seconds(3), seconds(1),
                "traffic goes on 1 s after a link's silent death");
  expect_no_gap(world, back, seconds(3), seconds(1),
                "traffic goes on 1 s after a link's silent death");
  for (const EndId end : {EndId{0}, EndId{1}}) {
    const PeerReport report = world.report(end, 1 - end);
    const LinkReport* const dead = link_of(report, victim);
    world.expect(
        dead != nullptr && dead->state == LinkState::down, "a dead link is called down within 3 s",
        fmt::format("end {} says {}", end, dead == nullptr ? "nothing" : to_string(dead->state)));
  }
  world.kill_link(0, victim, false);
  world.run_for(seconds(4));
  const auto sent = [&world, victim](EndId end) {
    const PeerReport report = world.report(end, 1 - end);
    const LinkReport* const it = link_of(report, victim);
    return it == nullptr ? 0 : it->counters.bytes_out;
  };
  const std::uint64_t before = sent(1);
  world.run_for(seconds(1));
  world.expect(sent(1) >= before + 20'000, "a link that is back is used within 5 s",
               fmt::format("{} bytes in its fifth second", sent(1) - before));
  world.stop_traffic();
  world.run_for(seconds(9));
  expect_all_delivered(world, flow);
  expect_all_delivered(world, back);
  world.expect_settled();
  return world.oracle.violation();
}

Outcome last_frame_on_a_dying_link(std::uint64_t seed) {
  // Nothing comes after it that could tell of its loss: only our own clock can.
  World world(pair_over(seed, {line(milliseconds(5)), line(milliseconds(40))}));
  const std::size_t flow = world.add_flow(FlowKind::tcp4, 0, true);
  world.run_until(seconds(3));
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 20; ++i) {
      world.send_frame(flow, 500);
      world.run_for(milliseconds(20) + microseconds(world.chance.below(20'000)));
    }
    world.kill_link(0, 0);
    world.send_frame(flow, 500);
    world.run_for(seconds(2) + microseconds(world.chance.below(1'000'000)));
    world.kill_link(0, 0, false);
    world.run_for(seconds(4));
  }
  expect_all_delivered(world, flow);
  expect_latency(world, flow, milliseconds(250), "the last frame on a dying link comes by another");
  return world.oracle.violation();
}

Outcome one_way_death(std::uint64_t seed) {
  World world(
      pair_over(seed, {line(milliseconds(10), 20'000'000), line(milliseconds(30), 20'000'000)}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(1)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(1)));
  const bool upwards = seed % 2 == 0;
  world.at(seconds(5), [&world, upwards] {
    (upwards ? world.up(0, 0) : world.down(0, 0)).options.dead = true;
  });
  world.run_until(seconds(9));
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back}) {
    expect_no_gap(world, id, seconds(3), seconds(1),
                  "traffic goes on 1 s after a link's one-way death");
    expect_all_delivered(world, id);
  }
  return world.oracle.violation();
}

Outcome all_links_dead_for_a_while(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(30))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::udp4, true, milliseconds(10)));
  const Duration lasts = seed % 2 == 0 ? seconds(5) : seconds(40);
  world.at(seconds(5), [&world] {
    world.kill_link(0, 0);
    world.kill_link(0, 1);
  });
  world.at(seconds(5) + lasts, [&world] { world.kill_link(0, 0, false); });
  world.run_until(seconds(5) + lasts + seconds(3));
  const std::uint64_t before = world.flow(flow).delivered;
  world.run_for(seconds(2));
  world.expect(world.flow(flow).delivered >= before + 190,
               "traffic flows 3 s after the first link is back",
               fmt::format("{} of 200 frames", world.flow(flow).delivered - before));
  return world.oracle.violation();
}

Outcome redundancy(std::uint64_t seed) {
  WorldOptions options =
      pair_over(seed, {line(milliseconds(10), 0, 0.05), line(milliseconds(25), 0, 0.05)});
  options.scheduler = SchedulerKind::redundant;
  World world(options);
  const std::size_t flow = world.add_traffic(traffic(FlowKind::voice, true, milliseconds(5)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(5)));
  world.run_until(seconds(22));
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back}) {
    expect_all_delivered(world, id);
    std::size_t late = 0;
    for (const FrameRecord& frame : world.flow(id).frames) {
      late += frame.delivered == never || frame.delivered - frame.sent > milliseconds(27) ? 1u : 0u;
    }
    // Both copies are lost of one frame in 400; in an ordered lane a few wait behind it.
    const std::size_t share = id == flow ? 100 : 20;
    world.expect(late * share <= world.flow(id).frames.size(), "one copy comes by the other link",
                 fmt::format("flow {}: {} of {} late", id, late, world.flow(id).frames.size()));
  }
  return world.oracle.violation();
}

Outcome loss_is_repaired(std::uint64_t seed) {
  World world(pair_over(
      seed, {line(milliseconds(10), 50'000'000, 0.05), line(milliseconds(30), 50'000'000, 0.02)}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(1)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp6, false, milliseconds(2)));
  const std::size_t ping = world.add_traffic(traffic(FlowKind::icmp4, true, milliseconds(100)));
  world.run_until(seconds(14));
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back, ping}) {
    const FlowRecord& record = world.flow(id);
    world.expect(
        record.missing() * 5000 <= record.frames.size(), "what is lost is repaired",
        fmt::format("flow {}: {} of {} missing", id, record.missing(), record.frames.size()));
    expect_latency(world, id, milliseconds(330), "what is lost is repaired soon");
  }
  world.expect_settled();
  return world.oracle.violation();
}

Outcome mtu_black_hole(std::uint64_t seed) {
  WorldOptions options =
      pair_over(seed, {line(milliseconds(10), 20'000'000), line(milliseconds(30), 20'000'000)});
  const bool from_start = seed % 2 == 0;
  for (SimLinkOptions& link : options.clients[0].links) {
    if (from_start) link.up.mtu = link.down.mtu = 1300;
  }
  World world(options);
  TrafficOptions large = traffic(FlowKind::tcp4, true, milliseconds(4));
  large.bytes_min = large.bytes_max = 1514;
  const std::size_t flow = world.add_traffic(large);
  large.up = false;
  const std::size_t back = world.add_traffic(large);
  world.at(seconds(5), [&world] {
    for (const std::size_t l : {0u, 1u}) {
      world.up(0, l).options.mtu = 1300;
      world.down(0, l).options.mtu = 1300;
    }
  });
  world.run_until(seconds(12));
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back}) {
    expect_no_gap(world, id, seconds(3), from_start ? milliseconds(500) : seconds(3),
                  "frames pass an MTU black hole");
    if (from_start) expect_all_delivered(world, id);
  }
  // A link that has nothing to carry may not have noticed.
  for (const EndId end : {EndId{0}, EndId{1}}) {
    std::uint32_t least = UINT32_MAX;
    for (const LinkReport& link : world.report(end, 1 - end).links)
      least = std::min(least, link.datagram_bytes);
    world.expect(least <= 1300 - 28, "datagrams fit the line",
                 fmt::format("end {}: {} bytes", end, least));
  }
  return world.oracle.violation();
}

Outcome datagrams_grow_to_the_line(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(30))}));
  world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(10), milliseconds(500)));
  world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(10), milliseconds(500)));
  world.run_until(seconds(5));
  for (const EndId end : {EndId{0}, EndId{1}}) {
    for (const LinkReport& link : world.report(end, 1 - end).links) {
      world.expect(link.datagram_bytes == 1500 - 28,
                   "datagrams are as large as the line takes within 5 s",
                   fmt::format("end {}: {} bytes", end, link.datagram_bytes));
    }
  }
  return world.oracle.violation();
}

Outcome nat_rebinding(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(30))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(5)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(5)));
  world.at(seconds(5), [&world, seed] { world.rebind(0, 0, seed % 2 == 0); });
  world.run_until(seconds(6) + milliseconds(200));
  const PeerReport report = world.report(0, 1);
  const LinkReport* const moved = link_of(report, 0);
  world.expect(moved != nullptr && moved->path.remote == world.public_address(0, 0),
               "a rebound link is followed within 1.2 s");
  world.expect(world.events(0, Event::Kind::link_moved) >= 1, "a move is told");
  world.run_until(seconds(9));
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back}) {
    expect_no_gap(world, id, seconds(3), milliseconds(500), "rebinding does not stall traffic");
    expect_all_delivered(world, id);
  }
  return world.oracle.violation();
}

Outcome spoofed_rebinding(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(30))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(5)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(5)));
  // On link 0 the attacker is faster than the line: from 5 s on its copies come first, from its
  // address.
  const Address attacker = parse_address("192.0.2.66:6666");
  std::size_t taken = 0;
  world.on_datagram = [&](const Sending& sending) {
    const bool now = world.now() > seconds(5) && world.now() < seconds(8);
    if (now && sending.from == 1 && sending.link == 0 && sending.data()) {
      Recording copy = copy_of(world, sending);
      copy.path.remote = attacker;
      world.inject(copy);
      ++taken;
    }
    return true;
  };
  Duration checked = seconds(5);
  for (; checked < seconds(9); checked += milliseconds(50)) {
    world.run_until(checked);
    const PeerReport report = world.report(0, 1);
    const LinkReport* const link = link_of(report, 0);
    world.expect(link != nullptr && link->path.remote == world.public_address(0, 0),
                 "a spoofed datagram moves nothing");
  }
  world.stop_traffic();
  world.run_for(seconds(9));
  world.expect(taken > 100, "the attacker was there");
  for (const std::size_t id : {flow, back}) {
    expect_all_delivered(world, id);
    expect_latency(world, id, milliseconds(70), "a spoofed datagram delays nothing");
  }
  return world.oracle.violation();
}

Outcome send_errors(std::uint64_t seed) {
  WorldOptions options =
      pair_over(seed, {line(milliseconds(10), 50'000'000), line(milliseconds(30), 50'000'000)});
  options.send_block_chance = 0.05;
  World world(options);
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(2)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(2)));
  const auto error = static_cast<SendError>(1 + seed % 4);
  world.at(seconds(6), [&world, error] { world.set_send_error(0, 0, error); });
  world.at(seconds(9), [&world] { world.set_send_error(0, 0, std::nullopt); });
  world.run_until(seconds(12));
  world.set_send_block_chance(0);
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back}) {
    expect_all_delivered(world, id);
    expect_no_gap(world, id, seconds(3), milliseconds(300),
                  "a link that refuses to send stalls nothing");
  }
  world.expect_settled();
  return world.oracle.violation();
}

Outcome interface_goes_and_comes(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(30))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(2)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(2)));
  const std::size_t victim = seed % 2;
  world.at(seconds(5), [&world, victim] { world.take_interface(0, victim); });
  world.at(seconds(8), [&world, victim] { world.give_interface(0, victim); });
  world.run_until(seconds(12));
  world.expect(all_up(world, 1, 0, 2) && all_up(world, 0, 1, 2),
               "a link whose interface is back is up within 4 s");
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back}) {
    expect_all_delivered(world, id);
    expect_no_gap(world, id, seconds(3), milliseconds(400),
                  "an interface that goes stalls nothing");
  }
  world.expect_settled();
  return world.oracle.violation();
}

constexpr Case cases[] = {
    {"silent_death", silent_death},     {"last_frame_on_a_dying_link", last_frame_on_a_dying_link},
    {"one_way_death", one_way_death},   {"all_links_dead_for_a_while", all_links_dead_for_a_while},
    {"redundancy", redundancy},         {"loss_is_repaired", loss_is_repaired},
    {"mtu_black_hole", mtu_black_hole}, {"datagrams_grow_to_the_line", datagrams_grow_to_the_line},
    {"nat_rebinding", nat_rebinding},   {"spoofed_rebinding", spoofed_rebinding},
    {"send_errors", send_errors},       {"interface_goes_and_comes", interface_goes_and_comes},
};

}  // namespace

std::span<const Case> links_cases() {
  return cases;
}

}  // namespace mwtun::test
