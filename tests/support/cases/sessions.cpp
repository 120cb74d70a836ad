// Cases: handshakes, keys, ends that go away.
#include <fmt/format.h>

#include <set>

#include "support/cases/lists.hpp"
#include "support/cases/steps.hpp"

namespace mwtun::test {
namespace {

Outcome handshake_under_loss(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10), 0, 0.3), line(milliseconds(25), 0, 0.3)}));
  world.run_until(seconds(15));
  world.expect(world.report(1, 0).session && world.report(0, 1).session,
               "the session comes up within 15 s");
  // With such loss an idle link may be called silent now and then; it must have been up.
  for (const EndId end : {EndId{0}, EndId{1}}) {
    for (const LinkReport& link : world.report(end, 1 - end).links) {
      world.expect(link.times_up > 0, "both links come up within 15 s");
    }
  }
  return world.oracle.violation();
}

Outcome session_up_at_once(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(25))}));
  // A new server answers the first initiation with a cookie: three round trips, then one for the
  // joins.
  world.run_until(milliseconds(400));
  world.expect(world.report(1, 0).session && world.report(0, 1).session,
               "the session comes up within 400 ms");
  world.expect(all_up(world, 1, 0, 2) && all_up(world, 0, 1, 2),
               "both links come up within 400 ms");
  return world.oracle.violation();
}

Outcome wrong_psk(std::uint64_t seed) {
  WorldOptions options = pair_over(seed, {line(milliseconds(10)), line(milliseconds(25))});
  options.clients[0].wrong_psk = true;
  World world(options);
  std::set<std::string> initiations;
  std::size_t responses = 0;
  world.on_datagram = [&](const Sending& sending) {
    // The ephemeral key names the initiation; with mac2 or on another link it is the same one.
    const auto ephemeral = sending.bytes.begin() + 8;
    if (sending.from == 1 && sending.bytes[0] == 1) initiations.emplace(ephemeral, ephemeral + 32);
    if (sending.from == 0 && sending.bytes[0] == 2) ++responses;
    return true;
  };
  world.add_traffic(traffic(FlowKind::udp4, true, milliseconds(100)));
  world.run_until(seconds(40));
  world.expect(!world.report(1, 0).session && !world.report(0, 1).session,
               "a wrong key gives no session");
  // The same initiation comes over every link, with and without a cookie: each gets the same
  // answer.
  world.expect(initiations.size() >= 6 && responses <= 3 * initiations.size(),
               "a mismatch is not hammered",
               fmt::format("{} initiations, {} responses", initiations.size(), responses));
  world.expect(world.events(1, Event::Kind::handshake_mismatch) > 0, "a mismatch is told");
  world.expect(world.oracle.flow(0).delivered == 0, "no frame passes without a session");
  return world.oracle.violation();
}

Outcome replayed_initiations(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(25))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(5)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(5)));
  std::size_t count = 0;
  for (Duration at = seconds(3); at < seconds(13); at += milliseconds(20)) {
    world.at(at, [&world, &count] {
      for (const Recording& recording : world.handshake_recordings()) {
        std::optional<Address> from;
        if (recording.to == 0 && world.chance.chance(0.5)) {
          from = recording.path.remote;
          from->ip[3] ^= 0x55;
        }
        world.inject(recording, from);
        ++count;
      }
    });
  }
  world.run_until(seconds(14));
  world.stop_traffic();
  world.run_until(seconds(24));
  world.expect(count > 500, "handshakes were recorded");
  world.expect(world.events(0, Event::Kind::session_up) == 1 &&
                   world.events(1, Event::Kind::session_up) == 1 &&
                   world.events(0, Event::Kind::session_down) == 0,
               "a replayed initiation makes no session");
  for (const std::size_t id : {flow, back}) {
    expect_all_delivered(world, id);
    expect_latency(world, id, milliseconds(60), "a replayed handshake delays nothing");
  }
  world.expect_settled();
  return world.oracle.violation();
}

Outcome rekey_is_not_noticed(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(40))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::tcp4, true, milliseconds(10)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::tcp4, false, milliseconds(12)));
  world.run_until(seconds(260));
  world.stop_traffic();
  world.run_for(seconds(9));
  world.expect(
      world.report(1, 0).rekeys >= 2 && world.report(0, 1).rekeys >= 2, "keys change every 120 s",
      fmt::format("{} and {} rekeys", world.report(1, 0).rekeys, world.report(0, 1).rekeys));
  world.expect(world.events(1, Event::Kind::session_up) == 1, "a rekey keeps the session");
  for (const std::size_t id : {flow, back}) {
    expect_all_delivered(world, id);
    expect_latency(world, id, milliseconds(45), "a rekey delays nothing");
  }
  world.expect(
      over_links(world, 1, 0, [](const LinkReport& it) { return it.counters.lost; }) == 0 &&
          over_links(world, 0, 1, [](const LinkReport& it) { return it.counters.lost; }) == 0,
      "a rekey loses nothing");
  world.expect_settled();
  return world.oracle.violation();
}

Outcome keys_end_at_180_s(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(40))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::udp4, true, milliseconds(50)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::udp4, false, milliseconds(50)));
  world.at(seconds(5), [&world] {
    for (const std::size_t l : {0u, 1u}) {
      world.up(0, l).options.eats_handshakes = true;
      world.down(0, l).options.eats_handshakes = true;
    }
  });
  world.run_until(seconds(215));
  for (const std::size_t id : {flow, back}) {
    for (const FrameRecord& frame : world.flow(id).frames) {
      if (frame.delivered != never && frame.delivered > world.instant(seconds(182))) {
        world.expect(false, "nothing passes on a key past 180 s", fmt::format("flow {}", id));
      }
    }
    world.expect(world.flow(id).delivered > 3000, "the session lives until its key ends",
                 fmt::format("{} frames", world.flow(id).delivered));
  }
  world.expect(world.events(1, Event::Kind::session_down) == 1 &&
                   world.events(0, Event::Kind::session_down) == 1,
               "a session whose key ended is over");
  for (const std::size_t l : {0u, 1u}) {
    world.up(0, l).options.eats_handshakes = false;
    world.down(0, l).options.eats_handshakes = false;
  }
  world.run_for(seconds(8));
  const std::uint64_t before = world.flow(flow).delivered;
  world.run_for(seconds(2));
  world.expect(world.flow(flow).delivered >= before + 38, "a new session follows");
  return world.oracle.violation();
}

Outcome server_restarts(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(40))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::udp4, true, milliseconds(10)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::udp4, false, milliseconds(10)));
  world.at(seconds(6), [&world] { world.restart(0, milliseconds(100)); });
  world.run_until(seconds(16));
  expect_no_gap(world, flow, seconds(3), milliseconds(3100),
                "traffic is back 3 s after a server's restart");
  expect_no_gap(world, back, seconds(3), milliseconds(3100),
                "traffic is back 3 s after a server's restart");
  return world.oracle.violation();
}

Outcome client_restarts(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(40))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::udp4, true, milliseconds(10)));
  const std::size_t back = world.add_traffic(traffic(FlowKind::udp4, false, milliseconds(10)));
  world.at(seconds(6), [&world] {
    world.set_wall_clock_back(1, seconds(500'000'000));  // No clock of its own: back to long ago.
    world.restart(1, milliseconds(100));
  });
  world.run_until(seconds(12));
  expect_no_gap(world, flow, seconds(3), milliseconds(2100),
                "traffic is back 2 s after a client's restart");
  expect_no_gap(world, back, seconds(3), milliseconds(2100),
                "traffic is back 2 s after a client's restart");
  return world.oracle.violation();
}

Outcome goodbye(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(40))}));
  const EndId leaver = seed % 2;
  world.at(seconds(3), [&world, leaver] { world.close(leaver); });
  world.run_until(seconds(3) + milliseconds(60));
  world.expect(world.events(1 - leaver, Event::Kind::session_down) == 1,
               "a goodbye is heard at once");
  return world.oracle.violation();
}

Outcome suspend(std::uint64_t seed) {
  World world(pair_over(seed, {line(milliseconds(10)), line(milliseconds(40))}));
  const std::size_t flow = world.add_traffic(traffic(FlowKind::udp4, true, milliseconds(10)));
  const EndId sleeper = seed % 2;
  world.at(seconds(6), [&world, sleeper] {
    world.pause(sleeper, seconds(5));
    world.jump_clock(sleeper, seconds(3600));
  });
  world.run_until(seconds(25));
  expect_no_gap(world, flow, seconds(3), seconds(12), "traffic is back after a suspend");
  const std::uint64_t before = world.flow(flow).delivered;
  world.run_for(seconds(2));
  world.expect(world.flow(flow).delivered >= before + 190, "traffic flows on after a suspend");
  return world.oracle.violation();
}

constexpr Case cases[] = {
    {"session_up_at_once", session_up_at_once},
    {"handshake_under_loss", handshake_under_loss},
    {"wrong_psk", wrong_psk},
    {"replayed_initiations", replayed_initiations},
    {"rekey_is_not_noticed", rekey_is_not_noticed},
    {"keys_end_at_180_s", keys_end_at_180_s},
    {"server_restarts", server_restarts},
    {"client_restarts", client_restarts},
    {"goodbye", goodbye},
    {"suspend", suspend},
};

}  // namespace

std::span<const Case> sessions_cases() {
  return cases;
}

}  // namespace mwtun::test
