#include "dataplane/io/wake_moderator.hpp"

#include <catch2/catch.hpp>

namespace mwtun {
namespace {

/// Whether it wants to rest after `count` turns of a kind.
bool rests_after(WakeModerator& moderator, unsigned count, Duration turn, std::size_t bytes) {
  bool rest = false;
  for (unsigned i = 0; i < count; ++i) rest = moderator.should_rest(turn, bytes);
  return rest;
}

TEST_CASE("who is woken for packet after packet rests, and goes on resting") {
  WakeModerator moderator;
  CHECK_FALSE(rests_after(moderator, 3, microseconds(5), 106));
  CHECK(moderator.should_rest(microseconds(5), 106));
  // After a rest several wait, and take longer.
  CHECK(rests_after(moderator, 100, microseconds(35), 20 * 106));
}

TEST_CASE("bulk and what comes seldom is not kept waiting") {
  WakeModerator bulk;
  CHECK_FALSE(rests_after(bulk, 100, microseconds(30), 65'000));
  WakeModerator seldom;  // A thousand packets a second.
  CHECK_FALSE(rests_after(seldom, 100, microseconds(1000), 106));
  WakeModerator idle;  // Timers.
  CHECK_FALSE(rests_after(idle, 100, microseconds(5), 0));
}

TEST_CASE("one turn in bulk ends the resting") {
  WakeModerator moderator;
  REQUIRE(rests_after(moderator, 4, microseconds(5), 106));
  CHECK_FALSE(moderator.should_rest(microseconds(30), 65'000));
  CHECK_FALSE(rests_after(moderator, 3, microseconds(5), 106));
}

}  // namespace
}  // namespace mwtun
