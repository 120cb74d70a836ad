#include <catch2/catch.hpp>

#include "virtual_line.hpp"

namespace mwtun::linkem {

TEST_CASE("a frame on an idle line takes its bytes over the rate, then the delay", "[linkem]") {
  DirectionOptions options = at_rate(12'000'000);
  options.delay = milliseconds(10);
  LineDirection line(options, 1, start);
  const auto released = carry(line, {{start}, {start + milliseconds(50), 150}});
  REQUIRE(released.size() == 2);
  CHECK(released[0].due == start + milliseconds(11));
  CHECK(released[1].due == start + milliseconds(50) + microseconds(100) + milliseconds(10));
}

TEST_CASE("an unlimited line adds its delay and nothing else", "[linkem]") {
  DirectionOptions options;
  options.delay = milliseconds(7);
  LineDirection line(options, 1, start);
  const auto released = carry(line, evenly(1000, Duration{0}));
  REQUIRE(released.size() == 1000);
  for (const Release& release : released) CHECK(release.due == start + milliseconds(7));
}

TEST_CASE("a saturated line gives its rate to the nanosecond over a hundred thousand frames",
          "[linkem]") {
  // 12,000 bits do not divide evenly by this rate, so a rest that is not carried would show.
  constexpr std::uint64_t rate_bps = 77'777'777;
  LineDirection line(at_rate(rate_bps), 1, start);
  constexpr std::uint64_t frames = 100'000;
  const auto released = carry(line, evenly(frames, Duration{0}));
  REQUIRE(released.size() == frames);
  const std::uint64_t exact_ns = frames * 12'000 * 1'000'000'000 / rate_bps;
  CHECK(released.back().due == start + Duration{static_cast<Duration::rep>(exact_ns)});
}

TEST_CASE("who looks late gets frames late but does not shift the next ones", "[linkem]") {
  DirectionOptions options = at_rate(10'000'000);
  options.delay = milliseconds(3);
  LineDirection punctual(options, 1, start);
  LineDirection neglected(options, 1, start);
  const auto arrivals = evenly(500, microseconds(900));
  const auto expected = carry(punctual, arrivals);

  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    neglected.offer(arrivals[i].ip_bytes, arrivals[i].at, static_cast<Token>(i));
  }
  for (const Release& want : expected) {
    const auto release = neglected.pop_released(start + seconds(60));
    REQUIRE(release);
    CHECK(release->due == want.due);
    CHECK(release->token == want.token);
  }
}

TEST_CASE("a queue given in time holds that time at the rate and drops the newest", "[linkem]") {
  DirectionOptions options;
  options.own.rate_bps = 10'000'000;
  options.delay = milliseconds(5);
  LineDirection line(options, 1, start);
  // Twice the rate for two seconds against the default of 200 ms.
  const auto released = carry(line, evenly(3334, microseconds(600)));
  Duration longest{};
  for (const Release& release : released) {
    longest = std::max(longest, release.due - release.arrival);
  }
  CHECK(longest <= milliseconds(205));
  CHECK(longest >= milliseconds(205) - microseconds(1200));
  CHECK(line.counters().queue_bytes_max <= 250'000);
  CHECK(dropped(line, Drop::queue) == 3334 - released.size());
  // Drop-tail: the first 200 ms of backlog all got in.
  for (std::size_t i = 0; i < 330; ++i) CHECK(released[i].token == i);
}

TEST_CASE("a queue given in bytes holds those bytes whatever the rate", "[linkem]") {
  DirectionOptions options = at_rate(1'000'000);
  options.own.queue.unit = QueueLimit::Unit::bytes;
  options.own.queue.bytes = 7'500;
  LineDirection line(options, 1, start);
  CHECK(carry(line, evenly(100, Duration{0})).size() == 5);
}

TEST_CASE("an empty queue takes a frame larger than the queue", "[linkem]") {
  DirectionOptions options = at_rate(1'000'000);
  options.own.queue.unit = QueueLimit::Unit::bytes;
  options.own.queue.bytes = 0;
  LineDirection line(options, 1, start);
  CHECK(carry(line, {{start}, {start}, {start + milliseconds(20)}}).size() == 2);
}

TEST_CASE("a new rate holds for the rest of the frame on the wire", "[linkem]") {
  LineDirection line(at_rate(12'000), 1, start);  // one frame a second
  line.offer(1500, start, 0);
  line.offer(1500, start, 1);
  line.configure(at_rate(24'000), start + milliseconds(500));
  std::vector<Release> released;
  pop_until(line, start + seconds(10), released);
  REQUIRE(released.size() == 2);
  CHECK(released[0].due == start + milliseconds(750));
  CHECK(released[1].due == start + milliseconds(1250));
}

TEST_CASE("lifting the rate empties the queue at once", "[linkem]") {
  LineDirection line(at_rate(12'000), 1, start);
  for (Token token = 0; token < 20; ++token) line.offer(1500, start, token);
  line.configure({}, start + milliseconds(1500));
  std::vector<Release> released;
  pop_until(line, start + seconds(100), released);
  REQUIRE(released.size() == 20);
  CHECK(released[0].due == start + seconds(1));
  CHECK(released[1].due == start + milliseconds(1500));
  CHECK(released[19].due == start + milliseconds(1500));
  CHECK(line.queue_bytes() == 0);
}

TEST_CASE("a shorter delay never lets a later frame overtake", "[linkem]") {
  DirectionOptions options;
  options.delay = milliseconds(100);
  LineDirection line(options, 1, start);
  line.offer(1500, start, 0);
  options.delay = milliseconds(1);
  line.configure(options, start + milliseconds(10));
  line.offer(1500, start + milliseconds(20), 1);
  std::vector<Release> released;
  pop_until(line, start + seconds(1), released);
  REQUIRE(released.size() == 2);
  CHECK(released[0].token == 0);
  CHECK(released[1].due == start + milliseconds(100));
}

TEST_CASE("two saturated lines share a bottleneck's rate by what they send", "[linkem]") {
  BottleneckOptions cell;
  cell.rate_bps = 12'000'000;
  const auto bottleneck = std::make_shared<Bottleneck>(cell, start);
  DirectionOptions options;
  options.shared = "cell";
  LineDirection one(options, 1, start, bottleneck);
  LineDirection other(options, 2, start, bottleneck);
  // 24 and 12 Mbit/s for two seconds into 12 Mbit/s, at random moments: in lockstep, a full
  // drop-tail queue would serve whoever comes first.
  std::vector<Release> from_one;
  std::vector<Release> from_other;
  Prng prng(6);
  Instant at = start;
  for (int i = 0; i < 6000; ++i) {
    at = start + Duration{seconds(2)} * i / 6000 + microseconds(prng.below(300));
    pop_until(one, at, from_one);
    pop_until(other, at, from_other);
    (prng.below(3) == 0 ? other : one).offer(1500, at, 0);
  }
  const Instant end = start + seconds(2);
  pop_until(one, end, from_one);
  pop_until(other, end, from_other);
  CHECK(static_cast<double>(from_one.size() + from_other.size()) == Approx(2000).margin(1));
  CHECK(static_cast<double>(from_one.size()) == Approx(1333).epsilon(0.05));
  CHECK(bottleneck->queue_bytes() <= bottleneck->queue_bytes_max());
  CHECK(bottleneck->queue_bytes() == one.queue_bytes() + other.queue_bytes());
}

TEST_CASE("a shared bottleneck serves its lines first come, first served", "[linkem]") {
  BottleneckOptions cell;
  cell.rate_bps = 12'000'000;
  const auto bottleneck = std::make_shared<Bottleneck>(cell, start);
  DirectionOptions options;
  options.shared = "cell";
  LineDirection one(options, 1, start, bottleneck);
  LineDirection other(options, 2, start, bottleneck);
  for (Token token = 0; token < 10; ++token) {
    (token % 3 == 0 ? other : one).offer(1500, start + microseconds(token), token);
  }
  std::vector<Release> released;
  for (int ms = 1; ms <= 11; ++ms) {
    pop_until(one, start + milliseconds(ms), released);
    pop_until(other, start + milliseconds(ms), released);
  }
  REQUIRE(released.size() == 10);
  for (Token token = 0; token < 10; ++token) {
    CHECK(released[token].token == token);
    CHECK(released[token].due == start + milliseconds(token + 1));
  }
}

TEST_CASE("a line takes its queue along when it leaves a shared bottleneck", "[linkem]") {
  BottleneckOptions cell;
  cell.rate_bps = 12'000;
  const auto bottleneck = std::make_shared<Bottleneck>(cell, start);
  DirectionOptions options;
  options.shared = "cell";
  LineDirection one(options, 1, start, bottleneck);
  LineDirection other(options, 2, start, bottleneck);
  for (Token token = 0; token < 5; ++token) one.offer(1500, start, token);
  CHECK(other.offer(1500, start, 9) == 0);  // 200 ms at this rate are less than a frame
  one.configure(at_rate(12'000'000), start + milliseconds(100));
  CHECK(bottleneck->queue_bytes() == 0);
  std::vector<Release> released;
  pop_until(one, start + seconds(1), released);
  CHECK(released.size() == one.counters().in_frames - dropped(one, Drop::queue));
  CHECK(released.back().due <= start + milliseconds(106));
  CHECK(other.offer(1500, start + milliseconds(200), 9) == 1);
}

}  // namespace mwtun::linkem
