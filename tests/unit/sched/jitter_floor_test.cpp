#include "sched/jitter_floor.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

using namespace mwtun;

namespace {

struct Course {
  double follows;  // How much of what is sent beyond the capacity shows as delay.
  double noise_s = 0.004;
  double queue_s = 0.020;
};

/// Stretches in which more and less than the capacity was sent by turns.
void run(JitterFloor& floor, const Course& course, int stretches) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> beyond(0, 0.010), noise(0, std::max(course.noise_s, 1e-9));
  for (int i = 0; i < stretches; ++i) {
    const double x = beyond(random);
    floor.add({.sent_beyond_s = x,
               .delay_change_s = course.follows * x + noise(random),
               .queue_s = course.queue_s,
               .queue_own_s = 0.006,
               .noise_s = course.noise_s});
  }
}

}  // namespace

TEST_CASE("delay that does not follow what is sent belongs to the floor", "[jitter]") {
  JitterFloor floor;
  run(floor, {.follows = 0}, 24);
  // All of it but half of the queue that is wanted.
  CHECK(floor.height() > milliseconds(15));
  CHECK(floor.height() <= milliseconds(18));
}

TEST_CASE("a queue that follows what is sent is none of the floor's", "[jitter]") {
  JitterFloor floor;
  run(floor, {.follows = 1}, 200);
  CHECK(floor.height() == Duration{0});
}

TEST_CASE("a floor sinks again when the delay follows what is sent", "[jitter]") {
  JitterFloor floor;
  run(floor, {.follows = 0}, 24);
  const Duration before = floor.height();
  run(floor, {.follows = 1}, 100);
  CHECK(floor.height() < before * 3 / 4);
  floor.lower(milliseconds(2));
  CHECK(floor.height() == milliseconds(2));
  floor.lower(milliseconds(9));
  CHECK(floor.height() == milliseconds(2));
}

TEST_CASE("what is assumed of a floor gives way to what is seen", "[jitter]") {
  JitterFloor floor;
  floor.assume(0.004);
  CHECK(floor.height() == milliseconds(12));
  SECTION("upwards, when the delay does not follow what is sent") {
    run(floor, {.follows = 0, .queue_s = 0.012}, 24);
    CHECK(floor.height() > milliseconds(15));
  }
  SECTION("downwards, when it does") {
    run(floor, {.follows = 1}, 200);
    CHECK(floor.height() < milliseconds(5));
  }
}

TEST_CASE("a floor is no higher than the noise of the line can explain", "[jitter]") {
  JitterFloor floor;
  run(floor, {.follows = 0, .noise_s = 0.001, .queue_s = 0.100}, 400);
  CHECK(floor.height() <= milliseconds(8));
  JitterFloor quiet;
  run(quiet, {.follows = 0, .noise_s = 0, .queue_s = 0.100}, 400);
  CHECK(quiet.height() == Duration{0});
}

TEST_CASE("a sender that never varies shows nothing of the floor", "[jitter]") {
  JitterFloor floor;
  for (int i = 0; i < 400; ++i) {
    floor.add({.delay_change_s = i % 2 == 0 ? 0.004 : -0.004,
               .queue_s = 0.030,
               .queue_own_s = 0.006,
               .noise_s = 0.004});
  }
  CHECK(floor.height() == Duration{0});
}
