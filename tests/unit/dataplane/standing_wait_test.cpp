#include "dataplane/standing_wait.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;
using namespace std::chrono_literals;

TEST_CASE("what every datagram waits in our socket's buffer is told after 20 ms",
          "[standing_wait]") {
  StandingWait wait;
  Instant now{seconds(100)};
  Duration told{};
  for (int i = 0; i < 200; ++i, now += 100us) {
    told = wait.seen(i % 2 == 0 ? 3ms : 4ms, 50'000, now);
  }
  CHECK(told == 3ms);
  CHECK(wait.seen(2ms, 50'000, now) == 2ms);
  CHECK(wait.seen(5ms, 50'000, now) == 2ms);
}

TEST_CASE("what waits counts from half a megabyte on, whatever the rate", "[standing_wait]") {
  const std::size_t every_100_us = GENERATE(5'000u, 50'000u, 500'000u);
  const Duration long_enough = 100us * StandingWait::bytes_min / every_100_us;
  const auto told = [&](Duration waits) {
    StandingWait wait;
    Instant now{seconds(100)};
    Duration stands{};
    for (int i = 0; i < 1000; ++i, now += 100us) stands = wait.seen(waits, every_100_us, now);
    return stands;
  };
  CHECK(told(long_enough * 11 / 10) == long_enough * 11 / 10);
  CHECK(told(long_enough * 9 / 10) == 0us);
}

TEST_CASE("turns that come late leave nothing standing when the buffer runs empty between them",
          "[standing_wait]") {
  StandingWait wait;
  Instant now{seconds(100)};
  for (int turn = 0; turn < 100; ++turn) {
    now += 4ms;
    // All that came meanwhile is taken out at once.
    for (Duration waited = 4ms; waited > 0us; waited -= 100us) {
      CHECK(wait.seen(waited, 1'000'000, now) <= 100us);
    }
  }
}

TEST_CASE("what stood before a silence stands no more", "[standing_wait]") {
  StandingWait wait;
  Instant now{seconds(100)};
  for (int i = 0; i < 50; ++i, now += 1ms) wait.seen(3ms, 500'000, now);
  now += 1s;
  CHECK(wait.seen(2ms, 5'000'000, now) == 0ms);
  CHECK(wait.seen(2ms, 5'000'000, now + 15ms) == 2ms);
}

/// The longest that a sender took a link's queue for, with that many frames of 1000 bytes a ms.
static Duration longest_queue(test::QuietPair& pair, int frames_a_ms) {
  Duration longest{};
  for (int i = 0; i < 500; ++i) {
    for (int f = 0; f < frames_a_ms; ++f) pair.send_frame(0, 0, 1000, 1000);
    pair.run(1ms);
    longest = std::max(longest, pair.link(0, 0).queue);
  }
  return longest;
}

TEST_CASE("a sender hears of the queue in the receiver's socket", "[standing_wait]") {
  test::QuietPair pair;
  CHECK(longest_queue(pair, 64) < 1ms);
  pair.set_backlog(1, 20ms);
  CHECK(longest_queue(pair, 64) > 15ms);
}

TEST_CASE("a sender hears nothing of a receiver that is late on a slow link", "[standing_wait]") {
  test::QuietPair pair;
  CHECK(longest_queue(pair, 4) < 1ms);
  pair.set_backlog(1, 20ms);
  CHECK(longest_queue(pair, 4) < 1ms);
}
