#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "virtual_line.hpp"

namespace mwtun::linkem {
namespace {

struct Spread {
  double mean_ms;
  double deviation_ms;
};

Spread spread_of(const std::vector<Release>& released) {
  double sum = 0;
  double squares = 0;
  for (const Release& release : released) {
    const double ms = seconds_of(release.due - release.arrival) * 1e3;
    sum += ms, squares += ms * ms;
  }
  const double count = static_cast<double>(released.size());
  return {sum / count, std::sqrt(squares / count - sum / count * sum / count)};
}

std::set<Token> tokens_of(const std::vector<Release>& released) {
  std::set<Token> tokens;
  for (const Release& release : released) tokens.insert(release.token);
  return tokens;
}

bool in_order(const std::vector<Release>& released) {
  for (std::size_t i = 1; i < released.size(); ++i) {
    if (released[i].token < released[i - 1].token) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("jitter has the deviation asked for, around the delay", "[linkem]") {
  DirectionOptions options;
  options.delay = milliseconds(30);
  options.jitter = milliseconds(3);
  options.jitter_mode = GENERATE(JitterMode::fifo, JitterMode::reorder);
  LineDirection line(options, 5, start);
  // Far enough apart that nobody waits for the one before.
  const Spread spread = spread_of(carry(line, evenly(20'000, milliseconds(40))));
  CHECK(spread.mean_ms == Approx(30).margin(0.1));
  CHECK(spread.deviation_ms == Approx(3).epsilon(0.03));
}

TEST_CASE("a delay is never negative", "[linkem]") {
  DirectionOptions options;
  options.delay = milliseconds(1);
  options.jitter = milliseconds(5);
  options.jitter_mode = GENERATE(JitterMode::fifo, JitterMode::reorder);
  LineDirection line(options, 5, start);
  const auto released = carry(line, evenly(5000, milliseconds(1)));
  REQUIRE(released.size() == 5000);
  for (const Release& release : released) CHECK(release.due >= release.arrival);
}

TEST_CASE("jitter in reorder mode lets frames overtake", "[linkem]") {
  DirectionOptions options = at_rate(100'000'000);
  options.delay = milliseconds(20);
  options.jitter = milliseconds(3);
  options.jitter_mode = JitterMode::reorder;
  LineDirection line(options, 5, start);
  const auto released = carry(line, evenly(5000, milliseconds(1)));
  CHECK(released.size() == 5000);
  CHECK_FALSE(in_order(released));
  // Independent draws: being close together changes neither mean nor deviation.
  CHECK(spread_of(released).mean_ms == Approx(20.12).margin(0.15));
  CHECK(spread_of(released).deviation_ms == Approx(3).epsilon(0.05));
}

TEST_CASE("jitter in fifo mode is release = max(arrival + delay, previous) + size / rate",
          "[linkem]") {
  constexpr std::uint64_t rate_bps = 10'000'000;
  constexpr Duration wire_time = microseconds(1200);
  const Duration gap = microseconds(GENERATE(2000, 1200, 1000));
  DirectionOptions options;
  options.delay = milliseconds(20);
  options.jitter = milliseconds(4);
  options.jitter_mode = JitterMode::reorder;

  // Without a rate, frames far apart show the delays that the seed draws.
  LineDirection probe(options, 11, start);
  std::vector<Duration> delays;
  for (const Release& release : carry(probe, evenly(4000, seconds(1)))) {
    delays.push_back(release.due - release.arrival);
  }
  options.jitter_mode = JitterMode::fifo;
  options.own = at_rate(rate_bps).own;
  LineDirection line(options, 11, start);
  const auto released = carry(line, evenly(4000, gap));
  REQUIRE(released.size() == 4000);
  CHECK(in_order(released));
  Instant last = Instant::min();
  for (std::size_t i = 0; i < released.size(); ++i) {
    last = std::max(released[i].arrival + delays[i], last) + wire_time;
    REQUIRE(released[i].due == last);
  }
}

TEST_CASE("random loss stays within binomial bounds", "[linkem]") {
  DirectionOptions options;
  options.loss = 0.02;
  LineDirection line(options, 3, start);
  const auto released = carry(line, evenly(50'000, microseconds(100)));
  CHECK(dropped(line, Drop::loss) == 50'000 - released.size());
  // 1000 expected, deviation 31.
  CHECK(std::abs(static_cast<double>(dropped(line, Drop::loss)) - 1000) < 4 * 31.3);
}

TEST_CASE("burst loss has the share and the mean length that its two states give", "[linkem]") {
  DirectionOptions options;
  options.burst_loss = {0.01, 0.25, 1, 0};
  LineDirection line(options, 4, start);
  constexpr std::size_t frames = 200'000;
  const auto arrived = tokens_of(carry(line, evenly(frames, microseconds(100))));
  std::size_t bursts = 0;
  bool before = false;
  for (Token token = 0; token < frames; ++token) {
    const bool gone = arrived.count(token) == 0;
    if (gone && !before) ++bursts;
    before = gone;
  }
  const double lost = static_cast<double>(dropped(line, Drop::loss));
  CHECK(lost / static_cast<double>(frames) == Approx(0.01 / 0.26).epsilon(0.1));
  CHECK(lost / static_cast<double>(bursts) == Approx(1 / 0.25).epsilon(0.1));
}

TEST_CASE("burst loss can spare frames in the bad state and take some in the good", "[linkem]") {
  DirectionOptions options;
  options.burst_loss = {0.1, 0.1, 0.5, 0.1};
  LineDirection line(options, 4, start);
  carry(line, evenly(100'000, microseconds(100)));
  CHECK(static_cast<double>(dropped(line, Drop::loss)) == Approx(30'000).epsilon(0.05));
}

TEST_CASE("other settings do not change which frames a seed loses", "[linkem]") {
  DirectionOptions options;
  options.loss = 0.05;
  LineDirection plain(options, 9, start);
  const auto arrivals = evenly(5000, milliseconds(1));
  const auto without = tokens_of(carry(plain, arrivals));
  options.jitter = milliseconds(2);
  options.delay = milliseconds(10);
  options.duplicate = 0.1;
  options.corrupt = 0.1;
  LineDirection busy(options, 9, start);
  CHECK(tokens_of(carry(busy, arrivals)) == without);
  LineDirection reseeded(options, 10, start);
  CHECK(tokens_of(carry(reseeded, arrivals)) != without);
}

TEST_CASE("a duplicate comes out right behind its original and uses the wire", "[linkem]") {
  DirectionOptions options = at_rate(12'000'000);
  options.duplicate = 1;
  LineDirection line(options, 1, start);
  CHECK(line.offer(1500, start, 7) == 2);
  std::vector<Release> released;
  pop_until(line, start + seconds(1), released);
  REQUIRE(released.size() == 2);
  CHECK(released[0].token == 7);
  CHECK(released[1].token == 7);
  CHECK(released[1].due == start + milliseconds(2));
  CHECK(line.counters().duplicates == 1);
}

TEST_CASE("corruption marks its share of the frames", "[linkem]") {
  DirectionOptions options;
  options.corrupt = 0.1;
  LineDirection line(options, 1, start);
  std::uint64_t marked = 0;
  for (const Release& release : carry(line, evenly(20'000, microseconds(10)))) {
    marked += release.corrupt_seed != 0;
  }
  CHECK(marked == line.counters().corrupted);
  CHECK(std::abs(static_cast<double>(marked) - 2000) < 4 * 42.4);
}

TEST_CASE("a frame above the MTU vanishes, one at the MTU passes", "[linkem]") {
  DirectionOptions options;
  options.mtu = 1400;
  LineDirection line(options, 1, start);
  CHECK(line.offer(1400, start, 0) == 1);
  CHECK(line.offer(1401, start, 1) == 0);
  CHECK(dropped(line, Drop::mtu) == 1);
}

TEST_CASE("a policer passes its burst and then its rate, and delays nothing", "[linkem]") {
  DirectionOptions options;
  options.policer_bps = 12'000'000;
  options.policer_burst_bytes = 30'000;
  LineDirection line(options, 1, start);
  const auto released = carry(line, evenly(20'000, microseconds(100)));  // 2 s at 120 Mbit/s
  CHECK(std::abs(static_cast<double>(released.size()) - 2020) <= 1);
  for (const Release& release : released) CHECK(release.due == release.arrival);
  for (Token token = 0; token < 20; ++token) CHECK(released[token].token == token);
  CHECK(dropped(line, Drop::policer) == 20'000 - released.size());
}

TEST_CASE("burst release lets frames out at multiples of its interval only", "[linkem]") {
  DirectionOptions options = at_rate(12'000'000);
  options.delay = milliseconds(3);
  options.burst = milliseconds(10);
  LineDirection line(options, 1, start);
  const auto released = carry(line, evenly(200, milliseconds(1)));
  REQUIRE(released.size() == 200);
  for (const Release& release : released) {
    CHECK(release.due.time_since_epoch() % milliseconds(10) == Duration{0});
    CHECK(release.due - release.arrival >= milliseconds(4));
    CHECK(release.due - release.arrival < milliseconds(14));
  }
  CHECK(in_order(released));
}

TEST_CASE("a cut line gives back what was inside and takes nothing until it is mended",
          "[linkem]") {
  DirectionOptions options = at_rate(12'000'000);
  options.delay = milliseconds(5);
  LineDirection line(options, 1, start);
  for (Token token = 0; token < 10; ++token) line.offer(1500, start, token);
  std::vector<Release> released;
  pop_until(line, start + milliseconds(7), released);
  CHECK(released.size() == 2);  // two have left, five are in flight, three wait
  const std::vector<Token> cut = line.take_down(start + milliseconds(7));
  CHECK(std::set<Token>(cut.begin(), cut.end()) == std::set<Token>{2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(line.next_release() == never);
  CHECK(line.offer(1500, start + milliseconds(8), 10) == 0);
  CHECK(dropped(line, Drop::down) == 9);

  line.bring_up();
  CHECK(line.offer(1500, start + milliseconds(20), 11) == 1);
  pop_until(line, start + seconds(1), released);
  CHECK(released.back().token == 11);
  CHECK(released.back().due == start + milliseconds(26));
}

TEST_CASE("in plus duplicates is out plus drops plus inside, whatever happens", "[linkem]") {
  const std::uint64_t seed = GENERATE(range(std::uint64_t{1}, std::uint64_t{30}));
  Prng prng(seed);
  const TracePtr trace = trace_of("0\n3\n3\n9\n40\n");
  BottleneckOptions cell;
  cell.rate_bps = 8'000'000;
  const auto bottleneck = std::make_shared<Bottleneck>(cell, start);
  LineDirection line({}, seed, start);
  std::vector<unsigned> holders;
  std::vector<Release> released;
  Instant at = start;
  const auto give_back = [&holders](Token token) {
    REQUIRE(holders[token] > 0);
    --holders[token];
  };
  for (int step = 0; step < 4000; ++step) {
    at += microseconds(prng.below(2000));
    pop_until(line, at, released);
    if (prng.chance(0.02)) {
      DirectionOptions options = at_rate(prng.below(3) == 0 ? 0 : prng.between(1, 40) * 1'000'000);
      options.own.queue.unit = QueueLimit::Unit::time;
      options.own.queue.time = milliseconds(prng.below(100));
      if (prng.chance(0.3)) options.own.trace = trace;
      if (prng.chance(0.3)) options.policer_bps = 6'000'000;
      options.delay = milliseconds(prng.below(30));
      options.jitter = milliseconds(prng.below(10));
      options.jitter_mode = prng.chance(0.5) ? JitterMode::fifo : JitterMode::reorder;
      options.loss = options.duplicate = options.corrupt = 0.05;
      options.mtu = 1450;
      options.burst = milliseconds(prng.below(2) * 7);
      const bool shared = prng.chance(0.3);
      if (shared) options.shared = "cell";
      line.configure(options, at, shared ? bottleneck : nullptr);
    }
    if (prng.chance(0.005)) {
      for (const Token token : line.take_down(at)) give_back(token);
    }
    if (prng.chance(0.02)) line.bring_up();
    const auto token = static_cast<Token>(holders.size());
    holders.push_back(line.offer(static_cast<std::uint32_t>(prng.below(1500)), at, token));
    const Counters& counters = line.counters();
    REQUIRE(counters.in_frames + counters.duplicates ==
            counters.out_frames + dropped_in_all(line) + line.frames_inside());
  }
  line.configure({}, at);
  pop_until(line, never - Duration{1}, released);
  for (const Release& release : released) give_back(release.token);
  for (const unsigned left : holders) CHECK(left == 0);
  CHECK(line.frames_inside() == 0);
  CHECK(line.queue_bytes() == 0);
  CHECK(bottleneck->queue_bytes() == 0);
  CHECK(released.size() == line.counters().out_frames);
}

}  // namespace mwtun::linkem
