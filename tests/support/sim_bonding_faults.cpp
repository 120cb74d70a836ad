// Lines that die, return or change while they are in use.
#include <algorithm>

#include "support/sim_bonding_cases.hpp"

namespace mwtun::test {
namespace {

using Bound = Figure::Bound;
using Kind = BondingWorld::Kind;

constexpr Duration load_from = seconds(3), event_at = seconds(8);
const std::vector<std::string> equal_50{"rate=50M delay=10ms", "rate=50M delay=10ms"};

double in_ms(Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}
Instant at(Duration time) {
  return Agenda::begin + time;
}

double goodput_mbit(BondingWorld& world, const TcpFlow& flow, Duration to) {
  const Duration from = world.agenda.elapsed();
  const std::uint64_t before = flow.delivered_bytes();
  world.run_until(to);
  return static_cast<double>(flow.delivered_bytes() - before) * 8e-6 /
         std::chrono::duration<double>(to - from).count();
}

/// The larger one of the links', as either end measures it now.
Duration loaded_rtt(BondingWorld& world) {
  Duration most{};
  for (const Side side : {Side::client, Side::server}) {
    for (const LinkReport& link : world.tunnel().report(side).links) {
      most = std::max(most, link.rtt);
    }
  }
  return most;
}

double sessions_lost(BondingWorld& world) {
  return static_cast<double>(world.tunnel().sessions_lost());
}

UdpSource& add_udp(BondingWorld& world, std::uint64_t rate_bps, Duration start = load_from) {
  UdpSource::Options options;
  options.rate_bps = rate_bps;
  options.start = start;
  return world.add_udp(options);
}

/// 20 Mbit/s of UDP, 100 pings a second and a TCP flow when the first line dies.
Figures death(const BondingOptions& options, bool with_carrier) {
  BondingWorld world(Kind::tunnel, {"rate=100M delay=10ms", "rate=100M delay=10ms"}, options);
  const PingSource& ping = world.add_ping(seconds(1));
  const UdpSource& source = add_udp(world, 20'000'000);
  TcpFlow& tcp = world.add_tcp(Side::client, load_from);
  world.run_until(event_at);
  const double rtt = in_ms(loaded_rtt(world));
  world.line(0).cut(true);
  if (with_carrier) world.tunnel().take_interface(0);
  tcp.receiver().take_longest_gap(world.agenda.now());
  world.run_until(event_at + seconds(3));
  const double stall = in_ms(tcp.receiver().take_longest_gap(world.agenda.now()));
  const double rate = goodput_mbit(world, tcp, event_at + seconds(6));
  const Instant from = at(event_at - seconds(1)), to = at(event_at + seconds(4));
  const auto udp = source.summary(from, to);
  const double limit = with_carrier ? rtt + 10 : 3 * rtt + 60;
  return {{"UDP lost", static_cast<double>(udp.lost), "", Bound::most, 0},
          {"pings lost", static_cast<double>(ping.unanswered(from, to)), "", Bound::most, 0},
          {"UDP gap", in_ms(udp.longest_gap), "ms", Bound::most, limit},
          {"ping gap", in_ms(ping.longest_gap(from, to)), "ms", Bound::most, limit},
          {"loaded RTT", rtt, "ms"},
          {"TCP stall", stall, "ms"},
          {"TCP after", rate, "Mbit/s"},
          {"sessions lost", sessions_lost(world), "", Bound::most, 0}};
}

/// What the second line alone gives through the tunnel, Mbit/s.
double other_line_mbit(const std::vector<std::string>& lines, const BondingOptions& options) {
  BondingOptions one = options;
  one.measured = seconds(8);
  return run_bonding(Kind::tunnel, {lines[1]}, one).goodput_bps / 1e6;
}

/// One flow down and pings while the first of two lines is disturbed from event_at on, for so long.
template <typename Disturb>
void disturb(Figures& figures, const BondingOptions& options, const std::vector<std::string>& lines,
             Duration time, double other_mbit, const Disturb& act) {
  BondingWorld world(Kind::tunnel, lines, options);
  const PingSource& ping = world.add_ping(seconds(1));
  TcpFlow& tcp = world.add_tcp(Side::client, load_from);
  world.run_until(load_from + seconds(2));
  const double before = goodput_mbit(world, tcp, event_at);
  tcp.receiver().take_longest_gap(world.agenda.now());
  const std::uint64_t bytes = tcp.delivered_bytes();
  act(world);
  world.run_until(event_at + time);
  const double during = static_cast<double>(tcp.delivered_bytes() - bytes) * 8e-6 /
                        std::chrono::duration<double>(time).count();
  const double stall = in_ms(tcp.receiver().take_longest_gap(world.agenda.now()));
  const Instant from = at(event_at), to = at(event_at + time - seconds(1));
  figures.push_back({"of the other line", during / other_mbit, "", Bound::least, 0.9});
  figures.push_back({"TCP stall", stall, "ms", Bound::most, 1000});
  figures.push_back({"ping gap", in_ms(ping.longest_gap(from, to)), "ms", Bound::most, 1000});
  figures.push_back({"pings lost", static_cast<double>(ping.unanswered(from, to)), ""});
  figures.push_back({"ping p99", ping.percentile_ms(0.99, from, to), "ms"});
  figures.push_back({"before", before, "Mbit/s"});
  figures.push_back({"sessions lost", sessions_lost(world), "", Bound::most, 0});
}

Figures step(const BondingOptions& options, const std::vector<std::string>& lines,
             std::string_view change) {
  Figures figures;
  disturb(figures, options, lines, seconds(10), other_line_mbit(lines, options),
          [&](BondingWorld& world) { world.change(0, change); });
  return figures;
}

/// UDP that either line could carry alone, through death and return: nothing may be lost.
void return_under_light_load(Figures& figures, const BondingOptions& options) {
  BondingWorld world(Kind::tunnel, equal_50, options);
  const PingSource& ping = world.add_ping(seconds(1));
  const UdpSource& udp = add_udp(world, 38'000'000);
  world.run_until(event_at);
  world.line(0).cut(true);
  const Duration back = event_at + seconds(6);
  world.run_until(back);
  world.line(0).cut(false);
  world.run_until(back + seconds(6));
  const auto summary = udp.summary(at(load_from + seconds(1)), at(back + seconds(5)));
  const double before = ping.percentile_ms(0.99, at(load_from), at(event_at));
  const double after = ping.percentile_ms(1, at(back), at(back + seconds(5)));
  figures.push_back({"light UDP lost", static_cast<double>(summary.lost), "", Bound::most, 0});
  figures.push_back({"worst ping after", after, "ms", Bound::most, before + 20});
}

/// UDP at 80 % of the sum from just before the line is mended: how soon it carries its part.
void return_to_share(Figures& figures, const BondingOptions& options) {
  BondingWorld world(Kind::tunnel, equal_50, options);
  world.run_until(seconds(3));
  world.line(0).cut(true);
  const Duration back = seconds(9);
  const UdpSource& udp = add_udp(world, 76'000'000, back - milliseconds(500));
  world.run_until(back);
  const Duration rtt = loaded_rtt(world);
  world.line(0).cut(false);
  const auto& counters = world.line(0).counters(Side::server);
  const std::uint64_t nothing = counters.out_frames;
  const auto step_to = [&](Duration time) { world.run_until(time); };
  Duration first = back;
  while (counters.out_frames == nothing && first < back + seconds(10)) {
    step_to(first += milliseconds(5));
  }
  // Half of the bytes, frames and framing, in a sliding 200 ms.
  constexpr Duration slot = milliseconds(20);
  constexpr double part_bytes = 0.9 * 38e6 / 8 * 0.2;
  std::vector<double> carried{static_cast<double>(counters.out_bytes)};
  Duration now = first;
  double reached_ms = 1e4;
  while (now < first + seconds(6)) {
    step_to(now += slot);
    carried.push_back(static_cast<double>(counters.out_bytes));
    if (carried.size() > 10 && carried.back() - carried[carried.size() - 11] >= part_bytes) {
      reached_ms = in_ms(now - first);
      break;
    }
  }
  const double bound_ms = 1000 + 3 * in_ms(rtt);
  world.run_until(back + seconds(7));
  const Instant from = at(first) + milliseconds(static_cast<std::int64_t>(bound_ms) + 500);
  const auto late = udp.summary(from, at(back + seconds(6)));
  figures.push_back({"share after", reached_ms, "ms", Bound::most, bound_ms});
  figures.push_back({"UDP lost then", static_cast<double>(late.lost), "", Bound::most, 0});
}

void return_with_bbr(Figures& figures, const BondingOptions& options) {
  BondingWorld world(Kind::tunnel, equal_50, options);
  const TcpFlow& flow = world.add_tcp(world.net(), Side::client, TcpKind::bbr, load_from);
  world.run_until(load_from + seconds(3));
  const double before = goodput_mbit(world, flow, load_from + seconds(8));
  world.line(0).cut(true);
  world.run_until(load_from + seconds(14));
  world.line(0).cut(false);
  world.run_until(load_from + seconds(19));
  const double after = goodput_mbit(world, flow, load_from + seconds(23));
  figures.push_back({"BBR after 5 s, of before", after / before, "", Bound::least, 0.9});
}

}  // namespace

Figures case_death(const BondingOptions& options) {
  return death(options, false);
}

Figures case_carrier(const BondingOptions& options) {
  return death(options, true);
}

Figures case_idle_death(const BondingOptions& options) {
  double worst = 0, lost = 0, named = 0;
  for (const auto wait : {milliseconds(100), milliseconds(10'000), milliseconds(600'000)}) {
    for (const std::size_t dead : {0u, 1u}) {
      BondingWorld world(Kind::tunnel, {"rate=50M delay=10ms", "rate=50M delay=20ms"}, options);
      const Duration quiet = seconds(5);
      const PingSource& ping = world.add_ping(quiet + wait, seconds(1000));
      world.run_until(quiet);
      world.line(dead).cut(true);
      const auto down = [&] {
        const LinkReport link = world.tunnel().report(Side::client).links.at(dead);
        return link.state == LinkState::down;
      };
      Duration until = quiet;
      while (!down() && until < quiet + seconds(20)) world.run_until(until += milliseconds(100));
      named = std::max(named, in_ms(until - quiet) / 1000);
      world.run_until(std::max(until, quiet + wait) + seconds(3));
      const Instant from = at(quiet), to = world.agenda.now();
      const double other_rtt_ms = dead == 0 ? 40 : 20;
      worst = std::max(worst, ping.percentile_ms(1, from, to) - other_rtt_ms);
      lost += static_cast<double>(ping.unanswered(from, to));
    }
  }
  return {{"pings lost", lost, "", Bound::most, 0},
          {"worst ping, over the other line's", worst, "ms", Bound::most, 20},
          {"named down after", named, "s", Bound::most, 5}};
}

Figures case_one_direction(const BondingOptions& options) {
  Figures figures;
  const double other_mbit = other_line_mbit(equal_50, options);
  for (const Side dead : {Side::server, Side::client}) {
    disturb(figures, options, equal_50, seconds(8), other_mbit,
            [&](BondingWorld& world) { world.line(0).cut(dead, true); });
  }
  return figures;
}

Figures case_flapping(const BondingOptions& options) {
  Figures figures;
  const Duration time = seconds(300);
  disturb(figures, options, equal_50, time, other_line_mbit(equal_50, options),
          [&](BondingWorld& world) {
            for (Duration t{}; t < time; t += milliseconds(500)) {
              world.line(0).cut(t % seconds(1) == Duration{});
              world.run_until(event_at + t + milliseconds(500));
            }
          });
  return figures;
}

Figures case_rate_step(const BondingOptions& options) {
  return step(options, {"rate=100M delay=10ms", "rate=50M delay=10ms"}, "rate=10M");
}

Figures case_delay_step(const BondingOptions& options) {
  return step(options, {"rate=50M delay=20ms", "rate=50M delay=20ms"}, "delay=300ms");
}

Figures case_return(const BondingOptions& options) {
  Figures figures;
  return_under_light_load(figures, options);
  return_to_share(figures, options);
  return_with_bbr(figures, options);
  return figures;
}

}  // namespace mwtun::test
