#include "support/cases/steps.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mwtun::test {

static unsigned verbosity = 0;

void set_verbosity(unsigned verbose) {
  verbosity = verbose;
}

LineOptions line(Duration delay, std::uint64_t rate_bps, double loss) {
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

TrafficOptions traffic(FlowKind kind, bool up, Duration gap, Duration start) {
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

const LinkReport* link_of(const PeerReport& report, std::size_t link) {
  for (const LinkReport& it : report.links) {
    if (index_of(it.id) == link) return &it;
  }
  return nullptr;
}

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

}  // namespace mwtun::test
