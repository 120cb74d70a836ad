// The kernel gives the processor to somebody else while frames wait.
#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t rate_bps = 10'000'000;

/// One link is left, which may send so fast.
struct LimitedPair : test::QuietPair {
  LimitedPair() : QuietPair([](PeerConfig& peer) { peer.links[0].rate_up_bps_max = rate_bps; }) {
    cut(1);
    run(2s);
  }
};

/// What the client sends in 200 ms, in the first 6 ms of each 20 of which it is away, as a share of
/// what its rate allows.
double sent_with_absences(LimitedPair& pair, int frames_each) {
  const std::uint64_t before = pair.link(0, 0).counters.bytes_out;
  for (int i = 0; i < 10; ++i) {
    pair.set_away(0, true);
    pair.run(6ms);
    pair.set_away(0, false);
    for (int f = 0; f < frames_each; ++f) pair.send_frame(0, 0, 1000, 1000);
    pair.run(14ms);
  }
  const std::uint64_t sent = pair.link(0, 0).counters.bytes_out - before;
  return static_cast<double>(sent) * 8 / 0.2 / static_cast<double>(rate_bps);
}

}  // namespace

TEST_CASE("turns that come late cost a sender nothing of its rate while frames wait",
          "[late_turn]") {
  LimitedPair pair;
  for (int i = 0; i < 60; ++i) pair.send_frame(0, 0, 1000, 1000);
  pair.run(10ms);
  const double sent = sent_with_absences(pair, 30);
  CHECK(sent > 0.98);
  CHECK(sent < 1.02);
}

TEST_CASE("a sender that had nothing to send has no more than the usual credit", "[late_turn]") {
  LimitedPair pair;
  std::size_t burst = 0;
  for (int i = 0; i < 60; ++i) pair.send_frame(0, 0, 1000, 1000);
  pair.on_sent = [&](std::size_t end, std::size_t bytes) { burst += end == 0 ? bytes : 0; };
  pair.run(10ms);
  CHECK(burst < 16'000);  // 12 ms at that rate, and a frame.
}
