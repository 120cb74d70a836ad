#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;

TEST_CASE("an end that loses a link's interface tells the other, long before silence does",
          "[gone]") {
  test::QuietPair pair;
  pair.cut(0);
  pair.client_node().clear_link_path({}, LinkId{0}, pair.now());
  CHECK(pair.link(0, 0).reason == LinkReason::no_path);
  pair.run(test::one_way + milliseconds(3));
  CHECK(pair.link(1, 0).state == LinkState::down);
  CHECK(pair.link(1, 0).reason == LinkReason::peer_no_path);
  CHECK(pair.link(1, 1).state == LinkState::up);
}

TEST_CASE("a frame on its way over the link that is gone comes by the other", "[gone]") {
  test::QuietPair pair;
  // Thin flows go by the first of two equal links; the answer to it is what gets lost.
  for (int i = 0; i < 5; ++i) {
    pair.send_frame(1, 0, 1000, 1400);
    pair.run(milliseconds(2));
  }
  pair.cut(0);
  for (int i = 0; i < 5; ++i) {
    pair.send_frame(1, 0, 1000, 1400);
    pair.run(milliseconds(1));
  }
  pair.client_node().clear_link_path({}, LinkId{0}, pair.now());
  pair.run(3 * test::one_way + milliseconds(5));
  CHECK(pair.frames_delivered(0) == 10);
}
