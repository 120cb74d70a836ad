#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "sched/scheduler.hpp"

using namespace mwtun;

static LinkView view(std::uint8_t id, LinkTier tier = LinkTier::healthy) {
  LinkView link;
  link.id = LinkId{id};
  link.tier = tier;
  link.one_way = milliseconds(5);
  link.rate_proven = true;
  return link;
}

static LinkSet set_of(std::initializer_list<int> ids) {
  LinkSet set;
  for (const int id : ids) set.add(LinkId{static_cast<std::uint8_t>(id)});
  return set;
}

static constexpr Instant start{seconds(100)};

TEST_CASE("names and numbers of kinds agree both ways", "[sched]") {
  for (int i = 0; i < 5; ++i) {
    const auto kind = static_cast<SchedulerKind>(i);
    CHECK(scheduler_from_name(to_string(kind)) == kind);
  }
  for (int i = 0; i < 3; ++i) {
    const auto fields = static_cast<HashFields>(i);
    CHECK(hash_fields_from_name(to_string(fields)) == fields);
  }
  CHECK_FALSE(scheduler_from_name("Adaptive").has_value());
  CHECK_FALSE(scheduler_from_name("").has_value());
  CHECK_FALSE(hash_fields_from_name("l4").has_value());
}

TEST_CASE("a link set holds all sixteen numbers apart", "[sched]") {
  LinkSet set;
  CHECK(set.empty());
  for (std::uint8_t i = 0; i < links_max; ++i) {
    CHECK_FALSE(set.has(LinkId{i}));
    set.add(LinkId{i});
    CHECK(set.has(LinkId{i}));
  }
  set.remove(LinkId{7});
  CHECK(set.bits() == 0xff7f);
}

TEST_CASE("only the best tier that has a link is eligible", "[sched]") {
  const LinkTier tiers[] = {LinkTier::healthy,      LinkTier::backup, LinkTier::lossy,
                            LinkTier::lossy_backup, LinkTier::held,   LinkTier::suspect,
                            LinkTier::unusable};
  for (std::size_t best = 0; best + 1 < std::size(tiers); ++best) {
    std::vector<LinkView> links;
    for (std::size_t i = best; i < std::size(tiers); ++i) {
      links.push_back(view(static_cast<std::uint8_t>(i), tiers[i]));
    }
    links.push_back(view(9, tiers[best]));
    CHECK(best_tier(links) == set_of({static_cast<int>(best), 9}));
  }
  CHECK(best_tier(std::vector<LinkView>{view(0, LinkTier::unusable)}).empty());
  CHECK(best_tier({}).empty());
}

TEST_CASE("no scheduler picks anything when nothing is usable", "[sched]") {
  for (int i = 0; i < 5; ++i) {
    Scheduler scheduler(static_cast<SchedulerKind>(i));
    const std::vector<LinkView> links = {view(0, LinkTier::unusable)};
    CHECK_FALSE(scheduler.pick(links, 100, 0).has_value());
    scheduler.update(links, start);
    CHECK_FALSE(scheduler.pick(links, 100, 0).has_value());
    CHECK_FALSE(scheduler.pick_soonest(links, 100).has_value());
  }
}

TEST_CASE("an excepted link is avoided unless it is the only one", "[sched]") {
  for (int i = 0; i < 5; ++i) {
    Scheduler scheduler(static_cast<SchedulerKind>(i));
    const std::vector<LinkView> links = {view(0), view(1), view(2, LinkTier::suspect)};
    scheduler.update(links, start);
    for (std::uint64_t hash = 0; hash < 256; ++hash) {
      CHECK(scheduler.pick(links, 100, hash, set_of({0})) == LinkId{1});
    }
    CHECK(scheduler.pick_soonest(links, 100, set_of({1})) == LinkId{0});
    // Not the suspect one: an excepted link of the best tier is still better.
    CHECK(scheduler.pick(links, 100, 0, set_of({0, 1})) != LinkId{2});
  }
}

// ---- Round robin ------------------------------------------------------------------------------

TEST_CASE("round-robin gives bytes in proportion to weights, whatever the frame sizes", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1), view(2)};
  links[0].weight = 1, links[1].weight = 2, links[2].weight = 5;
  Scheduler scheduler(SchedulerKind::round_robin);
  scheduler.update(links, start);
  std::map<LinkId, std::uint64_t> sent;
  std::uint32_t bytes = 60;
  for (int i = 0; i < 8000; ++i) {
    bytes = 60 + (bytes * 7919u + 13) % 1440;
    const LinkId pick = scheduler.pick(links, bytes, 0).value();
    scheduler.sent(pick, bytes);
    sent[pick] += bytes;
  }
  const double unit = static_cast<double>(sent[LinkId{0}]);
  CHECK(static_cast<double>(sent[LinkId{1}]) / unit == Approx(2).epsilon(0.01));
  CHECK(static_cast<double>(sent[LinkId{2}]) / unit == Approx(5).epsilon(0.01));
}

TEST_CASE("a link that comes back to round-robin is not flooded to catch up", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  Scheduler scheduler(SchedulerKind::round_robin);
  links[1].tier = LinkTier::unusable;
  scheduler.update(links, start);
  for (int i = 0; i < 10'000; ++i) {
    REQUIRE(scheduler.pick(links, 1500, 0) == LinkId{0});
    scheduler.sent(LinkId{0}, 1500);
  }
  links[1].tier = LinkTier::healthy;
  scheduler.update(links, start);
  int returned = 0;
  for (int i = 0; i < 100; ++i) {
    const LinkId pick = scheduler.pick(links, 1500, 0).value();
    scheduler.sent(pick, 1500);
    returned += pick == LinkId{1} ? 1 : 0;
  }
  CHECK(returned == 50);
}

// ---- Hash -------------------------------------------------------------------------------------

static std::vector<LinkId> owners(const Scheduler& scheduler, const std::vector<LinkView>& links) {
  Scheduler copy = scheduler;
  std::vector<LinkId> all;
  for (std::uint64_t bucket = 0; bucket < HashBuckets::bucket_count; ++bucket) {
    all.push_back(copy.pick(links, 1000, bucket).value());
  }
  return all;
}

static int count_of(const std::vector<LinkId>& all, int id) {
  int count = 0;
  for (const LinkId owner : all) count += owner == LinkId{static_cast<std::uint8_t>(id)} ? 1 : 0;
  return count;
}

static int moved(const std::vector<LinkId>& before, const std::vector<LinkId>& after) {
  int count = 0;
  for (std::size_t i = 0; i < before.size(); ++i) count += before[i] != after[i] ? 1 : 0;
  return count;
}

TEST_CASE("a flow's link does not change with load, rate or delay", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1), view(2)};
  Scheduler scheduler(SchedulerKind::hash);
  scheduler.update(links, start);
  const std::vector<LinkId> before = owners(scheduler, links);
  links[0].rate_bps = 1, links[1].queue = seconds(3), links[2].one_way = seconds(1);
  scheduler.update(links, start + seconds(5));
  CHECK(owners(scheduler, links) == before);
}

TEST_CASE("buckets spread by weight when a rate is not known, else by rate", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[0].weight = 3, links[1].weight = 1;
  links[0].rate_bps = 1'000'000;
  Scheduler by_weight(SchedulerKind::hash);
  by_weight.update(links, start);
  CHECK(count_of(owners(by_weight, links), 0) == 192);
  links[1].rate_bps = 7'000'000;
  Scheduler by_rate(SchedulerKind::hash);
  by_rate.update(links, start);
  CHECK(count_of(owners(by_rate, links), 1) == Approx(224).margin(1));
}

TEST_CASE("even the slowest of sixteen links has a bucket, and every bucket a link", "[sched]") {
  std::vector<LinkView> links;
  for (std::uint8_t i = 0; i < links_max; ++i) {
    links.push_back(view(i));
    links.back().rate_bps = i == 0 ? 1000 : 100'000'000'000;
  }
  Scheduler scheduler(SchedulerKind::hash);
  scheduler.update(links, start);
  const std::vector<LinkId> all = owners(scheduler, links);
  for (std::uint8_t i = 0; i < links_max; ++i) CHECK(count_of(all, i) >= 1);
}

TEST_CASE("only the flows of a link that leaves move, and only its share when it returns",
          "[sched]") {
  std::vector<LinkView> links = {view(0), view(1), view(2), view(3)};
  Scheduler scheduler(SchedulerKind::hash);
  scheduler.update(links, start);
  const std::vector<LinkId> before = owners(scheduler, links);
  links[2].tier = LinkTier::unusable;
  scheduler.update(links, start);
  const std::vector<LinkId> without = owners(scheduler, links);
  CHECK(moved(before, without) == 64);
  CHECK(count_of(without, 2) == 0);
  CHECK(count_of(without, 0) <= 86);
  links[2].tier = LinkTier::healthy;
  scheduler.update(links, start);
  const std::vector<LinkId> again = owners(scheduler, links);
  CHECK(moved(without, again) == 64);
  CHECK(count_of(again, 2) == 64);
}

TEST_CASE("while a link is blocked its flows go elsewhere and then return to it", "[sched]") {
  const std::vector<LinkView> links = {view(0), view(1)};
  Scheduler scheduler(SchedulerKind::hash);
  scheduler.update(links, start);
  for (std::uint64_t hash : {std::uint64_t{0}, std::uint64_t{255}, UINT64_MAX}) {
    const LinkId home = scheduler.pick(links, 100, hash).value();
    LinkSet blocked;
    blocked.add(home);
    CHECK(scheduler.pick(links, 100, hash, blocked) != home);
    CHECK(scheduler.pick(links, 100, hash) == home);
  }
}

// ---- Active-backup ----------------------------------------------------------------------------

TEST_CASE("active-backup uses the lowest priority, then the lowest number", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1), view(2)};
  links[0].priority = 5, links[1].priority = 1, links[2].priority = 1;
  Scheduler scheduler(SchedulerKind::active_backup);
  scheduler.update(links, start);
  for (std::uint64_t hash = 0; hash < 10; ++hash) {
    CHECK(scheduler.pick(links, 1500, hash) == LinkId{1});
  }
}

TEST_CASE("traffic fails over at once and back only after the hold-down", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[1].priority = 1;
  Scheduler scheduler(SchedulerKind::active_backup);
  scheduler.update(links, start);
  CHECK(scheduler.pick(links, 1500, 0) == LinkId{0});
  links[0].tier = LinkTier::suspect;
  scheduler.update(links, start + seconds(1));
  CHECK(scheduler.pick(links, 1500, 0) == LinkId{1});
  links[0].tier = LinkTier::healthy;
  const Instant back = start + seconds(2);
  scheduler.update(links, back);
  CHECK(scheduler.pick(links, 1500, 0) == LinkId{1});
  scheduler.update(links, back + ActiveBackup::hold_down - nanoseconds(1));
  CHECK(scheduler.pick(links, 1500, 0) == LinkId{1});
  scheduler.update(links, back + ActiveBackup::hold_down);
  CHECK(scheduler.pick(links, 1500, 0) == LinkId{0});
}

TEST_CASE("a link that flaps begins its hold-down anew each time", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[1].priority = 1;
  Scheduler scheduler(SchedulerKind::active_backup);
  scheduler.update(links, start);
  Instant now = start;
  for (int flap = 0; flap < 5; ++flap) {
    links[0].tier = LinkTier::unusable;
    scheduler.update(links, now += milliseconds(100));
    links[0].tier = LinkTier::healthy;
    scheduler.update(links, now += milliseconds(100));
    scheduler.update(links, now += ActiveBackup::hold_down - milliseconds(1));
    CHECK(scheduler.pick(links, 1500, 0) == LinkId{1});
  }
}

TEST_CASE("the only link left is used without any hold-down", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  Scheduler scheduler(SchedulerKind::active_backup);
  scheduler.update(links, start);
  links[0].tier = links[1].tier = LinkTier::unusable;
  scheduler.update(links, start + seconds(1));
  CHECK_FALSE(scheduler.pick(links, 1500, 0).has_value());
  links[1].tier = LinkTier::healthy;
  scheduler.update(links, start + seconds(2));
  CHECK(scheduler.pick(links, 1500, 0) == LinkId{1});
}

// ---- Earliest delivery ------------------------------------------------------------------------

TEST_CASE("predicted delivery adds up pacing, queue, the bytes' own time and the way", "[sched]") {
  LinkView link = view(0);
  link.rate_bps = 8'000'000;  // One byte a microsecond.
  link.one_way = milliseconds(10);
  CHECK(predicted_delivery(link, 1000) == milliseconds(11));
  link.queue = milliseconds(30);
  CHECK(predicted_delivery(link, 1000) == milliseconds(41));
  link.wait = milliseconds(2);
  CHECK(predicted_delivery(link, 1000) == milliseconds(43));
}

TEST_CASE("a link of unknown rate is taken for ten megabits", "[sched]") {
  LinkView unknown = view(0), known = view(1);
  known.rate_bps = 10'000'000;
  CHECK(predicted_delivery(unknown, 1500) == predicted_delivery(known, 1500));
}

TEST_CASE("no rate makes the prediction overflow", "[sched]") {
  LinkView slow = view(0);
  slow.rate_bps = 1;
  CHECK(predicted_delivery(slow, UINT32_MAX) > seconds(1'000'000));
  LinkView fast = view(1);
  fast.rate_bps = UINT64_MAX;
  CHECK(predicted_delivery(fast, 0) >= Duration{0});
  // Hopeless as it is, the only link is picked.
  CHECK(pick_earliest(std::vector<LinkView>{slow}, set_of({0}), 1500) == LinkId{0});
  CHECK(pick_earliest(std::vector<LinkView>{slow, fast}, set_of({0, 1}), 1500) == LinkId{1});
}

// ---- Pacing -----------------------------------------------------------------------------------

TEST_CASE("adaptive striping takes whichever link has room, the sooner one first", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[1].one_way = milliseconds(40);
  links[0].busy = milliseconds(40);
  Scheduler scheduler(SchedulerKind::adaptive);
  scheduler.update(links, start);
  CHECK(scheduler.pick(links, 1000, 0) == LinkId{0});
  links[0].wait = microseconds(100);
  CHECK(scheduler.pick(links, 1000, 0) == LinkId{1});
  links[1].wait = microseconds(100);
  CHECK_FALSE(scheduler.pick(links, 1000, 0).has_value());
}

TEST_CASE("a farther link is left alone while the nearer one's bursts end before it could help",
          "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[1].one_way = links[0].one_way + milliseconds(40);
  links[0].wait = microseconds(100);
  Scheduler scheduler(SchedulerKind::adaptive);
  scheduler.update(links, start);
  links[0].busy = milliseconds(40) - Scheduler::stripe_slack - nanoseconds(1);
  CHECK_FALSE(scheduler.pick(links, 1000, 0).has_value());
  links[0].busy += nanoseconds(1);
  CHECK(scheduler.pick(links, 1000, 0) == LinkId{1});
  // A queue counts as distance, too; and what the frame may not take is not waited for.
  links[1].queue = milliseconds(1);
  CHECK_FALSE(scheduler.pick(links, 1000, 0).has_value());
  CHECK(scheduler.pick(links, 1000, 0, set_of({0})) == LinkId{1});
}

TEST_CASE("a slow link that is near does not keep a burst from a fast one that is far", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[1].one_way = links[0].one_way + milliseconds(40);
  links[0].rate_bps = 1'000'000, links[1].rate_bps = 100'000'000;
  links[0].wait = milliseconds(1);
  Scheduler scheduler(SchedulerKind::adaptive);
  scheduler.update(links, start);
  CHECK_FALSE(scheduler.pick(links, 1000, 0, {}, false, 3000).has_value());  // 24 ms.
  CHECK(scheduler.pick(links, 1000, 0, {}, false, 6000) == LinkId{1});       // 48 ms.
}

TEST_CASE("an urgent frame takes the sooner link although its pacing is a little behind",
          "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[1].one_way = milliseconds(40);
  links[0].wait = milliseconds(4);
  Scheduler scheduler(SchedulerKind::adaptive);
  scheduler.update(links, start);
  CHECK(scheduler.pick(links, 100, 0, {}, true) == LinkId{0});
  links[0].wait = links[1].wait = Scheduler::urgent_wait_max + nanoseconds(1);
  CHECK_FALSE(scheduler.pick(links, 100, 0, {}, true).has_value());
}

TEST_CASE("a link too far from the best takes no part in striping, but does alone", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[1].one_way = links[0].one_way + Scheduler::stripe_spread_max + nanoseconds(1);
  links[0].wait = milliseconds(1);
  Scheduler scheduler(SchedulerKind::adaptive);
  scheduler.update(links, start);
  CHECK_FALSE(scheduler.pick(links, 1000, 0).has_value());
  links[0].tier = LinkTier::unusable;
  scheduler.update(links, start);
  CHECK(scheduler.pick(links, 1000, 0) == LinkId{1});
}

TEST_CASE("what is too far to be striped over is named, and only adaptive cares", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1), view(2)};
  links[1].one_way = links[0].one_way + Scheduler::stripe_spread_max + nanoseconds(1);
  links[2].tier = LinkTier::unusable;
  Scheduler adaptive(SchedulerKind::adaptive), round_robin(SchedulerKind::round_robin);
  adaptive.update(links, start);
  round_robin.update(links, start);
  LinkSet near;
  near.add(LinkId{0});
  CHECK(adaptive.striped(links) == near);
  CHECK(round_robin.striped(links) == round_robin.eligible());
  // A far queue counts as distance; one at the near end passes, and brings the far end no nearer.
  links[0].queue = milliseconds(60);
  CHECK(adaptive.striped(links) == near);
  links[1].one_way -= milliseconds(1);
  CHECK(adaptive.striped(links) == adaptive.eligible());
  links[1].queue = milliseconds(1);
  CHECK(adaptive.striped(links) == near);
}

TEST_CASE("round-robin with equal weights follows the rates, with given ones it waits", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  links[0].wait = milliseconds(1);
  Scheduler scheduler(SchedulerKind::round_robin);
  scheduler.update(links, start);
  for (int i = 0; i < 10; ++i) {
    CHECK(scheduler.pick(links, 1000, 0) == LinkId{1});
    scheduler.sent(LinkId{1}, 1000);
  }
  links[1].weight = 2;
  scheduler.update(links, start);
  CHECK_FALSE(scheduler.pick(links, 1000, 0).has_value());
}

TEST_CASE("a flow of the hash waits for its own link", "[sched]") {
  std::vector<LinkView> links = {view(0), view(1)};
  Scheduler scheduler(SchedulerKind::hash);
  scheduler.update(links, start);
  const LinkId home = scheduler.pick(links, 1000, 7).value();
  links[index_of(home)].wait = microseconds(1);
  CHECK_FALSE(scheduler.pick(links, 1000, 7).has_value());
}

TEST_CASE("a tie goes to the lower number", "[sched]") {
  const std::vector<LinkView> links = {view(0), view(1), view(2)};
  CHECK(pick_earliest(links, set_of({1, 2}), 100) == LinkId{1});
}
