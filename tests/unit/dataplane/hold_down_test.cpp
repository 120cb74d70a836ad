#include "dataplane/hold_down.hpp"

#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;
using namespace std::chrono_literals;

namespace {

constexpr Duration rtt = 40ms;

/// Goes down and comes back a second later; how long it is held back then.
Duration flap(HoldDown& hold, Instant& now) {
  hold.went_down(now);
  now += 1s;
  hold.came_back(now, rtt);
  return hold.time();
}

/// As often as it takes for the first link to be held back.
void flap(test::QuietPair& pair, Duration up) {
  for (std::size_t failures = 0; failures < HoldDown::failures; ++failures) {
    pair.cut(0, true);
    pair.run(seconds(3));
    REQUIRE(pair.link(0, 0).state == LinkState::down);
    pair.cut(0, false);
    pair.run(up);
    REQUIRE(pair.link(0, 0).state == LinkState::up);
  }
}

}  // namespace

TEST_CASE("the first time a link comes up it is relied on at once", "[hold]") {
  HoldDown hold;
  hold.came_back(Instant{100s}, rtt);
  CHECK_FALSE(hold.held());
}

TEST_CASE("a link that came back proves itself with answers and a little time", "[hold]") {
  HoldDown hold;
  Instant now{100s};
  CHECK(flap(hold, now) == Duration{0});
  CHECK(hold.held());
  CHECK_FALSE(hold.ended(now + 10s));
  for (unsigned i = 0; i < HoldDown::answers; ++i) hold.answered();
  CHECK_FALSE(hold.ended(now + rtt + HoldDown::proof_least - 1ns));
  CHECK(hold.ended(now + rtt + HoldDown::proof_least));
  CHECK_FALSE(hold.held());
}

TEST_CASE("from the third failure in a minute on it is held back, doubling up to a minute",
          "[hold]") {
  HoldDown hold;
  Instant now{100s};
  CHECK(flap(hold, now) == 0s);
  CHECK(flap(hold, now) == 0s);
  for (const Duration wanted : {5s, 10s, 20s, 40s, 60s, 60s}) CHECK(flap(hold, now) == wanted);
  // A minute of peace after the hold, and all is forgiven.
  now = hold.until() + HoldDown::window;
  CHECK(flap(hold, now) == 0s);
}

TEST_CASE("failures that are far apart are no flapping", "[hold]") {
  HoldDown hold;
  Instant now{100s};
  for (int i = 0; i < 10; ++i, now += 31s) CHECK(flap(hold, now) == 0s);
}

TEST_CASE("a link that flaps is used no more while another is there, and is when it is not",
          "[hold]") {
  test::QuietPair pair;
  flap(pair, seconds(2));
  CHECK(pair.link(0, 0).held > 2s);
  CHECK(pair.link(0, 0).held < 5s);
  const auto bytes_out = [&] { return pair.link(0, 0).counters.bytes_out; };
  const std::uint64_t before = bytes_out();
  for (int i = 0; i < 100; ++i) {
    pair.send_frame(0, 0, 1000, 1400);
    pair.run(milliseconds(10));
  }
  CHECK(bytes_out() - before < 10'000);
  CHECK(pair.frames_delivered(1) == 100);
  pair.cut(1, true);
  pair.run(seconds(1));
  for (int i = 0; i < 100; ++i) {
    pair.send_frame(0, 0, 1000, 1400);
    pair.run(milliseconds(10));
  }
  CHECK(pair.frames_delivered(1) == 200);
  CHECK(bytes_out() - before > 100'000);
}

TEST_CASE("a link that came back carries copies of small frames before it is relied on", "[hold]") {
  test::QuietPair pair;
  flap(pair, seconds(1));
  REQUIRE(pair.link(0, 0).held > 2s);
  const std::uint64_t before = pair.link(0, 0).counters.bytes_out;
  // The first twenty share a lane with other new flows and keep to its link.
  for (int i = 0; i < 75; ++i) {
    pair.send_frame(0);
    pair.run(milliseconds(20));
  }
  CHECK(pair.link(0, 0).counters.bytes_out - before > 50 * 100);
  CHECK(pair.frames_delivered(1) == 75);
}

TEST_CASE("redundant frames go on a link that is held back, too", "[hold]") {
  test::QuietPair pair([](PeerConfig& peer) { peer.scheduler = SchedulerKind::redundant; });
  flap(pair, seconds(1));
  REQUIRE(pair.link(0, 0).held > 2s);
  const std::uint64_t before = pair.link(0, 0).counters.bytes_out;
  for (int i = 0; i < 50; ++i) {
    pair.send_frame(0, 0, 1000, 1000);
    pair.run(milliseconds(5));
  }
  pair.run(milliseconds(10));
  CHECK(pair.link(0, 0).counters.bytes_out - before > 45'000);
  CHECK(pair.frames_delivered(1) == 50);
}
