#include "dataplane/codel.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

using namespace mwtun;

namespace {

constexpr Instant start{seconds(100)};
constexpr Duration waits_long = milliseconds(20);
constexpr Duration waits_little = milliseconds(4);
constexpr std::uint64_t much = 100'000;

/// A flow that has a frame at its head each millisecond.
struct Flow {
  CodelSettings settings;
  Codel codel;
  Instant now = start;
  /// Whether this frame was a signal.
  bool frame(Duration sojourn, std::uint64_t behind = much, std::uint32_t segments = 1) {
    now += milliseconds(1);
    if (!codel.due(settings, sojourn, behind, now)) return false;
    codel.signalled(settings, segments, now);
    return true;
  }
  /// When signals came in that many milliseconds of a queue that stands.
  std::vector<Duration> signals_in(int ms, Duration sojourn = waits_long,
                                   std::uint32_t segments = 1) {
    std::vector<Duration> at;
    const Instant from = now;
    for (int i = 0; i < ms; ++i) {
      if (frame(sojourn, much, segments)) at.push_back(now - from);
    }
    return at;
  }
  /// Runs until there have been so many signals.
  void signal(int count) {
    while (count > 0) count -= frame(waits_long) ? 1 : 0;
  }
};

Duration spacing(double count) {
  return Duration(static_cast<Duration::rep>(100e6 / std::sqrt(count)));
}

}  // namespace

TEST_CASE_METHOD(Flow, "a delay below the target is never a queue", "[codel]") {
  CHECK(signals_in(10'000, settings.target - nanoseconds(1)).empty());
}

TEST_CASE_METHOD(Flow, "with no more than one MTU behind there is no queue to shorten", "[codel]") {
  for (int i = 0; i < 10'000; ++i) REQUIRE_FALSE(frame(seconds(3), settings.exempt_bytes));
  bool any = false;
  for (int i = 0; i < 200; ++i) any |= frame(seconds(3), settings.exempt_bytes + 1);
  CHECK(any);
}

TEST_CASE_METHOD(Flow, "a delay has to stand for a whole interval before it is told", "[codel]") {
  // Seen first after one millisecond.
  CHECK(signals_in(150) == std::vector<Duration>{milliseconds(101)});
}

TEST_CASE_METHOD(Flow, "one frame below the target begins the interval anew", "[codel]") {
  CHECK(signals_in(95).empty());
  CHECK_FALSE(frame(waits_little));
  CHECK(signals_in(150) == std::vector<Duration>{milliseconds(101)});
}

TEST_CASE_METHOD(Flow, "signals come an interval by the root of their count apart", "[codel]") {
  const std::vector<Duration> at = signals_in(2000);
  Duration due = milliseconds(101);
  std::vector<Duration> expected;
  for (int count = 1; due <= milliseconds(2000); ++count) {
    // The first frame, one a millisecond, at or after the time it was due.
    expected.push_back(milliseconds((due.count() + 999'999) / 1'000'000));
    due += spacing(count);
  }
  CHECK(expected.size() > 80);
  CHECK(at == expected);
}

TEST_CASE_METHOD(Flow, "once the delay is gone the signals end at once", "[codel]") {
  signal(20);
  CHECK(signals_in(1000, waits_little).empty());
  CHECK(signals_in(100).empty());  // And it has to stand again before there is one.
  CHECK(frame(waits_long));
}

TEST_CASE_METHOD(Flow, "an empty queue ends them too", "[codel]") {
  signal(20);
  codel.emptied();
  CHECK(signals_in(100).empty());
}

TEST_CASE_METHOD(Flow, "a queue that is soon back is treated as it was at last", "[codel]") {
  signal(10);
  frame(waits_little);
  // Nine were needed after the first, so the next two are a ninth root of the interval apart.
  CHECK(signals_in(101 + 34) == std::vector<Duration>{milliseconds(101), milliseconds(101 + 34)});
}

TEST_CASE_METHOD(Flow, "after sixteen intervals a new queue is a new queue", "[codel]") {
  signal(10);
  signals_in(1700, waits_little);
  CHECK(signals_in(101 + 100) == std::vector<Duration>{milliseconds(101), milliseconds(201)});
}

TEST_CASE_METHOD(Flow, "what an outage left behind is forgotten but for one interval", "[codel]") {
  signal(4);
  now += seconds(10);
  int at_once = 0;
  while (codel.due(settings, seconds(10), much, now)) codel.signalled(settings, 1, now), ++at_once;
  CHECK(at_once >= 1);
  CHECK(at_once <= 5);  // RFC 8289 as it stands would have told thousands.
}

TEST_CASE_METHOD(Flow, "a lost super-frame takes the time its segments would have taken",
                 "[codel]") {
  Flow single;
  single.signal(8 + 1);
  while (!frame(waits_long, much, 8)) {
  }
  signal(1);
  // The ninth segment to be lost goes at the same time, and what follows too.
  CHECK(now == single.now);
  CHECK(signals_in(1000) == single.signals_in(1000));
}

TEST_CASE_METHOD(Flow, "target and interval may change at any time", "[codel]") {
  CHECK(signals_in(50).empty());
  settings.target = milliseconds(30);
  CHECK(signals_in(1000).empty());
  settings.target = milliseconds(5);
  settings.interval = milliseconds(400);
  CHECK(signals_in(500) == std::vector<Duration>{milliseconds(401)});
}
