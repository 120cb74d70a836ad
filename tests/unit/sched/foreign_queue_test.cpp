#include "sched/foreign_queue.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;
using namespace std::chrono_literals;

namespace {

/// A link that sends 20 Mbit/s less than what it has just carried, every 50 ms.
struct Course {
  ForeignQueue foreign;
  ForeignQueue::Seen seen{.base = 100ms,
                          .queue = 60ms,
                          .alone = 12ms,
                          .delay = 160ms,
                          .target = 8ms,
                          .round = 50ms,
                          .sent_bps = 80e6,
                          .arrives_bps = 80e6,
                          .capacity_bps = 100e6,
                          .elapsed_s = 0.05};
  Instant now{1000s + 100ms};

  bool step() {
    now += 50ms;
    return foreign.stands(seen, now);
  }
  /// Until the queue is found to be somebody else's, which is then taken for the base.
  void raise() {
    while (!step()) REQUIRE(now < Instant{1010s});
    seen.base += seen.queue, seen.queue = 0ms;
  }
  /// Whether a check begins before `until`.
  bool check_begins(Instant until) {
    for (; now < until; now += 10ms) {
      if (foreign.checks(seen, now)) return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("a queue that does not shrink although less is sent is somebody else's", "[foreign]") {
  Course course;
  course.raise();
  CHECK(course.foreign.contested(course.now));
}

TEST_CASE("a queue that shrinks as it ought to is ours", "[foreign]") {
  Course course;
  while (course.seen.queue > 10ms) {
    REQUIRE_FALSE(course.step());
    course.seen.queue -= 10ms;  // 0.2 of 50 ms.
  }
}

TEST_CASE("a queue while more is sent than arrives is ours", "[foreign]") {
  Course course;
  course.seen.sent_bps = 120e6;
  for (int i = 0; i < 50; ++i) REQUIRE_FALSE(course.step());
}

TEST_CASE("all links check at the same moments, ever more rarely while the queue is there",
          "[foreign]") {
  Course first, second;
  second.now += 350ms;
  first.raise(), second.raise();
  REQUIRE(first.check_begins(Instant{1010s}));
  REQUIRE(second.check_begins(Instant{1010s}));
  CHECK(first.now - second.now < 10ms);
  CHECK(second.now - first.now < 10ms);
  while (first.foreign.checks(first.seen, first.now)) first.now += 10ms;
  CHECK(first.foreign.settling(first.now));
  CHECK_FALSE(first.foreign.found_gone());
  const Instant next = first.now + 1500ms;
  CHECK_FALSE(first.check_begins(next));
  CHECK(first.check_begins(Instant{1010s}));
}

TEST_CASE("a check that meets the old delay finds that nobody else is there", "[foreign]") {
  Course course;
  course.raise();
  REQUIRE(course.check_begins(Instant{1010s}));
  course.seen.delay = 104ms;
  while (course.foreign.checks(course.seen, course.now)) course.now += 10ms;
  CHECK_FALSE(course.foreign.contested(course.now));
  CHECK(course.foreign.found_gone());
  CHECK_FALSE(course.foreign.found_gone());
  CHECK(course.foreign.found_base() == 104ms);
}

TEST_CASE("one who is back within a minute is measured from the delay before he first came",
          "[foreign]") {
  Course course;
  course.raise();
  REQUIRE(course.check_begins(Instant{1010s}));
  course.seen.delay = 104ms;
  while (course.foreign.checks(course.seen, course.now)) course.now += 10ms;
  REQUIRE(course.foreign.found_gone());
  course.now += 50s;
  // What is the least now still has some of his queue in it.
  course.seen.base = 130ms, course.seen.queue = 60ms, course.seen.delay = 190ms;
  while (!course.step()) REQUIRE(course.now < Instant{1070s});
  course.seen.base += course.seen.queue, course.seen.queue = 0ms;
  REQUIRE(course.check_begins(Instant{1070s}));
  while (course.foreign.checks(course.seen, course.now)) course.now += 10ms;
  CHECK_FALSE(course.foreign.found_gone());
  CHECK(course.foreign.found_base() == 190ms);
  course.seen.delay = 104ms;
  REQUIRE(course.check_begins(Instant{1080s}));
  while (course.foreign.checks(course.seen, course.now)) course.now += 10ms;
  CHECK(course.foreign.found_gone());
}

TEST_CASE("a verdict lasts a minute, and less where the delay is as short as before",
          "[foreign]") {
  Course course;
  course.raise();
  CHECK(course.foreign.contested(course.now + 59s));
  course.seen.base = 102ms;
  CHECK_FALSE(course.foreign.checks(course.seen, course.now));
  CHECK(course.foreign.contested(course.now + 14s));
  CHECK_FALSE(course.foreign.contested(course.now + 16s));
}
