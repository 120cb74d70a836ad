#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;
using test::QuietPair;

TEST_CASE("a role that changes while the link is up is in force at both ends, without a break") {
  QuietPair pair;
  const LinkReport before = pair.link(0, 1);
  pair.client_node().set_link_role({}, LinkId{1}, LinkRole::unused, pair.now());
  pair.run(milliseconds(50));
  for (const std::size_t end : {0u, 1u}) {
    INFO(end);
    CHECK(pair.link(end, 1).config.role == LinkRole::unused);
    CHECK(pair.link(end, 1).state == LinkState::up);
    CHECK(pair.link(end, 0).config.role == LinkRole::normal);
  }
  CHECK(pair.link(0, 1).times_down == before.times_down);
  CHECK(pair.link(0, 1).since == before.since);
}

TEST_CASE("a role that changes while the line loses what tells of it is told again at once") {
  QuietPair pair;
  pair.cut(1);
  pair.client_node().set_link_role({}, LinkId{1}, LinkRole::backup, pair.now());
  pair.run(milliseconds(20));
  pair.cut(1, false);
  pair.run(seconds(1));
  CHECK(pair.link(1, 1).config.role == LinkRole::backup);
  CHECK(pair.link(0, 1).state == LinkState::up);
}

TEST_CASE("a link out of use carries no frames in either direction, and carries them again") {
  QuietPair pair;
  const auto bytes_while = [&] {
    const std::uint64_t sent = pair.link(0, 1).counters.bytes_out;
    const std::uint64_t received = pair.link(0, 1).counters.bytes_in;
    const std::uint64_t there = pair.frames_delivered(1), back = pair.frames_delivered(0);
    for (int i = 0; i < 1000; ++i) {
      pair.send_frame(0), pair.send_frame(1);
      pair.run(milliseconds(1));
    }
    pair.run(milliseconds(100));
    CHECK(pair.frames_delivered(1) - there == 1000);
    CHECK(pair.frames_delivered(0) - back == 1000);
    return std::pair(pair.link(0, 1).counters.bytes_out - sent,
                     pair.link(0, 1).counters.bytes_in - received);
  };
  pair.client_node().set_link_role({}, LinkId{0}, LinkRole::unused, pair.now());
  pair.run(milliseconds(50));
  const auto alone = bytes_while();
  CHECK(alone.first > 100'000);
  CHECK(alone.second > 100'000);

  pair.client_node().set_link_role({}, LinkId{0}, LinkRole::normal, pair.now());
  pair.client_node().set_link_role({}, LinkId{1}, LinkRole::unused, pair.now());
  pair.run(milliseconds(50));
  const auto none = bytes_while();
  CHECK(none.first < 40'000);  // Probes and acknowledgements.
  CHECK(none.second < 40'000);
}

TEST_CASE("when the only usable link goes out of use, nothing gets through") {
  QuietPair pair;
  for (const LinkId link : {LinkId{0}, LinkId{1}}) {
    pair.client_node().set_link_role({}, link, LinkRole::unused, pair.now());
  }
  pair.run(milliseconds(50));
  const std::uint64_t there = pair.frames_delivered(1);
  pair.send_frame(0), pair.send_frame(1);
  pair.run(seconds(1));
  CHECK(pair.frames_delivered(1) == there);
  CHECK(pair.link(1, 0).config.role == LinkRole::unused);
  CHECK(pair.link(1, 0).state == LinkState::up);  // Ready for the day it is used again.
}

TEST_CASE("the responder's file says nothing of roles, so it cannot set one") {
  QuietPair pair;
  pair.client_node().set_link_role({}, LinkId{15}, LinkRole::unused, pair.now());  // No such link.
  pair.run(milliseconds(50));
  CHECK(pair.link(1, 0).config.role == LinkRole::normal);
  CHECK(pair.link(1, 1).config.role == LinkRole::normal);
}
