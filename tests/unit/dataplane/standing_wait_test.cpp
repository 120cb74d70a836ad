#include "dataplane/standing_wait.hpp"

#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;
using namespace std::chrono_literals;

TEST_CASE("what every datagram waits in our socket's buffer is told after 20 ms",
          "[standing_wait]") {
  StandingWait wait;
  Instant now{seconds(100)};
  Duration told{};
  for (int i = 0; i < 200; ++i, now += 100us) told = wait.seen(i % 2 == 0 ? 3ms : 4ms, now);
  CHECK(told == 3ms);
  CHECK(wait.seen(1ms, now) == 1ms);
  CHECK(wait.seen(5ms, now) == 1ms);
}

TEST_CASE("turns that come late leave nothing standing when the buffer runs empty between them",
          "[standing_wait]") {
  StandingWait wait;
  Instant now{seconds(100)};
  for (int turn = 0; turn < 100; ++turn) {
    now += 4ms;
    // All that came meanwhile is taken out at once.
    for (Duration waited = 4ms; waited > 0us; waited -= 100us) {
      CHECK(wait.seen(waited, now) <= 100us);
    }
  }
}

TEST_CASE("what stood before a silence stands no more", "[standing_wait]") {
  StandingWait wait;
  Instant now{seconds(100)};
  for (int i = 0; i < 50; ++i, now += 1ms) wait.seen(3ms, now);
  now += 1s;
  CHECK(wait.seen(2ms, now) == 0ms);
  CHECK(wait.seen(2ms, now + 15ms) == 2ms);
}

TEST_CASE("a sender hears of the queue in the receiver's socket", "[standing_wait]") {
  test::QuietPair pair;
  const auto stream = [&] {
    for (int i = 0; i < 200; ++i) {
      for (int f = 0; f < 4; ++f) pair.send_frame(0, 0, 1000, 1000);
      pair.run(1ms);
    }
  };
  stream();
  CHECK(pair.link(0, 0).queue < 1ms);
  pair.set_backlog(1, 6ms);
  stream();
  CHECK(pair.link(0, 0).queue > 4ms);
  pair.set_backlog(1, 0ms);
  stream();
  CHECK(pair.link(0, 0).queue < 1ms);
}
