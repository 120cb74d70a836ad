#include "sched/scheduler.hpp"

#include <catch2/catch.hpp>
#include <vector>

using namespace mwtun;

static LinkView healthy(std::uint8_t id, std::uint64_t rate_bps, Duration rtt) {
  LinkView view;
  view.id = LinkId{id};
  view.tier = LinkTier::healthy;
  view.rate_bps = rate_bps;
  view.rate_proven = true;
  view.one_way = rtt / 2;
  return view;
}

TEST_CASE("adaptive splits a burst in proportion to rate", "[sched]") {
  std::vector<LinkView> links = {healthy(0, 100'000'000, milliseconds(10)),
                                 healthy(1, 10'000'000, milliseconds(10))};
  Scheduler scheduler(SchedulerKind::adaptive);
  scheduler.update(links, Instant{});
  int counts[2] = {};
  for (int i = 0; i < 1100; ++i) {
    const LinkId pick = scheduler.pick(links, 1500, 0).value();
    ++counts[index_of(pick)];
    LinkView& link = links[index_of(pick)];
    link.queue += nanoseconds(1500 * 8'000'000'000 / static_cast<std::int64_t>(link.rate_bps));
  }
  CHECK(counts[0] > 950);
  CHECK(counts[1] > 50);
}

TEST_CASE("no scheduler picks a link that is not usable", "[sched]") {
  const SchedulerKind kind =
      GENERATE(SchedulerKind::adaptive, SchedulerKind::round_robin, SchedulerKind::hash,
               SchedulerKind::active_backup, SchedulerKind::redundant);
  std::vector<LinkView> links = {healthy(0, 0, milliseconds(1)), healthy(1, 0, milliseconds(50))};
  links[0].tier = LinkTier::unusable;
  Scheduler scheduler(kind);
  scheduler.update(links, Instant{});
  for (std::uint64_t hash = 0; hash < 512; ++hash) {
    CHECK(scheduler.pick(links, 1500, hash) == LinkId{1});
  }
}
