#include "support/sim_cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "support/sim_world.hpp"

namespace mwtun::test {
namespace {

using Outcome = std::optional<Violation>;

unsigned verbosity = 0;  // Of run_case(), for the worlds the case makes.

LineOptions line(Duration delay, std::uint64_t rate_bps = 0, double loss = 0) {
  LineOptions options;
  options.delay = delay;
  options.rate_bps = rate_bps;
  options.loss = loss;
  return options;
}

WorldOptions pair_over(std::uint64_t seed, const std::vector<LineOptions>& lines) {
  WorldOptions options;
  options.seed = seed;
  options.verbose = verbosity;
  SimClientOptions client;
  for (const LineOptions& both : lines) {
    SimLinkOptions link;
    link.config.name = fmt::format("line{}", client.links.size());
    link.up = link.down = both;
    client.links.push_back(link);
  }
  options.clients.push_back(client);
  return options;
}

TrafficOptions traffic(FlowKind kind, bool up, Duration gap, Duration start = seconds(2)) {
  TrafficOptions options;
  options.kind = kind;
  options.up = up;
  options.gap = gap;
  options.random_gaps = false;
  options.bytes_min = options.bytes_max = 1000;
  options.start = start;
  return options;
}

double in_ms(Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

void expect_all_delivered(World& world, std::size_t flow) {
  const FlowRecord& record = world.flow(flow);
  world.expect(record.missing() == 0 && !record.frames.empty(), "every frame of the flow arrives",
               fmt::format("flow {} of end {}: {} of {} missing", flow, record.from,
                           record.missing(), record.frames.size()));
}

/// No two frames of the flow that were sent one after the other came out further apart than this.
void expect_no_gap(World& world, std::size_t flow, Duration from, Duration most, const char* rule) {
  Instant last = world.instant(from);
  std::vector<Instant> times;
  for (const FrameRecord& frame : world.flow(flow).frames) {
    if (frame.delivered != never && frame.delivered >= last) times.push_back(frame.delivered);
  }
  std::sort(times.begin(), times.end());
  for (const Instant at : times) {
    if (at - last > most) {
      return world.expect(false, rule,
                          fmt::format("flow {}: nothing for {:.1f} ms until {:.3f} s", flow,
                                      in_ms(at - last), in_ms(at - world.instant({})) / 1000));
    }
    last = at;
  }
  const Instant end = world.flow(flow).frames.empty() ? last : world.flow(flow).frames.back().sent;
  world.expect(
      end - last <= most, rule,
      fmt::format("flow {}: nothing after {:.3f} s", flow, in_ms(last - world.instant({})) / 1000));
}

void expect_latency(World& world, std::size_t flow, Duration most, const char* rule) {
  const Duration latency = world.flow(flow).latency_max();
  world.expect(
      latency <= most, rule,
      fmt::format("flow {}: {:.1f} ms, allowed {:.1f} ms", flow, in_ms(latency), in_ms(most)));
}

/// Sum of a counter over the links of one end.
template <typename Get>
std::uint64_t over_links(const World& world, EndId end, EndId peer, Get get) {
  std::uint64_t sum = 0;
  for (const LinkReport& link : world.report(end, peer).links) sum += get(link);
  return sum;
}

const LinkReport* link_of(const PeerReport& report, std::size_t link) {
  for (const LinkReport& it : report.links) {
    if (index_of(it.id) == link) return &it;
  }
  return nullptr;
}

/// As a wiretap has it.
Recording copy_of(const World& world, const Sending& sending) {
  Recording copy;
  copy.bytes.assign(sending.bytes.begin(), sending.bytes.end());
  copy.to = sending.from == 0 ? sending.client + 1 : 0;
  copy.path = world.path_towards(copy.to, sending.client, sending.link);
  copy.mark = sending.mark;
  return copy;
}

void expect_all_taken_in(World& world) {
  for (const EndId end : {EndId{0}, EndId{1}}) {
    for (const LinkReport& link : world.report(end, 1 - end).links) {
      const std::uint64_t came = world.oracle.timely_arrivals(end, 1 - end, value_of(link.id));
      world.expect(link.counters.datagrams_in >= came, "every genuine datagram is taken in",
                   fmt::format("end {}: {} of {}", end, link.counters.datagrams_in, came));
    }
  }
}

bool all_up(const World& world, EndId end, EndId peer, std::size_t links) {
  return over_links(world, end, peer, [](const LinkReport& link) {
           return link.state == LinkState::up || link.state == LinkState::lossy ? 1u : 0u;
         }) == links;
}

// --- handshake
// ------------------------------------------------------------------------------------------------

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

// --- ends that go away
// ----------------------------------------------------------------------------------------

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

// --- links
// --------------------------------------------------------------------------------------------

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

// --- order
// --------------------------------------------------------------------------------------------

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

// --- the rest
// -------------------------------------------------------------------------------------------------

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
    {"silent_death", silent_death},
    {"last_frame_on_a_dying_link", last_frame_on_a_dying_link},
    {"one_way_death", one_way_death},
    {"all_links_dead_for_a_while", all_links_dead_for_a_while},
    {"redundancy", redundancy},
    {"loss_is_repaired", loss_is_repaired},
    {"mtu_black_hole", mtu_black_hole},
    {"datagrams_grow_to_the_line", datagrams_grow_to_the_line},
    {"nat_rebinding", nat_rebinding},
    {"spoofed_rebinding", spoofed_rebinding},
    {"send_errors", send_errors},
    {"interface_goes_and_comes", interface_goes_and_comes},
    {"order_over_unequal_links", order_over_unequal_links},
    {"one_hole_holds_one_flow", one_hole_holds_one_flow},
    {"young_streams_have_no_holes", young_streams_have_no_holes},
    {"full_queue_leaves_no_holes", full_queue_leaves_no_holes},
    {"lanes_are_reused_late", lanes_are_reused_late},
    {"window_edges", window_edges},
    {"forged_numbers_move_nothing", forged_numbers_move_nothing},
    {"idle_is_quiet", idle_is_quiet},
    {"calm_lines_lose_nothing", calm_lines_lose_nothing},
    {"hub_of_two", hub_of_two},
    {"jumbo_frames", jumbo_frames},
};

}  // namespace

std::span<const Case> all_cases() {
  return cases;
}

std::optional<Violation> run_case(std::string_view name, std::uint64_t seed, unsigned verbose) {
  const auto found = std::find_if(std::begin(cases), std::end(cases),
                                  [name](const Case& it) { return it.name == name; });
  MWTUN_ASSERT(found != std::end(cases));
  verbosity = verbose;
  return found->run(seed);
}

}  // namespace mwtun::test
