#include "support/sim_bonding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mwtun::test {
namespace {

using Against = BondingPromise::Against;

// The promises a pair is held to.
constexpr BondingPromise best_line{};
constexpr BondingPromise disturbed{0, Against::tunnelled, false, false};
constexpr BondingPromise no_loss{0.90, Against::clean, false, false};
constexpr BondingPromise aggregates{0.85, Against::bare, true, true};
constexpr BondingPromise disturbed_aggregates{0.85, Against::tunnelled, true, false};
constexpr BondingPromise share(double of_the_sum) {
  return {of_the_sum, Against::bare, false, true};
}

// Names and lines are those of bench/bonding. Rates in bits a second of IP packets, delays one way,
// jitter of the fifo kind unless said; buffers of 200 ms.
const std::array scenarios{
    BondingScenario{"equal", {"rate=100M delay=10ms", "rate=100M delay=10ms"}, share(0.92)},
    BondingScenario{"300_80", {"rate=300M delay=10ms", "rate=80M delay=30ms"}, share(0.89)},
    BondingScenario{"300_90", {"rate=300M delay=12ms", "rate=90M delay=6ms"}, aggregates},
    BondingScenario{"200_20", {"rate=200M delay=10ms", "rate=20M delay=40ms"}, aggregates},
    BondingScenario{
        "100_50_loss", {"rate=100M delay=15ms loss=1%", "rate=50M delay=30ms loss=1%"}, no_loss},
    BondingScenario{
        "100_50_loss_on_one", {"rate=100M delay=15ms", "rate=50M delay=30ms loss=1%"}, no_loss},
    BondingScenario{
        "100_50_loss_on_first", {"rate=100M delay=15ms loss=1%", "rate=50M delay=30ms"}, no_loss},
    BondingScenario{
        "100_100_bursts",
        {"rate=100M delay=10ms ge=0.25510%,12.5%", "rate=100M delay=15ms ge=0.25510%,12.5%"},
        disturbed},
    BondingScenario{"100_lte",
                    {"rate=100M delay=8ms", "trace=TMobile delay=30ms up.trace_offset=20s"},
                    disturbed},
    BondingScenario{"100_lte_driving",
                    {"rate=100M delay=8ms", "trace=ATT delay=30ms up.trace_offset=20s"},
                    disturbed},
    BondingScenario{
        "three", {"rate=100M delay=10ms", "rate=50M delay=25ms", "rate=25M delay=40ms"}, best_line},
    BondingScenario{"baseline", {"rate=50M delay=20ms", "rate=50M delay=20ms"}, best_line},
    BondingScenario{"rtt_40", {"rate=50M delay=20ms", "rate=50M delay=40ms"}, aggregates},
    BondingScenario{"rtt_70", {"rate=50M delay=20ms", "rate=50M delay=70ms"}, aggregates},
    BondingScenario{"rtt_120", {"rate=50M delay=20ms", "rate=50M delay=120ms"}, aggregates},
    BondingScenario{"rtt_320", {"rate=50M delay=20ms", "rate=50M delay=320ms"}, best_line},
    BondingScenario{
        "jit_5", {"rate=50M delay=20ms jitter=5ms", "rate=50M delay=20ms jitter=5ms"}, disturbed},
    BondingScenario{"jit_20",
                    {"rate=50M delay=20ms jitter=20ms", "rate=50M delay=20ms jitter=20ms"},
                    disturbed},
    BondingScenario{"jit_20_reorder",
                    {"rate=50M delay=20ms jitter=20ms jitter_mode=reorder",
                     "rate=50M delay=20ms jitter=20ms jitter_mode=reorder"},
                    disturbed},
    BondingScenario{
        "loss_05", {"rate=50M delay=20ms loss=0.5%", "rate=50M delay=20ms loss=0.5%"}, disturbed},
    BondingScenario{
        "loss_2", {"rate=50M delay=20ms loss=2%", "rate=50M delay=20ms loss=2%"}, disturbed},
    BondingScenario{"bw_4to1", {"rate=50M delay=20ms", "rate=12M delay=20ms"}, aggregates},
    BondingScenario{"bw_10to1", {"rate=100M delay=20ms", "rate=10M delay=20ms"}, aggregates},
    BondingScenario{
        "dual_lte",
        {"rate=40M delay=30ms jitter=5ms loss=0.5%", "rate=25M delay=45ms jitter=8ms loss=0.5%"},
        disturbed_aggregates},
    BondingScenario{"fiber_lte",
                    {"rate=300M delay=8ms", "rate=30M delay=40ms jitter=8ms loss=0.5%"},
                    disturbed_aggregates},
    BondingScenario{"lte_starlink",
                    {"rate=40M delay=35ms jitter=8ms", "rate=100M delay=50ms jitter=25ms loss=1%"},
                    disturbed_aggregates},
    BondingScenario{"lte_starlink_reorder",
                    {"rate=40M delay=35ms jitter=8ms jitter_mode=reorder",
                     "rate=100M delay=50ms jitter=25ms jitter_mode=reorder loss=1%"},
                    disturbed},
    BondingScenario{"lte_geo",
                    {"rate=40M delay=35ms", "rate=20M delay=320ms jitter=20ms loss=0.5%"},
                    disturbed},
    BondingScenario{
        "congested",
        {"rate=20M delay=50ms jitter=20ms loss=2%", "rate=15M delay=60ms jitter=25ms loss=2%"},
        disturbed},
};

constexpr Duration idle_from = seconds(1), load_from = seconds(3);

double mbit(double bps) {
  return bps / 1e6;
}

/// The same line without what a lossy one loses.
std::string without_loss(std::string_view line) {
  return fmt::format("{} loss=0 ge=none", line);
}

}  // namespace

std::span<const BondingScenario> bonding_scenarios() {
  return scenarios;
}

BondingWorld::BondingWorld(Kind kind, const std::vector<std::string>& lines,
                           const BondingOptions& options, std::string_view shared)
    : options_(options), next_seed_(options.seed * 1000) {
  std::shared_ptr<linkem::Bottleneck> shared_up, shared_down;
  if (!shared.empty()) {
    auto parsed = linkem::parse_shared(fmt::format("name=cell {}", shared), options.load_trace);
    MWTUN_ASSERT(parsed.ok());
    shared_up = std::make_shared<linkem::Bottleneck>(parsed.value().bottleneck, agenda.now());
    shared_down = std::make_shared<linkem::Bottleneck>(parsed.value().bottleneck, agenda.now());
  }
  std::vector<DuplexLine*> all;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    auto parsed =
        linkem::parse_line(fmt::format("name=l{} a=a b=b {}", i, lines[i]), options.load_trace);
    if (!parsed.ok()) fmt::print(stderr, "{}\n", parsed.error().message);
    MWTUN_ASSERT(parsed.ok());
    line_options_.push_back(parsed.value());
    const linkem::LineOptions& line = line_options_.back();
    lines_.push_back(std::make_unique<DuplexLine>(
        agenda, pool_, i, line, options.seed * 97 + i, line.up.shared.empty() ? nullptr : shared_up,
        line.down.shared.empty() ? nullptr : shared_down));
    all.push_back(lines_.back().get());
  }
  if (kind == Kind::bare) {
    bare_ = std::make_unique<BareNet>(*lines_[0]);
    net_ = bare_.get();
    return;
  }
  TunnelOptions tunnel;
  tunnel.seed = options.seed;
  tunnel.scheduler = options.scheduler;
  tunnel.cipher = options.cipher;
  tunnel_holder_ = std::make_unique<TunnelNet>(agenda, std::move(all), tunnel);
  net_ = tunnel_ = tunnel_holder_.get();
}

FrameNet& BondingWorld::outside(std::size_t line) {
  outside_.push_back(std::make_unique<BareNet>(*lines_[line]));
  return *outside_.back();
}

TcpFlow& BondingWorld::add_tcp(FrameNet& net, Side to, TcpKind kind, Duration start) {
  TcpOptions tcp;
  tcp.congestion = kind;
  tcp.ecn = options_.ecn;
  tcp.start = start;
  tcp.seed = ++next_seed_;
  tcp.window_bytes = options_.window_bytes;
  flows_.push_back(std::make_unique<TcpFlow>(agenda, net, to, tcp));
  return *flows_.back();
}

UdpSource& BondingWorld::add_udp(const UdpSource::Options& options) {
  udp_.push_back(std::make_unique<UdpSource>(agenda, *net_, options));
  return *udp_.back();
}

PingSource& BondingWorld::add_ping(Duration start, Duration interval) {
  pings_.push_back(
      std::make_unique<PingSource>(agenda, *net_, Side::client, interval, Agenda::begin + start));
  return *pings_.back();
}

void BondingWorld::change(std::size_t line, std::string_view settings) {
  const auto changed = linkem::change_line(line_options_[line], settings, options_.load_trace);
  MWTUN_ASSERT(changed.ok());
  lines_[line]->configure(Side::client, line_options_[line].up);
  lines_[line]->configure(Side::server, line_options_[line].down);
}

BondingRun run_bonding(BondingWorld::Kind kind, const std::vector<std::string>& lines,
                       const BondingOptions& options) {
  BondingWorld world(kind, lines, options);
  const PingSource& ping = world.add_ping(idle_from);
  std::vector<TcpFlow*> flows;
  for (unsigned i = 0; i < options.flows; ++i) {
    // Not all in the same moment, as nobody starts them so.
    const Duration start = load_from + milliseconds(7) * i;
    if (options.down) flows.push_back(&world.add_tcp(Side::client, start));
    if (options.up) flows.push_back(&world.add_tcp(Side::server, start));
  }
  const Duration from = load_from + options.warmup, to = from + options.measured;
  world.run_until(from);
  BondingRun run;
  double bytes = 0;
  for (const TcpFlow* flow : flows) bytes -= static_cast<double>(flow->delivered_bytes());
  world.run_until(to);
  for (const TcpFlow* flow : flows) {
    bytes += static_cast<double>(flow->delivered_bytes());
    run.retransmitted += flow->sender().counters().retransmitted;
    run.timeouts += flow->sender().counters().timeouts;
    run.recoveries += flow->sender().counters().recoveries;
    run.segments += flow->receiver().counters().segments;
    run.late_segments += flow->receiver().counters().late;
    MWTUN_ASSERT(flow->broken() == 0);
  }
  run.goodput_bps = bytes * 8 / std::chrono::duration<double>(options.measured).count();
  const Instant begin = Agenda::begin;
  // Not the pings that were still on their way when it ended.
  const Instant last = begin + to - seconds(1);
  run.ping_idle_p50_ms = ping.percentile_ms(0.5, begin + idle_from, begin + load_from);
  run.ping_idle_p99_ms = ping.percentile_ms(0.99, begin + idle_from, begin + load_from);
  run.ping_loaded_p50_ms = ping.percentile_ms(0.5, begin + from, last);
  run.ping_loaded_p99_ms = ping.percentile_ms(0.99, begin + from, last);
  run.pings_lost = ping.unanswered(begin + from, last);
  run.steps = world.agenda.steps();
  return run;
}

double ping_at_half_load(const std::string& line, const BondingOptions& options) {
  BondingWorld world(BondingWorld::Kind::bare, {line}, options);
  const PingSource& ping = world.add_ping(seconds(1));
  for (const Side to : {Side::client, Side::server}) {
    if (to == Side::client ? !options.down : !options.up) continue;
    UdpSource::Options udp;
    udp.to = to;
    const auto& way = world.line(0).options(other(to));
    udp.rate_bps = std::max<std::uint64_t>(way.own.average_bps() / 2, 1'000'000);
    world.add_udp(udp);
  }
  world.run_until(seconds(12));
  return ping.percentile_ms(0.99, Agenda::begin + seconds(1), Agenda::begin + seconds(11));
}

bool BondingResult::enough() const {
  if (both.goodput_bps < 0.98 * single_best_bps) return false;
  if (both.goodput_bps < scenario->promise.sum_share * reference_bps) return false;
  if (!scenario->promise.half_of_other) return true;
  return both.goodput_bps >= single_best_bps + (single_sum_bps - single_best_bps) / 2;
}

BondingResult measure_scenario(const BondingScenario& scenario, const BondingOptions& options) {
  BondingResult result;
  result.scenario = &scenario;
  std::vector<std::string> all;
  double idle_best = 1e9, half_best = 1e9, clean_sum = 0;
  for (const std::string_view text : scenario.lines) {
    const std::string line(text);
    all.push_back(line);
    const BondingRun bare = run_bonding(BondingWorld::Kind::bare, {line}, options);
    const BondingRun single = run_bonding(BondingWorld::Kind::tunnel, {line}, options);
    result.bare_sum_bps += bare.goodput_bps;
    result.bare_best_bps = std::max(result.bare_best_bps, bare.goodput_bps);
    result.single_sum_bps += single.goodput_bps;
    result.single_best_bps = std::max(result.single_best_bps, single.goodput_bps);
    idle_best = std::min(idle_best, bare.ping_idle_p99_ms);
    if (!scenario.promise.steady) half_best = std::min(half_best, ping_at_half_load(line, options));
    if (scenario.promise.against == Against::clean) {
      clean_sum += run_bonding(BondingWorld::Kind::bare, {without_loss(line)}, options).goodput_bps;
    }
    result.bare.push_back(bare);
    result.single.push_back(single);
  }
  result.both = run_bonding(BondingWorld::Kind::tunnel, all, options);
  result.reference_bps = scenario.promise.against == Against::bare    ? result.bare_sum_bps
                         : scenario.promise.against == Against::clean ? clean_sum
                                                                      : result.single_sum_bps;
  const double spare_ms = scenario.promise.steady && options.up && options.down ? 35 : 20;
  result.ping_limit_ms = (scenario.promise.steady ? idle_best : half_best) + spare_ms;
  return result;
}

std::string bonding_header() {
  return fmt::format("{:<21}{:>20}{:>20}{:>8}{:>6}{:>6}{:>6}{:>6}{:>8}{:>8}{:>8}{:>7}{:>6}\n",
                     "Mbit/s", "bare, each line", "tunnel, one line", "both", "/sum", "/ref",
                     "need", "/best", "ping ms", "loaded", "limit", "retr", "rto");
}

std::string to_line(const BondingResult& r) {
  std::string bare, single;
  for (const BondingRun& run : r.bare) bare += fmt::format(" {:.1f}", mbit(run.goodput_bps));
  for (const BondingRun& run : r.single) single += fmt::format(" {:.1f}", mbit(run.goodput_bps));
  const double best = std::max(r.single_best_bps, 1.0);
  return fmt::format(
      "{:<21}{:>20}{:>20}{:>8.1f}{:>6.2f}{:>6.2f}{:>6.2f}{:>6.2f}{:>8.1f}{:>8.1f}{:>8.1f}{:>7}{:>6}"
      "  {}{}\n",
      r.scenario->name, bare, single, mbit(r.both.goodput_bps),
      r.both.goodput_bps / std::max(r.bare_sum_bps, 1.0),
      r.both.goodput_bps / std::max(r.reference_bps, 1.0), r.scenario->promise.sum_share,
      r.both.goodput_bps / best, r.both.ping_idle_p99_ms, r.both.ping_loaded_p99_ms,
      r.ping_limit_ms, r.both.retransmitted, r.both.timeouts, r.enough() ? "" : "SLOW ",
      r.quick() ? "" : "LATE");
}

std::string to_json(const BondingResult& r) {
  const auto one = [](const BondingRun& run) {
    return fmt::format(
        "{{\"goodput_bps\": {:.0f}, \"ping_idle_p50_ms\": {:.2f}, \"ping_idle_p99_ms\": {:.2f}, "
        "\"ping_loaded_p50_ms\": {:.2f}, \"ping_loaded_p99_ms\": {:.2f}, \"pings_lost\": {}, "
        "\"retransmitted\": {}, \"timeouts\": {}, \"recoveries\": {}, \"late_segments\": {}, "
        "\"segments\": {}}}",
        run.goodput_bps, run.ping_idle_p50_ms, run.ping_idle_p99_ms, run.ping_loaded_p50_ms,
        run.ping_loaded_p99_ms, run.pings_lost, run.retransmitted, run.timeouts, run.recoveries,
        run.late_segments, run.segments);
  };
  const auto list = [&](const std::vector<BondingRun>& runs) {
    std::string text;
    for (const BondingRun& run : runs) text += (text.empty() ? "" : ", ") + one(run);
    return text;
  };
  std::string lines;
  for (const std::string_view line : r.scenario->lines) {
    lines += fmt::format("{}\"{}\"", lines.empty() ? "" : ", ", line);
  }
  return fmt::format(
      "{{\"name\": \"{}\", \"lines\": [{}], \"bare\": [{}], \"single\": [{}], \"both\": {}, "
      "\"reference_bps\": {:.0f}, \"sum_share\": {:.2f}, \"ping_limit_ms\": {:.2f}, \"enough\": "
      "{}, \"quick\": {}}}",
      r.scenario->name, lines, list(r.bare), list(r.single), one(r.both), r.reference_bps,
      r.scenario->promise.sum_share, r.ping_limit_ms, r.enough(), r.quick());
}

}  // namespace mwtun::test
