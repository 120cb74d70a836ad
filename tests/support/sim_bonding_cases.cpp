#include "support/sim_bonding_cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mwtun::test {
namespace {

using Bound = Figure::Bound;
using Kind = BondingWorld::Kind;

/// Payload of a full TCP segment in its IP packet.
constexpr double payload_share = 1448.0 / 1500;

double in_s(Duration time) {
  return std::chrono::duration<double>(time).count();
}
Instant at(Duration time) {
  return Agenda::begin + time;
}
std::uint64_t dropped(const DuplexLine& line, Side from, linkem::Drop reason) {
  return line.counters(from).drops[static_cast<std::size_t>(reason)];
}

Figures policer(const BondingOptions& options) {
  BondingWorld world(Kind::tunnel, {"rate=100M policer=50M policer_burst=64KiB delay=10ms"},
                     options);
  const TcpFlow& flow = world.add_tcp(Side::client, seconds(3));
  const auto& line = world.line(0);
  world.run_until(seconds(6));
  const double bytes = static_cast<double>(flow.delivered_bytes());
  const std::uint64_t offered = line.counters(Side::server).in_frames;
  const std::uint64_t drops = dropped(line, Side::server, linkem::Drop::policer);
  world.run_until(seconds(6) + options.measured);
  const double rate =
      (static_cast<double>(flow.delivered_bytes()) - bytes) * 8 / in_s(options.measured);
  const double lost =
      static_cast<double>(dropped(line, Side::server, linkem::Drop::policer) - drops) /
      static_cast<double>(line.counters(Side::server).in_frames - offered);
  return {{"loss after 3 s", 100 * lost, "%", Bound::most, 1},
          {"of 50 Mbit/s", rate / 50e6, "", Bound::least, 0.9}};
}

Figures shared_bottleneck(const BondingOptions& options) {
  const std::string line = "down.shared=cell up.shared=cell delay=10ms";
  BondingWorld world(Kind::tunnel, {line, line}, options, "rate=50M");
  const PingSource& ping = world.add_ping(seconds(1));
  const TcpFlow& flow = world.add_tcp(Side::client, seconds(3));
  world.run_until(seconds(6));
  const double bytes = static_cast<double>(flow.delivered_bytes());
  const Duration end = seconds(6) + options.measured;
  world.run_until(end);
  const double rate =
      (static_cast<double>(flow.delivered_bytes()) - bytes) * 8 / in_s(options.measured);
  const double idle = ping.percentile_ms(0.99, at(seconds(1)), at(seconds(3)));
  const double loaded = ping.percentile_ms(0.99, at(seconds(6)), at(end - seconds(1)));
  return {{"of 50 Mbit/s", rate / 50e6, "", Bound::least, 0.9},
          {"ping p99", loaded, "ms", Bound::most, idle + 30}};
}

/// A flow outside the tunnel on the first of two lines, one inside over both.
Figures beside(const BondingOptions& options, TcpKind outsider) {
  constexpr double line_bps = 50e6;
  BondingWorld world(Kind::tunnel, {"rate=50M delay=10ms", "rate=50M delay=10ms"}, options);
  const TcpFlow& inside = world.add_tcp(Side::client, seconds(3));
  const TcpFlow& outside = world.add_tcp(world.outside(0), Side::client, outsider, seconds(3));
  const Duration from = seconds(5), to = from + seconds(60);
  const auto outside_bytes = [&] {
    return static_cast<double>(outside.receiver().counters().segments) * 1500;
  };
  const auto line_bytes = [&] {
    return static_cast<double>(world.line(0).counters(Side::server).out_bytes);
  };
  world.run_until(from);
  const double line_before = line_bytes(), outside_before = outside_bytes();
  const double inside_before = static_cast<double>(inside.delivered_bytes());
  world.run_until(to);
  const double all = line_bytes() - line_before, others = outside_bytes() - outside_before;
  const double capacity = line_bps / 8 * in_s(to - from);
  return {{"outside, of the line", others / capacity, "", Bound::least, 0.25},
          {"tunnel, of the line", (all - others) / capacity, "", Bound::least, 0.25},
          {"inside",
           (static_cast<double>(inside.delivered_bytes()) - inside_before) * 8e-6 / in_s(to - from),
           "Mbit/s"}};
}
Figures beside_cubic(const BondingOptions& options) {
  return beside(options, TcpKind::cubic);
}
Figures beside_bbr(const BondingOptions& options) {
  return beside(options, TcpKind::bbr);
}

Figures sudden_demand(const BondingOptions& options, std::uint64_t before_bps) {
  BondingWorld world(Kind::tunnel, {"rate=50M delay=10ms", "rate=50M delay=10ms"}, options);
  // A TCP flow for 4 s, then hardly anything for 10 s.
  TcpFlow& flow = world.add_tcp(Side::client, seconds(2));
  world.run_until(seconds(6));
  flow.set_rate(1);
  const Duration demand = seconds(16);
  if (before_bps > 0) {
    UdpSource::Options trickle;
    trickle.rate_bps = before_bps;
    trickle.start = seconds(6), trickle.stop = demand;
    world.add_udp(trickle);
  }
  // As much as bare TCP would get: what exceeds it has a queue to go to and is not judged here.
  const double sum_bps = 100e6 * payload_share;
  UdpSource::Options udp;
  udp.start = demand;
  udp.rate_bps = static_cast<std::uint64_t>(sum_bps);
  const UdpSource& source = world.add_udp(udp);
  world.run_until(demand + seconds(3));
  const auto arrived = [&](Duration from, Duration to) {
    return source.arrived_bps(at(demand + from), at(demand + to)) / sum_bps;
  };
  return {{"first second", arrived({}, seconds(1)), "of the sum"},
          {"second second", arrived(seconds(1), seconds(2)), "of the sum", Bound::least, 0.8}};
}
Figures after_idle(const BondingOptions& options) {
  return sudden_demand(options, 0);
}
Figures after_trickle(const BondingOptions& options) {
  return sudden_demand(options, 1'000'000);
}

Figures lte_alone(const BondingOptions& options, std::string_view name) {
  const std::string line = fmt::format("trace={} delay=30ms up.trace_offset=20s", name);
  BondingWorld world(Kind::tunnel, {line}, options);
  const TcpFlow& flow = world.add_tcp(Side::client, seconds(3));
  const Duration from = seconds(6), to = from + seconds(30);
  world.run_until(from);
  world.line(0).keep_queue_times(Side::server, true);
  const auto& counters = world.line(0).counters(Side::server);
  const double wire = static_cast<double>(counters.out_bytes);
  const double bytes = static_cast<double>(flow.delivered_bytes());
  world.run_until(to);
  const double wire_bps = (static_cast<double>(counters.out_bytes) - wire) * 8 / in_s(to - from);
  const double rate = (static_cast<double>(flow.delivered_bytes()) - bytes) * 8 / in_s(to - from);
  const linkem::Trace& trace = *world.line(0).options(Side::server).own.trace;
  const std::size_t first = trace.first_not_before(from % trace.period(), 0);
  const std::size_t last = trace.first_not_before(to % trace.period(), 0);
  const std::size_t count = last >= first ? last - first : trace.size() - first + last;
  const double capacity = static_cast<double>(count) * 1500 * 8 / in_s(to - from);
  auto& times = world.line(0).queue_times_ms(Side::server);
  std::sort(times.begin(), times.end());
  const double p95 = times.empty() ? 0 : times[times.size() * 95 / 100];
  return {{"of the capacity", wire_bps / capacity, "", Bound::least, 0.85},
          {"p95 queue", p95, "ms", Bound::most, 60},
          {"goodput", rate / 1e6, "Mbit/s"},
          {"capacity", capacity / 1e6, "Mbit/s"}};
}
Figures lte(const BondingOptions& options) {
  return lte_alone(options, "TMobile");
}
Figures lte_driving(const BondingOptions& options) {
  return lte_alone(options, "ATT");
}

/// UDP beyond the line's rate, and the rate the sender believes in 3 s after the loss rose.
Figures loss_step(const BondingOptions& options) {
  BondingWorld world(Kind::tunnel, {"rate=100M delay=10ms loss=1%"}, options);
  UdpSource::Options udp;
  udp.start = seconds(3);
  udp.rate_bps = 102'000'000;
  world.add_udp(udp);
  const auto& counters = world.line(0).counters(Side::server);
  const auto said = [&] {
    const LinkReport link = world.tunnel().report(Side::server).links.at(0);
    return static_cast<double>(link.capacity_bps) / 1e6;
  };
  world.run_until(seconds(9));
  const double before = said();
  world.change(0, "loss=30%");
  world.run_until(seconds(11));
  const std::uint64_t in = counters.in_bytes, out = counters.out_bytes;
  world.run_until(seconds(12));
  const double after = said();
  world.run_until(seconds(13));
  const auto mbit = [](std::uint64_t now, std::uint64_t then) {
    return static_cast<double>(now - then) * 8e-6 / 2;
  };
  const double delivered = mbit(counters.out_bytes, out);
  return {{"rate in status, of what is delivered", after / delivered, "", Bound::most, 1.1},
          {"said before", before, "Mbit/s"},
          {"sent", mbit(counters.in_bytes, in), "Mbit/s"},
          {"delivered", delivered, "Mbit/s", Bound::least, 60}};
}

Figures udp80(const BondingOptions& options) {
  BondingWorld world(Kind::tunnel, {"rate=100M delay=10ms", "rate=50M delay=30ms"}, options);
  UdpSource::Options udp;
  udp.start = seconds(3), udp.stop = seconds(23);
  udp.rate_bps = 120'000'000;
  const UdpSource& source = world.add_udp(udp);
  world.run_until(seconds(25));
  const auto all = source.summary(at(seconds(3)), at(seconds(23)));
  const auto late = source.summary(at(seconds(8)), at(seconds(23)));
  const auto share = [](std::uint64_t part, std::uint64_t whole) {
    return 100 * static_cast<double>(part) / static_cast<double>(std::max<std::uint64_t>(whole, 1));
  };
  return {{"lost", share(late.lost, late.sent), "%", Bound::most, 0.01},
          {"out of order", share(late.out_of_order, late.sent), "%", Bound::most, 0.01},
          {"lost in the first 5 s, too", share(all.lost, all.sent), "%"},
          {"delay p99", late.delay_p99_ms, "ms"}};
}

struct OuterBytes {
  UdpSource::Summary summary;
  std::uint64_t bytes = 0;
};
OuterBytes udp_half(const BondingOptions& options, std::string_view loss) {
  const std::string setting = fmt::format(" loss={}", loss);
  BondingWorld world(Kind::tunnel,
                     {"rate=50M delay=15ms" + setting, "rate=50M delay=30ms" + setting}, options);
  UdpSource::Options udp;
  udp.start = seconds(3), udp.stop = seconds(63);
  udp.rate_bps = 50'000'000;
  const UdpSource& source = world.add_udp(udp);
  world.run_until(seconds(65));
  OuterBytes result;
  result.summary = source.summary(at(seconds(3)), at(seconds(63)));
  for (std::size_t line = 0; line < 2; ++line) {
    for (const Side from : {Side::client, Side::server}) {
      result.bytes += world.line(line).counters(from).in_bytes;
    }
  }
  return result;
}
Figures udp50_loss(const BondingOptions& options) {
  const OuterBytes clean = udp_half(options, "0"), lossy = udp_half(options, "1%");
  const auto sent = static_cast<double>(lossy.summary.sent);
  return {
      {"residual", 100 * static_cast<double>(lossy.summary.lost) / sent, "%", Bound::most, 0.01},
      {"extra bytes",
       100 * (static_cast<double>(lossy.bytes) / static_cast<double>(clean.bytes) - 1), "%",
       Bound::most, 3},
      {"out of order", 100 * static_cast<double>(lossy.summary.out_of_order) / sent, "%"},
      {"delay p99", lossy.summary.delay_p99_ms, "ms"}};
}

Figures idle_cost(const BondingOptions& options) {
  BondingWorld world(Kind::tunnel, {"rate=100M delay=10ms", "rate=50M delay=30ms"}, options);
  world.run_until(seconds(30));
  std::array<std::uint64_t, 4> before{};
  const auto bytes = [&](std::size_t i) {
    return world.line(i / 2).counters(i % 2 == 0 ? Side::client : Side::server).in_bytes;
  };
  for (std::size_t i = 0; i < 4; ++i) before[i] = bytes(i);
  world.run_until(seconds(330));
  double most = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    most = std::max(most, static_cast<double>(bytes(i) - before[i]) * 8 / 300);
  }
  return {{"busiest line and direction", most, "bit/s", Bound::most, 1000}};
}

/// Jitter is no failure: what is sent again although nothing was lost.
Figures false_suspicion(const BondingOptions& options) {
  double repaired = 0, chunks = 0, lost = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    BondingOptions seeded = options;
    seeded.seed = options.seed * 100 + seed;
    BondingWorld world(Kind::tunnel,
                       {"rate=50M delay=20ms jitter=10ms", "rate=50M delay=20ms jitter=10ms"},
                       seeded);
    UdpSource::Options udp;
    udp.start = seconds(2), udp.stop = seconds(12);
    udp.rate_bps = 20'000'000;
    const UdpSource& source = world.add_udp(udp);
    world.run_until(seconds(14));
    for (const LinkReport& link : world.tunnel().report(Side::server).links) {
      repaired += static_cast<double>(link.counters.repaired);
      chunks += static_cast<double>(link.counters.datagrams_out);
    }
    lost += static_cast<double>(source.summary(at(seconds(2)), at(seconds(12))).lost);
  }
  return {{"sent again", 100 * repaired / chunks, "%", Bound::most, 0.1}, {"lost", lost, "frames"}};
}

constexpr std::array cases{
    BondingCase{"policer", "50 Mbit/s, burst 64 KiB: after 3 s at most 1 % lost, 0.9 of it",
                policer},
    BondingCase{"shared", "both lines lead through one of 50 Mbit/s: 0.9 of it, ping within 30 ms",
                shared_bottleneck},
    BondingCase{"beside_cubic", "a CUBIC flow outside: each has a quarter of that line",
                beside_cubic},
    BondingCase{"beside_bbr", "a BBR flow outside: each has a quarter of that line", beside_bbr},
    BondingCase{"after_idle", "10 s idle, then full demand: 0.8 within 1 s", after_idle},
    BondingCase{"after_trickle", "1 Mbit/s for 10 s, then full demand: 0.8 within 1 s",
                after_trickle},
    BondingCase{"lte", "an LTE trace alone: 0.85 of its capacity, p95 queue 60 ms", lte},
    BondingCase{"lte_driving", "an LTE trace alone, driving: 0.85 of its capacity, p95 queue 60 ms",
                lte_driving},
    BondingCase{"loss_step", "1 to 30 % loss: the rate falls to what is delivered within 3 s",
                loss_step},
    BondingCase{"rate_step", "100 to 10 Mbit/s: no stall, 0.9 of what the other line gives",
                case_rate_step},
    BondingCase{"delay_step", "20 to 300 ms: no stall, 0.9 of what the other line gives",
                case_delay_step},
    BondingCase{"death", "silently dead under load: nothing lost, gap 3 RTT + 60 ms", case_death},
    BondingCase{"carrier", "its interface goes under load: nothing lost, gap RTT + 10 ms",
                case_carrier},
    BondingCase{"idle_death", "dead while idle: the next ping is answered in time",
                case_idle_death},
    BondingCase{"one_direction", "one direction dead: the other line goes on", case_one_direction},
    BondingCase{"flapping", "1 Hz for five minutes: no stall over 1 s", case_flapping},
    BondingCase{"return", "back after 5 s and more: its share within 1 s + 3 RTT", case_return},
    BondingCase{"udp80", "UDP at 80 % of the sum: nothing lost or out of order", udp80},
    BondingCase{"udp50_loss", "1 % loss: 0.01 % residual, 3 % extra bytes", udp50_loss},
    BondingCase{"idle_cost", "an idle tunnel: 1 kbit/s a line and direction", idle_cost},
    BondingCase{"false_suspicion", "jitter of a quarter RTT: 0.1 % sent again", false_suspicion},
};

}  // namespace

std::span<const BondingCase> bonding_cases() {
  return cases;
}

std::string to_line(const BondingCase& bonding_case, const Figures& figures) {
  std::string text;
  for (const Figure& figure : figures) {
    text += fmt::format("{} {} {:.4g}", text.empty() ? "" : ",", figure.name, figure.value);
    if (!figure.unit.empty()) text += fmt::format(" {}", figure.unit);
    if (figure.bound == Bound::none) continue;
    text += fmt::format(" ({} {:.4g}{})", figure.bound == Bound::least ? "≥" : "≤", figure.limit,
                        figure.held() ? "" : ": MISSED");
  }
  return fmt::format("{:<18}{}\n", bonding_case.name, text);
}

std::string to_json(const BondingCase& bonding_case, const Figures& figures) {
  std::string list;
  for (const Figure& figure : figures) {
    list += fmt::format(
        "{}{{\"name\": \"{}\", \"value\": {:.6g}, \"unit\": \"{}\", \"bound\": \"{}\", \"limit\": "
        "{:.6g}, \"held\": {}}}",
        list.empty() ? "" : ", ", figure.name, figure.value, figure.unit,
        figure.bound == Bound::none    ? "none"
        : figure.bound == Bound::least ? "least"
                                       : "most",
        figure.limit, figure.held());
  }
  return fmt::format("{{\"case\": \"{}\", \"figures\": [{}]}}", bonding_case.name, list);
}

linkem::TracePtr synthetic_trace(std::string_view name) {
  std::uint64_t seed = 1;
  for (const char c : name) seed = seed * 131 + static_cast<unsigned char>(c);
  Prng chance(seed);
  std::string text;
  double mbit = 15, owed = 0;
  for (unsigned ms = 1; ms <= 60'000; ++ms) {
    if (ms % 100 == 0) mbit = std::clamp(mbit * (0.75 + 0.5333 * chance.unit()), 1.0, 40.0);
    // Grants come in bursts of some milliseconds.
    if (ms % 5 == 0) owed += mbit * 5000 / 8;
    for (; owed >= 1500; owed -= 1500) text += fmt::format("{}\n", ms);
  }
  text += "60000\n";
  auto trace = linkem::Trace::parse(text, name);
  MWTUN_ASSERT(trace.ok());
  return trace.take();
}

}  // namespace mwtun::test
