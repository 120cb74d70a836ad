#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;

/// The share of small frames of a call (DSCP EF) that come without the delay of a repair, where
/// each datagram is lost with a chance of 0.1.
static double prompt_share(test::QuietPair& pair) {
  pair.set_loss(0.1);
  const auto send = [&] {
    const std::uint64_t before = pair.frames_delivered(1);
    pair.send_frame(0, 46);
    pair.run(test::one_way + milliseconds(3));
    return pair.frames_delivered(1) > before;
  };
  for (int i = 0; i < 300; ++i) send();  // Until the loss is known.
  int prompt = 0;
  for (int i = 0; i < 1000; ++i) prompt += send() ? 1 : 0;
  return prompt / 1000.0;
}

TEST_CASE("a small frame that nobody holds for order goes twice by a line that loses some",
          "[copies]") {
  test::QuietPair pair([](PeerConfig& peer) { peer.links[1].role = LinkRole::unused; });
  CHECK(prompt_share(pair) > 0.97);
}

TEST_CASE("nothing goes twice by a metered line", "[copies]") {
  test::QuietPair pair([](PeerConfig& peer) {
    peer.links[0].metered = true;
    peer.links[1].role = LinkRole::unused;
  });
  CHECK(prompt_share(pair) < 0.95);
}
