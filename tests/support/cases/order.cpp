// Cases: order, lanes, windows.
#include <fmt/format.h>

#include <set>

#include "support/cases/lists.hpp"
#include "support/cases/steps.hpp"

namespace mwtun::test {
namespace {

Outcome order_over_unequal_links(std::uint64_t seed) {
  World world(
      pair_over(seed, {line(milliseconds(5), 6'000'000), line(milliseconds(80), 6'000'000)}));
  TrafficOptions bulk = traffic(FlowKind::tcp4, true, microseconds(1300));  // 9 Mbit/s: needs both.
  bulk.bytes_min = bulk.bytes_max = 1450;
  const std::size_t flow = world.add_traffic(bulk);
  bulk.up = false;
  const std::size_t back = world.add_traffic(bulk);
  world.run_until(seconds(12));
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back}) {
    const FlowRecord& record = world.flow(id);
    world.expect(record.delivered * 10 >= record.frames.size() * 8, "both links carry the flow",
                 fmt::format("{} of {} frames", record.delivered, record.frames.size()));
  }
  world.expect_settled();
  return world.oracle.violation();
}

/// The near link is up after some 20 ms, the far one after some 650; its distance is known when it
/// has answered once.
Outcome far_link_joins_late(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(5)), line(milliseconds(320))}));
  TrafficOptions bulk = traffic(FlowKind::tcp4, true, milliseconds(2), milliseconds(200));
  const std::size_t flow = world.add_traffic(bulk);
  bulk.up = false;
  const std::size_t back = world.add_traffic(bulk);
  world.run_until(seconds(6));
  world.stop_traffic();
  world.run_for(seconds(3));
  for (const std::size_t id : {flow, back}) {
    expect_all_delivered(world, id);
    expect_latency(world, id, milliseconds(50), "a far link that comes up delays nothing");
  }
  return world.oracle.violation();
}

Outcome one_hole_holds_one_flow(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(50)), line(milliseconds(50))}));
  const std::size_t a = world.add_flow(FlowKind::tcp4, 0, true);
  const std::size_t b = world.add_flow(FlowKind::tcp4, 0, true);
  world.run_until(seconds(3));
  // A young stream's frames go twice where a line loses some: these are older.
  for (int i = 0; i < 2'200; ++i) {
    world.send_frame(a, 1000);
    world.run_for(milliseconds(1));
  }
  bool drop = false;
  world.on_datagram = [&drop](const Sending& sending) {
    const bool take = drop && sending.from == 1 && sending.data() && sending.bytes.size() > 500;
    if (take) drop = false;
    return !take;
  };
  for (int i = 0; i < 400; ++i) {
    drop = i % 40 == 20;
    world.send_frame(a, 1000);  // This one is lost now and then.
    world.run_for(milliseconds(2));
    world.send_frame(b, 1000);
    world.run_for(milliseconds(2));
  }
  world.run_for(seconds(9));
  expect_all_delivered(world, a);
  expect_all_delivered(world, b);
  world.expect(world.flow(a).latency_max() > milliseconds(60), "flow A did have holes");
  expect_latency(world, b, milliseconds(53), "a hole in one flow holds up no other");
  return world.oracle.violation();
}

/// A stream's first frames go over a second line as well when theirs is known to lose some, so that
/// no hole holds it up before it is under way; later ones wait for a repair.
Outcome young_streams_have_no_holes(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(50)), line(milliseconds(50))}));
  const std::size_t old = world.add_flow(FlowKind::tcp4, 0, true);
  const std::size_t young = world.add_flow(FlowKind::tcp4, 0, true);
  world.run_until(seconds(3));
  bool drop = false;
  world.on_datagram = [&drop](const Sending& sending) {
    const bool take = drop && sending.from == 1 && sending.data() && sending.bytes.size() > 500;
    if (take) drop = false;
    return !take;
  };
  for (int i = 0; i < 2'400; ++i) {
    drop = i % 60 == 59;
    world.send_frame(old, 1000);
    world.run_for(milliseconds(1));
  }
  for (int i = 0; i < 400; ++i) {
    drop = i % 40 == 20;
    world.send_frame(young, 1000);
    world.run_for(milliseconds(2));
  }
  world.run_for(seconds(9));
  expect_all_delivered(world, old);
  expect_all_delivered(world, young);
  world.expect(world.flow(old).latency_max() > milliseconds(60), "the old flow did have holes");
  expect_latency(world, young, milliseconds(53), "a young stream has no holes");
  return world.oracle.violation();
}

Outcome full_queue_leaves_no_holes(std::uint64_t seed) {
  // A socket that takes nothing for a while, and more frames than the queue holds: what is dropped
  // is dropped before it has a place in the order, so the receiver never has to wait for it.
  WorldOptions options = pair_over(seed, {line(milliseconds(20))});
  options.limits.queue_bytes = 30'000;
  World world(options);
  const std::size_t a = world.add_flow(FlowKind::tcp4, 0, true);
  const std::size_t b = world.add_flow(FlowKind::tcp6, 0, true);
  world.run_until(seconds(2));
  for (int round = 0; round < 40; ++round) {
    world.set_send_error(0, 0, SendError::would_block);
    for (int i = 0; i < 40; ++i) {
      world.send_frame(a, 1000);
      world.send_frame(b, 700);
      world.run_for(microseconds(100));
    }
    world.set_send_error(0, 0, std::nullopt);
    // Through the gap that the drops have left come more frames of the same flows.
    world.run_for(milliseconds(8));
    world.send_frame(a, 1000);
    world.send_frame(b, 700);
    world.run_for(milliseconds(30));
  }
  world.run_for(seconds(9));
  const std::uint64_t dropped = world.report(1, 0).drops.of(Drop::queue_full);
  world.expect(dropped > 500, "the queue was full", fmt::format("{} dropped", dropped));
  for (const std::size_t flow : {a, b}) {
    expect_latency(world, flow, milliseconds(45), "what the queue drops holds up nobody");
  }
  const World::Balance sum = world.balance(1, 0);
  world.expect(sum.drops == dropped && sum.in == sum.out + dropped, "nothing else is dropped",
               fmt::format("{} in, {} out; sender:{} receiver:{}", sum.in, sum.out,
                           world.drops(1, 0), world.drops(0, 1)));
  world.expect_settled();
  return world.oracle.violation();
}

Outcome lanes_are_reused_late(std::uint64_t seed) {
  // Few lanes, many short flows: each new flow takes over what an old one has left, and must not
  // wait for it.
  WorldOptions options = pair_over(seed, {line(milliseconds(150))});
  options.limits.flows = 48;
  options.limits.ordered_lanes = 320;
  World world(options);
  world.run_until(seconds(3));
  std::size_t lost = 0;
  bool drop = false;
  world.on_datagram = [&](const Sending& sending) {
    const bool take = drop && sending.from == 1 && sending.data() && sending.bytes.size() > 500;
    if (take) drop = false, ++lost;
    return !take;
  };
  std::vector<std::size_t> flows;
  std::set<std::size_t> holed;
  for (std::size_t i = 0; i < 2000 && !world.oracle.failed(); ++i) {
    flows.push_back(world.add_flow(FlowKind::tcp4, 0, true));
    drop = i % 100 == 50;
    if (drop) holed.insert(flows.back());
    world.send_frame(flows.back(), 1000);
    world.run_for(milliseconds(4));
  }
  world.run_for(seconds(9));
  world.expect(lost >= 15, "datagrams were lost");
  for (const std::size_t flow : flows) {
    expect_all_delivered(world, flow);
    if (!holed.contains(flow))
      expect_latency(world, flow, milliseconds(153), "a new flow waits for no old one");
  }
  return world.oracle.violation();
}

Outcome window_edges(std::uint64_t seed) {
  // Every datagram of the client's comes again when it is exactly as old as the window is long, one
  // younger, one older, and at once. Some do not come at all before: those are to be taken up to
  // the edge, and not beyond.
  World world(pair_over(seed, {line(milliseconds(1))}));
  const std::size_t flow = world.add_flow(FlowKind::icmp4, 0, true);
  std::vector<Recording> sent;
  std::vector<std::pair<std::size_t, std::uint64_t>> withheld;  // Number and the age to come at.
  world.on_datagram = [&](const Sending& sending) {
    if (sending.from != 1 || !sending.data()) return true;
    MWTUN_ASSERT(sending.mark.number == sent.size());
    sent.push_back(copy_of(world, sending));
    if (sending.mark.number < 500 || sending.mark.number % 40 != 7) return true;
    withheld.emplace_back(sending.mark.number, 8190 + withheld.size() % 5);
    return false;
  };
  world.run_until(seconds(1));
  for (int i = 0; i < 12'000 && !world.oracle.failed(); ++i) {
    world.send_frame(flow, 100);
    world.run_for(microseconds(1200));
    const std::uint64_t highest = world.oracle.stream(sent.front().mark).highest_arrived - 1;
    for (const auto& [number, age] : withheld) {
      if (number + age == highest) world.inject(sent[number]);
    }
    if (i % 4 != 0) continue;
    for (const std::uint64_t age :
         {0u, 1u, 63u, 64u, 8127u, 8128u, 8129u, 8190u, 8191u, 8192u, 8193u, 8256u}) {
      const bool came =
          age <= highest && world.oracle.stream(sent.front().mark).arrived[highest - age];
      if (came) world.inject(sent[highest - age]);
    }
  }
  world.run_for(seconds(9));
  world.expect(withheld.size() > 250, "datagrams were withheld");
  expect_all_delivered(world, flow);
  world.expect_settled();
  expect_all_taken_in(world);
  return world.oracle.violation();
}

Outcome forged_numbers_move_nothing(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(30))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(5)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(5)));
  // Before each genuine datagram come copies of it with the number raised and with the content
  // changed.
  world.on_datagram = [&world](const Sending& sending) {
    if (!sending.data() || world.now() < seconds(4) || world.now() > seconds(8)) return true;
    Recording forged = copy_of(world, sending);
    forged.mark = {};
    if (world.chance.chance(0.5)) {
      std::uint8_t* const number = forged.bytes.data() + 6;
      const std::uint64_t raised = load_le32(number) + world.chance.between(1, 1u << 30);
      store_le(number, raised, 4);
    } else {
      forged.bytes.back() ^= 1;
    }
    world.inject(forged);
    return true;
  };
  world.run_until(seconds(10));
  world.stop_traffic();
  world.run_for(seconds(9));
  for (const std::size_t id : {flow, back}) {
    expect_all_delivered(world, id);
    expect_latency(world, id, milliseconds(70), "forged datagrams delay nothing");
  }
  expect_all_taken_in(world);
  return world.oracle.violation();
}

constexpr Case cases[] = {
    {"order_over_unequal_links", order_over_unequal_links},
    {"far_link_joins_late", far_link_joins_late},
    {"one_hole_holds_one_flow", one_hole_holds_one_flow},
    {"young_streams_have_no_holes", young_streams_have_no_holes},
    {"full_queue_leaves_no_holes", full_queue_leaves_no_holes},
    {"lanes_are_reused_late", lanes_are_reused_late},
    {"window_edges", window_edges},
    {"forged_numbers_move_nothing", forged_numbers_move_nothing},
};

}  // namespace

std::span<const Case> order_cases() {
  return cases;
}

}  // namespace mwtun::test
