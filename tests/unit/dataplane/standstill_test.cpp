// All links, or the only one, are silent for a moment and then deliver what they had.
#include <catch2/catch.hpp>

#include "dataplane/tunnel.hpp"
#include "quiet_pair.hpp"

using namespace mwtun;
using namespace std::chrono_literals;

namespace {

/// Frames of a flow that is kept in order.
void stream(test::QuietPair& pair, int frames) {
  for (int i = 0; i < frames; ++i) {
    pair.send_frame(0, 0, 1000, 1000);
    pair.run(2ms);
  }
}

/// So many that the flow is kept in order, and all have arrived.
void begin(test::QuietPair& pair) {
  stream(pair, 50);
  pair.run(30ms);
}

/// Frames one by one until the client suspects the link; how many.
std::uint64_t stream_until_suspect(test::QuietPair& pair, std::size_t link) {
  std::uint64_t sent = 0;
  for (; sent < 100 && !pair.link(0, link).suspect; ++sent) stream(pair, 1);
  REQUIRE(pair.link(0, link).suspect);
  return sent;
}

void begin_on_one_link(test::QuietPair& pair) {
  pair.cut(1);
  pair.run(2s);
  begin(pair);
}

/// Neither end may have begun anew.
void check_session_kept(const test::QuietPair& pair) {
  for (const std::size_t end : {0u, 1u}) {
    CHECK(pair.drops(end, Drop::session_ended_sending) == 0);
    CHECK(pair.drops(end, Drop::session_ended_receiving) == 0);
  }
}

}  // namespace

TEST_CASE("what the last link had on its way while it stood still is neither repeated nor lost",
          "[standstill]") {
  test::QuietPair pair;
  begin_on_one_link(pair);
  const std::uint64_t before = pair.link(0, 0).counters.bytes_out;
  const std::uint64_t delivered = pair.frames_delivered(1);
  pair.hold(0, true);
  stream(pair, 10);
  pair.run(700ms);
  CHECK(pair.link(0, 0).state == LinkState::down);
  pair.hold(0, false);
  pair.run(500ms);
  CHECK(pair.link(0, 0).state == LinkState::up);
  CHECK(pair.frames_delivered(1) == delivered + 10);
  CHECK(pair.link(0, 0).counters.repaired == 0);
  // Ten frames and what is needed to find out; not all of them twice.
  CHECK(pair.link(0, 0).counters.bytes_out - before < 15'000);
  CHECK(pair.drops(0, Drop::repair_given_up) == 0);
  CHECK(pair.drops(1, Drop::hole_given_up) == 0);
  CHECK(pair.drops(1, Drop::chunk_too_old) == 0);
  check_session_kept(pair);
}

TEST_CASE("what the last link lost before it stood still is repaired after, and waited for",
          "[standstill]") {
  test::QuietPair pair;
  begin_on_one_link(pair);
  const std::uint64_t delivered = pair.frames_delivered(1);
  pair.cut(0);
  stream(pair, 1);
  pair.cut(0, false);
  pair.hold(0, true);
  stream(pair, 9);
  pair.run(900ms);
  pair.hold(0, false);
  pair.run(1s);
  CHECK(pair.frames_delivered(1) == delivered + 10);
  CHECK(pair.drops(0, Drop::repair_given_up) == 0);
  CHECK(pair.drops(1, Drop::hole_given_up) == 0);
  check_session_kept(pair);
}

TEST_CASE("a hole that the receiver knew of before the standstill is waited for after it",
          "[standstill]") {
  test::QuietPair pair;
  begin_on_one_link(pair);
  const std::uint64_t delivered = pair.frames_delivered(1);
  pair.cut(0);
  stream(pair, 1);
  pair.cut(0, false);
  stream(pair, 3);
  pair.run(1ms);
  // The far end has what follows the hole; that it said so is still under way.
  pair.hold(0, true);
  pair.run(900ms);
  pair.hold(0, false);
  pair.run(1s);
  CHECK(pair.frames_delivered(1) == delivered + 4);
  CHECK(pair.drops(1, Drop::hole_given_up) == 0);
  check_session_kept(pair);
}

TEST_CASE("what is sent while the last link stands still goes when it moves again",
          "[standstill]") {
  test::QuietPair pair;
  begin_on_one_link(pair);
  const std::uint64_t delivered = pair.frames_delivered(1);
  pair.hold(0, true);
  pair.send_frame(0, 0, 1000, 1000);
  pair.run(500ms);
  REQUIRE(pair.link(0, 0).state == LinkState::down);
  stream(pair, 100);
  pair.run(100ms);
  pair.hold(0, false);
  pair.run(500ms);
  CHECK(pair.frames_delivered(1) == delivered + 101);
  CHECK(pair.drops(0, Drop::no_usable_link) == 0);
  check_session_kept(pair);
}

TEST_CASE("a standstill that does not end has nothing waiting after some seconds", "[standstill]") {
  test::QuietPair pair;
  begin_on_one_link(pair);
  pair.cut(0);
  pair.send_frame(0, 0, 1000, 1000);
  pair.run(500ms);
  REQUIRE(pair.link(0, 0).state == LinkState::down);
  stream(pair, 10);
  CHECK(pair.drops(0, Drop::no_usable_link) == 0);
  pair.run(Tunnel::standstill_max);
  CHECK(pair.drops(0, Drop::no_usable_link) == 10);
  stream(pair, 1);
  CHECK(pair.drops(0, Drop::no_usable_link) == 11);
}

TEST_CASE("when another link comes back first, it brings what the silent one has", "[standstill]") {
  test::QuietPair pair;
  begin(pair);
  const std::uint64_t delivered = pair.frames_delivered(1);
  pair.cut(0);
  pair.cut(1);
  stream(pair, 10);
  pair.run(800ms);
  CHECK(pair.link(0, 0).state == LinkState::down);
  CHECK(pair.link(0, 1).state == LinkState::down);
  pair.cut(1, false);
  pair.run(1s);
  CHECK(pair.link(0, 0).state == LinkState::down);
  CHECK(pair.frames_delivered(1) == delivered + 10);
}

TEST_CASE("after a standstill of many seconds nobody wants what was on its way", "[standstill]") {
  test::QuietPair pair;
  begin_on_one_link(pair);
  pair.cut(0);
  stream(pair, 10);
  pair.run(8s);
  const std::uint64_t repaired = pair.link(0, 0).counters.repaired;
  pair.cut(0, false);
  pair.run(2s);
  CHECK(pair.link(0, 0).state == LinkState::up);
  CHECK(pair.link(0, 0).counters.repaired == repaired);
  // And what comes then is not held up by it.
  const std::uint64_t delivered = pair.frames_delivered(1);
  stream(pair, 10);
  pair.run(100ms);
  CHECK(pair.frames_delivered(1) == delivered + 10);
}

TEST_CASE("a link that answers again brings what others that are still suspect have",
          "[standstill]") {
  test::QuietPair pair;
  begin(pair);
  const std::uint64_t delivered = pair.frames_delivered(1);
  pair.hold(0, true);
  std::uint64_t sent = stream_until_suspect(pair, 0);
  pair.cut(1);
  sent += stream_until_suspect(pair, 1);
  REQUIRE(pair.link(0, 0).suspect);
  pair.hold(0, false);
  pair.run(50ms);
  CHECK(pair.link(0, 1).suspect);
  CHECK(pair.link(0, 1).state == LinkState::up);
  CHECK_FALSE(pair.link(0, 0).suspect);
  CHECK(pair.frames_delivered(1) == delivered + sent);
}

TEST_CASE("what went from one dead link to another comes with the first that answers again",
          "[standstill]") {
  test::QuietPair pair;
  begin(pair);
  const std::uint64_t delivered = pair.frames_delivered(1);
  pair.cut(0);
  pair.cut(1);
  const std::uint64_t sent = stream_until_suspect(pair, 0);
  REQUIRE(pair.link(0, 1).counters.repaired > 0);
  for (int i = 0; i < 100 && !pair.link(0, 1).suspect; ++i) pair.run(1ms);
  REQUIRE(pair.link(0, 1).suspect);
  pair.cut(0, false);
  for (int i = 0; i < 150 && pair.link(0, 0).suspect; ++i) pair.run(1ms);
  REQUIRE(pair.link(0, 0).state == LinkState::up);
  pair.run(30ms);
  CHECK(pair.link(0, 1).state == LinkState::up);
  CHECK(pair.frames_delivered(1) == delivered + sent);
}

TEST_CASE("a repair of what a dead link has is repaired itself before that link is down",
          "[standstill]") {
  test::QuietPair pair;
  begin(pair);
  const std::uint64_t delivered = pair.frames_delivered(1);
  pair.cut(0);
  std::uint64_t sent = 0;
  for (; sent < 100 && !pair.link(0, 0).suspect; ++sent) {
    pair.cut(1, pair.link(0, 0).bytes_in_flight > 0);
    stream(pair, 1);
  }
  REQUIRE(pair.link(0, 0).suspect);
  REQUIRE(pair.link(0, 1).counters.repaired > 0);
  pair.cut(1, false);
  stream(pair, 10);
  pair.run(30ms);
  CHECK(pair.link(0, 0).state == LinkState::up);
  CHECK(pair.frames_delivered(1) == delivered + 10 + sent);
}
