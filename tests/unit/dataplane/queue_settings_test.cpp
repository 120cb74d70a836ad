#include "dataplane/queue_settings.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("a constant line lets a flow queue what it takes off its window when told", "[queue]") {
  struct Expected {
    int slowest_ms, interval_ms, target_ms;
  };
  const auto [slowest_ms, interval_ms, target_ms] =
      GENERATE(Expected{20, 100, 10}, Expected{40, 100, 16}, Expected{300, 600, 120});
  const QueueSettings settings = queue_settings(
      {.slowest = milliseconds(slowest_ms), .bps = 100'000'000, .peak_bps = 200'000'000});
  CHECK(settings.interval == milliseconds(interval_ms));
  CHECK(settings.target == milliseconds(target_ms));
  // 0.4 s of what it carries now.
  CHECK(settings.bytes_max == 5'000'000);
}

TEST_CASE("two or three frames fit the target of a slow line", "[queue]") {
  const QueueSettings settings = queue_settings({.slowest = milliseconds(40), .bps = 1'000'000});
  CHECK(settings.target > milliseconds(36));
  CHECK(settings.target <= settings.interval / 2);
  CHECK(settings.bytes_max == 128 * 1024);
}

TEST_CASE("while rates are being found, or losses repaired, queues may stand longer", "[queue]") {
  const LinksAbility known{.slowest = milliseconds(40), .bps = 50'000'000};
  LinksAbility unknown = known, lossy = known;
  unknown.measured = false;
  lossy.lossy = true;
  CHECK(queue_settings(unknown).interval == 3 * queue_settings(known).interval);
  CHECK(queue_settings(lossy).target == queue_settings(known).target + lossy.slowest);
}

TEST_CASE("a flow's queue may outlast the dips of a rate that swings", "[queue]") {
  LinksAbility links{.slowest = milliseconds(70), .bps = 4'000'000, .peak_bps = 20'000'000};
  const QueueSettings constant = queue_settings(links);
  links.swing = 1;
  const QueueSettings swinging = queue_settings(links);
  CHECK(swinging.interval == 2 * constant.interval);
  CHECK(swinging.target == swinging.interval / 2);
  // 0.4 s of what the line carried before the dip.
  CHECK(swinging.bytes_max == 1'000'000);
}

TEST_CASE("a link that swings hardly counts beside much that does not", "[queue]") {
  LinksAbility links{.slowest = milliseconds(70), .bps = 100'000'000, .peak_bps = 110'000'000};
  const QueueSettings constant = queue_settings(links);
  links.swing = 0.1;
  const QueueSettings settings = queue_settings(links);
  CHECK(settings.target <= constant.target * 5 / 4);
  CHECK(settings.bytes_max == constant.bytes_max);
}

TEST_CASE("what a link carried a moment ago still fits the queue", "[queue]") {
  const QueueSettings settings = queue_settings({.slowest = milliseconds(65),
                                                 .bps = 1'000'000,
                                                 .recent_bps = 20'000'000,
                                                 .peak_bps = 20'000'000});
  CHECK(settings.bytes_max == 1'000'000);
}
