#include "support/sim_scenario.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "support/sim_world.hpp"

namespace mwtun::test {
namespace {

enum class Kind : std::uint8_t { calm, weather, stable_weather, congested, long_run, hub };

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::calm: return "calm";
    case Kind::weather: return "weather";
    case Kind::stable_weather: return "stable weather";
    case Kind::congested: return "congested";
    case Kind::long_run: return "long run";
    case Kind::hub: return "hub";
  }
  return "?";
}

constexpr Duration quiet_tail = seconds(9);
constexpr Duration proof_time = seconds(4);

Duration between(Prng& dice, Duration low, Duration high) {
  return Duration(static_cast<Duration::rep>(dice.between(
      static_cast<std::uint64_t>(low.count()), static_cast<std::uint64_t>(high.count()))));
}
/// Small values as likely as large ones: first how many doublings, then a place between two.
Duration log_between(Prng& dice, Duration low, Duration high) {
  std::uint64_t doublings = 0;
  while (low * (1LL << doublings) < high) ++doublings;
  const Duration base = low * (1LL << dice.below(std::max<std::uint64_t>(doublings, 1)));
  return std::min(high, between(dice, base, 2 * base));
}

class Scenario {
 public:
  Scenario(std::uint64_t seed, unsigned verbose) : dice_(seed * 2 + 1) {
    choose_kind();
    options_.seed = seed;
    options_.verbose = verbose;
    choose_world();
    world_ = std::make_unique<World>(options_);
    if (kind_ == Kind::congested) world_->record_at_most(64);
  }
  ScenarioOutcome run();

 private:
  void choose_kind();
  void choose_world();
  LineOptions choose_line();
  void add_traffic();
  void schedule_weather();
  void strike();
  void strike_link(std::size_t client, std::size_t link);
  void strike_end();
  void replay();
  void heal();
  void prove_flow();
  void judge_flow(std::size_t flow, Duration bound);
  void judge_calm();
  void judge_acceptance();
  bool faults() const { return kind_ != Kind::calm && kind_ != Kind::congested; }
  bool disturbed() const {
    return kind_ == Kind::weather || kind_ == Kind::hub || kind_ == Kind::long_run;
  }

  Prng dice_;
  Kind kind_{};
  WorldOptions options_;
  std::unique_ptr<World> world_;
  Duration storm_end_{};
  bool lossy_left_ = false;  // A link that was not healed loses datagrams.
  std::vector<std::size_t> flows_;
};

void Scenario::choose_kind() {
  const std::uint64_t roll = dice_.below(100);
  kind_ = roll < 10   ? Kind::calm
          : roll < 50 ? Kind::weather
          : roll < 74 ? Kind::stable_weather
          : roll < 82 ? Kind::congested
          : roll < 86 ? Kind::long_run
                      : Kind::hub;
}

LineOptions Scenario::choose_line() {
  LineOptions line;
  line.delay = log_between(dice_, microseconds(100), milliseconds(faults() ? 400 : 150));
  if (kind_ == Kind::calm) {
    if (dice_.chance(0.5)) line.rate_bps = dice_.between(20'000'000, 300'000'000);
    return line;
  }
  if (kind_ == Kind::congested) {
    line.rate_bps = dice_.between(1'000'000, 8'000'000);
    line.queue_bytes_max = static_cast<std::uint32_t>(dice_.between(16'000, 200'000));
    return line;
  }
  if (dice_.chance(0.06)) line.delay = between(dice_, milliseconds(400), milliseconds(2000));
  if (dice_.chance(0.5)) line.jitter = log_between(dice_, microseconds(10), milliseconds(60));
  line.jitter_reorders = dice_.chance(0.3);
  if (dice_.chance(0.5)) line.rate_bps = dice_.between(500'000, 50'000'000);
  line.queue_bytes_max = static_cast<std::uint32_t>(dice_.between(8'000, 400'000));
  if (dice_.chance(0.5)) line.loss = dice_.chance(0.7) ? dice_.unit() * 0.03 : dice_.unit() * 0.3;
  if (dice_.chance(0.25)) {
    line.burst_enter = dice_.unit() * 0.02;
    line.burst_leave = 0.02 + dice_.unit() * 0.5;
    line.burst_loss = 0.3 + dice_.unit() * 0.7;
  }
  if (dice_.chance(0.3)) line.duplicate = dice_.unit() * 0.3;
  if (dice_.chance(0.3)) line.corrupt = dice_.unit() * (dice_.chance(0.7) ? 0.03 : 0.3);
  if (dice_.chance(0.3)) {
    line.reorder = dice_.unit() * 0.3;
    line.reorder_by = log_between(dice_, microseconds(100), milliseconds(300));
  }
  return line;
}

void Scenario::choose_world() {
  options_.scheduler = static_cast<SchedulerKind>(dice_.chance(0.5) ? 0 : dice_.below(5));
  if (dice_.chance(0.1)) options_.mtu = 9000;
  if (dice_.chance(0.4))
    options_.wake_late_max = log_between(dice_, microseconds(5), milliseconds(3));
  if (faults() && dice_.chance(0.3)) options_.send_block_chance = dice_.unit() * 0.05;
  if (dice_.chance(0.3)) options_.cipher = Cipher::chacha20_poly1305;
  const std::size_t clients = kind_ == Kind::hub ? 2 : 1;
  for (std::size_t c = 0; c < clients; ++c) {
    SimClientOptions client;
    const std::size_t links = kind_ == Kind::calm ? 1 + dice_.below(3) : 2 + dice_.below(3);
    for (std::size_t l = 0; l < links; ++l) {
      SimLinkOptions link;
      link.config.name = fmt::format("line{}", l);
      link.config.weight = static_cast<std::uint16_t>(1 + dice_.below(10));
      link.config.priority = static_cast<std::uint8_t>(dice_.below(3));
      if (l > 0 && dice_.chance(0.1)) link.config.role = LinkRole::backup;
      link.config.metered = l > 0 && dice_.chance(0.1);
      link.v6 = dice_.chance(0.2);
      link.up = choose_line();
      link.down = dice_.chance(0.5) ? choose_line() : link.up;
      client.links.push_back(link);
    }
    options_.clients.push_back(std::move(client));
  }
}

void Scenario::add_traffic() {
  const bool congested = kind_ == Kind::congested, long_run = kind_ == Kind::long_run;
  for (std::size_t c = 0; c < options_.clients.size(); ++c) {
    const std::size_t count = congested ? 3 + dice_.below(4) : 3 + dice_.below(8);
    for (std::size_t i = 0; i < count; ++i) {
      TrafficOptions traffic;
      traffic.kind = static_cast<FlowKind>(dice_.chance(0.4) ? 0 : dice_.below(9));
      traffic.client = c;
      traffic.up = dice_.chance(0.5);
      traffic.bytes_max =
          dice_.chance(0.4) ? 1514u : static_cast<std::uint32_t>(dice_.between(60, 1514));
      if (options_.mtu > 2000 && dice_.chance(0.5)) traffic.bytes_max = 9014;
      traffic.gap =
          log_between(dice_, milliseconds(long_run ? 200 : 4), milliseconds(long_run ? 3000 : 400));
      if (congested) {
        traffic.gap = between(dice_, microseconds(1500), milliseconds(8));
        traffic.bytes_max = 1514;
        if (dice_.chance(0.6)) traffic.kind = FlowKind::tcp4;
      }
      traffic.random_gaps = dice_.chance(0.7);
      if (dice_.chance(0.3)) traffic.burst_max = static_cast<std::uint32_t>(dice_.between(2, 12));
      if (dice_.chance(0.3)) {
        traffic.spell = between(dice_, milliseconds(50), seconds(3));
        traffic.rest = between(dice_, milliseconds(50), seconds(3));
      }
      traffic.vlan = dice_.chance(0.2);
      traffic.ecn_capable = dice_.chance(0.3);
      traffic.start = between(dice_, Duration{}, seconds(2));
      // A calm world is judged by what it loses: let its links come up first.
      if (kind_ == Kind::calm) traffic.start += seconds(4);
      flows_.push_back(world_->add_traffic(traffic));
    }
  }
}

void Scenario::schedule_weather() {
  if (!faults()) return;
  const Duration step = kind_ == Kind::long_run ? seconds(20) : milliseconds(700);
  for (Duration at = milliseconds(300); at < storm_end_;
       at += between(dice_, step / 10, step * 2)) {
    world_->at(at, [this] { strike(); });
  }
}

void Scenario::strike() {
  if (world_->now() >= storm_end_) return;
  const std::uint64_t roll = dice_.below(100);
  const std::size_t client = dice_.below(options_.clients.size());
  const std::size_t link = dice_.below(world_->link_count(client));
  if (roll < 60) return strike_link(client, link);
  if (roll < 85 || !disturbed()) return replay();
  strike_end();
}

void Scenario::strike_link(std::size_t client, std::size_t link) {
  World& world = *world_;
  const Duration lasts = log_between(dice_, milliseconds(50), seconds(8));
  const Duration until = world.now() + lasts;
  switch (dice_.below(10)) {
    case 0:
      world.kill_link(client, link);
      return world.at(until, [&world, client, link] { world.kill_link(client, link, false); });
    case 1:
      world.up(client, link).options.dead = true;
      return world.at(until,
                      [&world, client, link] { world.up(client, link).options.dead = false; });
    case 2:
      world.down(client, link).options.dead = true;
      return world.at(until,
                      [&world, client, link] { world.down(client, link).options.dead = false; });
    case 3:
    case 4: return world.rebind(client, link, dice_.chance(0.4));
    case 5:
      world.take_interface(client, link);
      return world.at(until, [&world, client, link] { world.give_interface(client, link); });
    case 6: {
      const auto error = static_cast<SendError>(dice_.below(5));
      world.set_send_error(client, link, error);
      return world.at(until, [&world, client, link] { world.set_send_error(client, link, {}); });
    }
    case 7: {
      const bool upwards = dice_.chance(0.5);
      SimLine& line = upwards ? world.up(client, link) : world.down(client, link);
      line.options = choose_line();
      return;
    }
    case 8: {
      SimLine& line = dice_.chance(0.5) ? world.up(client, link) : world.down(client, link);
      line.options.mtu = static_cast<std::uint32_t>(dice_.between(1280, 1500));
      return;
    }
    default: {
      SimLine& line = dice_.chance(0.5) ? world.up(client, link) : world.down(client, link);
      line.options.eats_handshakes = true;
      return world.at(until, [&line] { line.options.eats_handshakes = false; });
    }
  }
}

void Scenario::strike_end() {
  World& world = *world_;
  const EndId end = dice_.below(world.end_count());
  const std::uint64_t roll = dice_.below(10);
  if (roll < 3) {
    world.pause(end, log_between(dice_, milliseconds(10), seconds(3)));
  } else if (roll < 6) {
    world.jump_clock(end, log_between(dice_, milliseconds(500), seconds(240)));
  } else if (roll < 9) {
    if (dice_.chance(0.4)) world.set_wall_clock_back(end, seconds(dice_.below(100'000)));
    world.restart(end, log_between(dice_, milliseconds(1), seconds(2)));
  }
}

void Scenario::replay() {
  World& world = *world_;
  const bool handshake = dice_.chance(0.4);
  const auto& recordings = handshake ? world.handshake_recordings() : world.data_recordings();
  if (recordings.empty()) return;
  for (std::uint64_t i = 1 + dice_.below(8); i > 0; --i) {
    Recording recording = recordings[dice_.below(recordings.size())];
    if (dice_.chance(0.2)) {
      recording.bytes[dice_.below(recording.bytes.size())] ^=
          static_cast<std::uint8_t>(1 + dice_.below(255));
      recording.mark = {};
    }
    std::optional<Address> from;
    // Towards a client a stranger's datagram would have to pass its NAT first.
    if (recording.to == 0 && dice_.chance(0.6)) {
      from = recording.path.remote;
      from->ip[1] ^= 0x40, from->port = static_cast<std::uint16_t>(dice_.between(1024, 65535));
    }
    world.inject(recording, from);
  }
}

void Scenario::heal() {
  World& world = *world_;
  world.set_send_block_chance(0);
  for (std::size_t c = 0; c < options_.clients.size(); ++c) {
    const std::size_t healthy = dice_.below(world.link_count(c));
    for (std::size_t l = 0; l < world.link_count(c); ++l) {
      const bool heals = l == healthy || dice_.chance(0.4);
      if (!heals && dice_.chance(0.5)) world.kill_link(c, l);
      if (!heals) continue;
      for (SimLine* line : {&world.up(c, l), &world.down(c, l)}) {
        LineOptions good;
        good.delay = std::min<Duration>(line->options.delay, milliseconds(150));
        good.rate_bps = std::max<std::uint64_t>(line->options.rate_bps, 5'000'000);
        line->options = good;
      }
      world.set_send_error(c, l, std::nullopt);
      world.give_interface(c, l);
    }
  }
}

void Scenario::prove_flow() {
  World& world = *world_;
  // A lost session takes a handshake, whose repetitions are up to 5.3 s apart and which a restarted
  // responder first answers with a cookie; a client that lost its server learns it from silence.
  const bool session_lost = disturbed();
  std::vector<std::size_t> proofs;
  // Frames may go on a dead line for as long as its acknowledgements would take.
  Duration slowest{};
  for (std::size_t c = 0; c < options_.clients.size(); ++c) {
    for (std::size_t l = 0; l < world.link_count(c); ++l) {
      for (const SimLine* line : {&world.up(c, l), &world.down(c, l)}) {
        const LineOptions& o = line->options;
        lossy_left_ |= !o.dead && !line->faultless();
        slowest =
            std::max(slowest, o.delay + o.jitter + (o.reorder > 0 ? o.reorder_by : Duration{}));
      }
    }
  }
  // That a link died is known some round trips later.
  const Duration converge = (session_lost ? seconds(8) : seconds(3)) + 6 * slowest;
  for (std::size_t c = 0; c < options_.clients.size(); ++c) {
    for (const bool upwards : {true, false}) {
      for (const FlowKind kind : {FlowKind::tcp4, FlowKind::icmp4}) {
        TrafficOptions traffic;
        traffic.kind = kind;
        traffic.client = c, traffic.up = upwards;
        traffic.gap = milliseconds(kind == FlowKind::tcp4 ? 20 : 150);
        traffic.bytes_max = 400;
        traffic.start = world.now() + converge;
        traffic.stop = traffic.start + proof_time;
        proofs.push_back(world.add_traffic(traffic));
      }
    }
  }
  world.run_for(converge + proof_time + seconds(3) + 4 * slowest);
  if (world.oracle.failed()) return;
  const Duration bound = slowest + 2 * 2 * slowest + milliseconds(200);
  for (const std::size_t flow : proofs) judge_flow(flow, bound);
}

void Scenario::judge_flow(std::size_t id, Duration bound) {
  World& world = *world_;
  const FlowRecord& flow = world.oracle.flow(id);
  for (std::size_t i = 0; i < flow.frames.size(); ++i) {
    const FrameRecord& frame = flow.frames[i];
    const std::string name = fmt::format(
        "{} flow {} frame {} from end {} to {} sent at {:.3f} s", to_string(flow.shape.kind), id, i,
        flow.from, flow.to, std::chrono::duration<double>(frame.sent - world.instant({})).count());
    if (frame.delivered == never) {
      // What the queue's management drops while a link's rate recovers is a few, and counted.
      const std::uint64_t dropped = world.report(flow.from, flow.to).drops.of(Drop::aqm);
      if (flow.missing() <= dropped && flow.missing() * 20 <= flow.frames.size()) continue;
      // Repairs get lost, too, where a lossy link is still in use.
      if (lossy_left_ && flow.missing() * 30 <= flow.frames.size() + 60) continue;
      return world.oracle.fail(
          world.instant(world.now()), "with one healthy link every frame arrives",
          fmt::format("{}: {} of {} missing; sender:{} receiver:{}", name, flow.missing(),
                      flow.frames.size(), world.drops(flow.from, flow.to),
                      world.drops(flow.to, flow.from)));
    }
    if (frame.delivered - frame.sent > bound) {
      return world.oracle.fail(
          world.instant(world.now()), "with one healthy link frames arrive in time",
          fmt::format("{}: took {} ms, allowed {} ms", name,
                      (frame.delivered - frame.sent) / milliseconds(1), bound / milliseconds(1)));
    }
  }
}

void Scenario::judge_calm() {
  World& world = *world_;
  for (EndId client = 1; client < world.end_count(); ++client) {
    for (const bool upwards : {true, false}) {
      const World::Balance sum = upwards ? world.balance(client, 0) : world.balance(0, client);
      if (sum.drops != 0 || sum.in != sum.out) {
        return world.oracle.fail(
            world.instant(world.now()), "nothing is dropped on lines that lose nothing",
            fmt::format("{} in, {} out, {} dropped", sum.in, sum.out, sum.drops));
      }
    }
  }
}

void Scenario::judge_acceptance() {
  World& world = *world_;
  for (EndId client = 1; client < world.end_count(); ++client) {
    if (world.events(client, Event::Kind::session_up) != 1 ||
        world.events(0, Event::Kind::session_up) != world.end_count() - 1) {
      continue;
    }
    for (const auto& [at, from] : {std::pair<EndId, EndId>{client, 0}, {0, client}}) {
      for (const LinkReport& link : world.report(at, from).links) {
        const std::uint64_t came = world.oracle.timely_arrivals(at, from, value_of(link.id));
        if (link.counters.datagrams_in < came) {
          world.oracle.fail(world.instant(world.now()), "every genuine datagram is taken in",
                            fmt::format("end {} link {}: {} of {}", at, value_of(link.id),
                                        link.counters.datagrams_in, came));
        }
      }
    }
  }
}

ScenarioOutcome Scenario::run() {
  World& world = *world_;
  storm_end_ = kind_ == Kind::long_run ? between(dice_, seconds(150), seconds(420))
                                       : between(dice_, seconds(5), seconds(14));
  add_traffic();
  schedule_weather();
  world.note_lines();
  world.run_until(storm_end_);
  if (!world.oracle.failed()) {
    world.stop_traffic();
    if (faults()) {
      // Let what is still on its way to happen happen, then heal for good.
      world.run_for(seconds(9));
      heal();
      world.note_lines();
      world.resume_traffic();
      prove_flow();
    }
    world.run_for(quiet_tail);
    world.expect_settled();
    if (kind_ == Kind::calm && !world.oracle.failed()) judge_calm();
    if (!disturbed() && !world.oracle.failed()) judge_acceptance();
  }
  ScenarioOutcome outcome;
  outcome.violation = world.oracle.violation();
  outcome.trace_hash = world.trace_hash();
  outcome.steps = world.steps();
  outcome.simulated = world.now();
  for (const FlowRecord& flow : world.oracle.flows()) {
    outcome.frames += flow.frames.size(), outcome.delivered += flow.delivered;
  }
  outcome.description =
      fmt::format("{}: {} client(s), {} links, {}, {} of {} frames out, {:.0f} s, {} steps",
                  name_of(kind_), options_.clients.size(), options_.clients[0].links.size(),
                  to_string(options_.scheduler), outcome.delivered, outcome.frames,
                  std::chrono::duration<double>(outcome.simulated).count(), outcome.steps);
  return outcome;
}

}  // namespace

ScenarioOutcome run_scenario(std::uint64_t seed, unsigned verbose) {
  return Scenario(seed, verbose).run();
}

}  // namespace mwtun::test
