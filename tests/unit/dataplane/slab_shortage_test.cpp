#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;

TEST_CASE("a forged datagram makes nobody give up what waits for repair, when slabs are short",
          "[slabs]") {
  test::QuietPair pair;
  pair.forge();
  pair.send_frame(0);
  pair.run(milliseconds(1));
  const std::vector<SlabRef> taken = pair.take_all_slabs();
  pair.run(milliseconds(200));
  CHECK(pair.drops(1, Drop::forged) > 0);
  CHECK(pair.drops(0, Drop::repair_given_up) == 0);
  CHECK(pair.drops(1, Drop::out_of_slabs) == 0);
}

TEST_CASE("frames come though nobody has a slab left", "[slabs]") {
  test::QuietPair pair;
  pair.cut(0), pair.cut(1);
  for (std::size_t end = 0; end < 2; ++end) pair.send_frame(end);
  pair.run(milliseconds(20));
  const std::vector<SlabRef> taken = pair.take_all_slabs();
  pair.cut(0, false), pair.cut(1, false);
  pair.run(seconds(1));
  for (std::size_t end = 0; end < 2; ++end) {
    CHECK(pair.frames_delivered(end) == 1);
    CHECK(pair.drops(end, Drop::out_of_slabs) == 0);
  }
}
