#include "sched/capacity_swing.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <random>

using namespace mwtun;

namespace {

/// The rate of a line as it is measured every 10 ms, from one second to another.
void run(CapacitySwing& swing, double from_s, double to_s,
         const std::function<double(double)>& bps) {
  const auto at = [](double s) { return Instant{seconds(1) + milliseconds(int(s * 1000))}; };
  for (double s = from_s; s < to_s; s += 0.010) swing.add(bps(s), at(s));
}

/// Another rate every half second, as on a phone that moves.
double phone_bps(double s) {
  constexpr double mbit[] = {20, 9, 14, 4, 11, 25, 16, 2};
  return mbit[int(s * 2) % 8] * 1e6;
}

}  // namespace

TEST_CASE("a rate that goes up and down all the time is a swing within three seconds", "[swing]") {
  CapacitySwing swing;
  CHECK(swing.degree() == 0);
  run(swing, 0, 3, phone_bps);
  CHECK(swing.degree() == 1);
}

TEST_CASE("a rate that is measured with noise is constant", "[swing]") {
  CapacitySwing swing;
  std::mt19937_64 random(3);
  std::normal_distribution<double> noise(1, 0.05);
  run(swing, 0, 60, [&](double) { return 50e6 * noise(random); });
  CHECK(swing.degree() == 0);
}

TEST_CASE("a single step of the rate is hardly a swing, and forgotten in a second", "[swing]") {
  CapacitySwing swing;
  const auto step = [](double s) { return s < 5 ? 100e6 : 10e6; };
  run(swing, 0, 5.4, step);
  CHECK(swing.degree() < 0.1);
  run(swing, 5.4, 6.5, step);
  CHECK(swing.degree() == 0);
}

TEST_CASE("a line that has come to rest is constant after a few seconds", "[swing]") {
  CapacitySwing swing;
  run(swing, 0, 10, phone_bps);
  run(swing, 10, 16, [](double) { return 20e6; });
  CHECK(swing.degree() == 0);
  run(swing, 16, 19, phone_bps);
  CHECK(swing.degree() > 0);
  swing.reset();
  CHECK(swing.degree() == 0);
}
