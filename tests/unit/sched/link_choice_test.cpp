#include "sched/link_choice.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "sched/scheduler.hpp"

using namespace mwtun;

static LinkSet set_of(std::initializer_list<int> ids) {
  LinkSet set;
  for (const int id : ids) set.add(LinkId{static_cast<std::uint8_t>(id)});
  return set;
}

static std::vector<LinkView> with_tiers(std::initializer_list<LinkTier> tiers) {
  std::vector<LinkView> links;
  for (const LinkTier tier : tiers) {
    LinkView link;
    link.id = LinkId{static_cast<std::uint8_t>(links.size())};
    link.tier = tier;
    links.push_back(link);
  }
  return links;
}

TEST_CASE("the wanted links are chosen that answer, and none else", "[sched]") {
  using enum LinkTier;
  CHECK(answering_of(with_tiers({healthy, healthy, healthy}), set_of({1, 2})) == set_of({1, 2}));
  CHECK(answering_of(with_tiers({healthy, unusable, healthy}), set_of({1, 2})) == set_of({2}));
  // Also one that is lossy or a spare: it was asked for by name.
  CHECK(answering_of(with_tiers({healthy, lossy, backup}), set_of({1, 2})) == set_of({1, 2}));
  CHECK(answering_of(with_tiers({healthy, suspect, unusable}), set_of({1, 2})).empty());
  CHECK(answering_of(with_tiers({healthy}), set_of({9})).empty());
}

TEST_CASE("a scheduler told of fewer links uses no other", "[sched]") {
  const std::vector<LinkView> links =
      with_tiers({LinkTier::healthy, LinkTier::healthy, LinkTier::backup});
  for (const SchedulerKind kind :
       {SchedulerKind::adaptive, SchedulerKind::round_robin, SchedulerKind::hash,
        SchedulerKind::active_backup, SchedulerKind::redundant}) {
    Scheduler scheduler(kind);
    std::vector<LinkView> fewer = links;
    restrict_to(fewer, set_of({2}));
    scheduler.update(fewer, Instant{seconds(1)});
    CHECK(scheduler.eligible() == set_of({2}));
    CHECK(scheduler.pick(links, 1000, 7) == LinkId{2});
  }
}
