#include "sched/fair_share.hpp"

#include <catch2/catch.hpp>
#include <cmath>

using namespace mwtun;

namespace {

constexpr double round_s = 0.2, datagram_bps = 8 * 1400 / round_s;

FairShare::Step step(bool decrease, bool used = true) {
  return {.elapsed_s = 0.05,
          .round_s = round_s,
          .datagrams_rate = datagram_bps,
          .decrease = decrease,
          .used = used};
}

}  // namespace

TEST_CASE("a share falls to 0.7 and is back after the time of RFC 9438, then passes it",
          "[share]") {
  FairShare share;
  share.begin(500 * datagram_bps);
  share.step(step(false));
  while (!share.step(step(true))) {
  }
  const double before = share.bps() / 0.7;
  CHECK(share.bps() == Approx(0.7 * before));
  double seconds = 0;
  for (; share.bps() < 0.99 * before; seconds += 0.05) share.step(step(false));
  const double plateau_s = std::cbrt(before / datagram_bps * 0.3 / 0.4);
  CHECK(seconds < plateau_s);
  CHECK(seconds > plateau_s / 2);
  for (; seconds < 2 * plateau_s; seconds += 0.05) share.step(step(false));
  CHECK(share.bps() > 1.1 * before);
}

TEST_CASE("a share falls once a round trip at most", "[share]") {
  FairShare share;
  share.begin(500 * datagram_bps);
  int decreases = 0;
  for (int i = 0; i < 40; ++i) decreases += share.step(step(true));
  CHECK(decreases >= 7);
  CHECK(decreases <= 10);
}

TEST_CASE("a share that is not used does not grow, and a limit holds", "[share]") {
  FairShare share;
  share.begin(100 * datagram_bps);
  for (int i = 0; i < 1000; ++i) share.step(step(false, false));
  CHECK(share.bps() == 100 * datagram_bps);
  for (int i = 0; i < 1000; ++i) share.step(step(false)), share.limit(150 * datagram_bps);
  CHECK(share.bps() == Approx(150 * datagram_bps));
}
