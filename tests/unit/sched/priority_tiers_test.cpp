#include <catch2/catch.hpp>
#include <vector>

#include "sched/priority_tiers.hpp"

using namespace mwtun;

namespace {

constexpr Instant start{seconds(100)};
constexpr Duration step = milliseconds(5);

LinkView line(std::uint8_t id, std::uint8_t priority, std::uint64_t rate_bps,
              LinkTier tier = LinkTier::healthy) {
  LinkView link;
  link.id = LinkId{id};
  link.priority = priority;
  link.rate_bps = rate_bps;
  link.rate_proven = true;
  link.tier = tier;
  return link;
}

LinkSet set_of(std::initializer_list<int> ids) {
  LinkSet set;
  for (const int id : ids) set.add(LinkId{static_cast<std::uint8_t>(id)});
  return set;
}

/// Sends what the links that are allowed take of a steady load; the rest queues, up to 100 ms.
struct Load {
  std::vector<LinkView> links;
  PriorityTiers tiers;
  Instant now = start;
  double queued_bits = 0;
  int changes = 0;

  double allowed_bps() const {
    double sum = 0;
    for (const LinkView& link : links) {
      if (tiers.allowed().has(link.id)) sum += static_cast<double>(link.rate_bps);
    }
    return sum;
  }
  Duration queue_delay() const {
    const double bps = allowed_bps();
    return bps > 0 ? Duration{static_cast<std::int64_t>(queued_bits * 1e9 / bps)} : Duration{0};
  }
  void run(Duration time, double load_bps) {
    for (const Instant until = now + time; now < until; now += step) {
      const LinkSet before = tiers.allowed();
      tiers.update(links, queue_delay(), now);
      if (tiers.allowed() != before) ++changes;
      const double second = 1e-9 * static_cast<double>(step.count());
      queued_bits += load_bps * second;
      const double sent = std::min(queued_bits, allowed_bps() * second);
      queued_bits = std::min(queued_bits - sent, allowed_bps() / 10);
      tiers.sent(static_cast<std::uint32_t>(sent / 8));
    }
  }
};

constexpr std::uint64_t fibre_bps = 100'000'000, lte_bps = 50'000'000;

Load fibre_and_lte() {
  Load load;
  load.links = {line(0, 0, fibre_bps), line(1, 1, lte_bps)};
  return load;
}

}  // namespace

TEST_CASE("links of one priority are all used, whatever its number", "[sched]") {
  PriorityTiers tiers;
  const std::vector<LinkView> links = {line(0, 7, fibre_bps), line(1, 7, 0), line(2, 7, lte_bps)};
  CHECK(tiers.update(links, Duration{0}, start) == set_of({0, 1, 2}));
  CHECK(tiers.update({}, Duration{0}, start).empty());
}

TEST_CASE("a worse line carries nothing while the better one has room", "[sched]") {
  Load load = fibre_and_lte();
  load.run(seconds(60), 0.8 * fibre_bps);
  CHECK(load.tiers.allowed() == set_of({0}));
  CHECK(load.changes == 1);  // From nothing to the better line.
}

TEST_CASE("a queue that stands for 200 ms opens the next line, and a burst does not", "[sched]") {
  Load load = fibre_and_lte();
  load.run(seconds(1), 0.5 * fibre_bps);
  load.run(milliseconds(50), 2.0 * fibre_bps);
  load.run(seconds(1), 0.5 * fibre_bps);
  CHECK(load.tiers.allowed() == set_of({0}));

  const Instant began = load.now;
  while (load.tiers.allowed() == set_of({0}) && load.now - began < seconds(5)) {
    load.run(step, 1.3 * fibre_bps);
  }
  CHECK(load.tiers.allowed() == set_of({0, 1}));
  CHECK(load.now - began >= milliseconds(200));
  CHECK(load.now - began <= milliseconds(500));
}

TEST_CASE("a line sent on as fast as it was measured is full although CoDel keeps the queue short",
          "[sched]") {
  const auto allowed_after = [](bool proven) {
    PriorityTiers tiers;
    std::vector<LinkView> links = {line(0, 0, fibre_bps), line(1, 1, lte_bps)};
    links[0].rate_proven = proven;
    for (int i = 0; i < 200; ++i) {
      tiers.update(links, milliseconds(3), start + i * step);
      tiers.sent(95'000'000 / 8 / 200);
    }
    return tiers.allowed();
  };
  CHECK(allowed_after(true) == set_of({0, 1}));
  // A rate that is still a guess, and still grows, is no line's brim.
  CHECK(allowed_after(false) == set_of({0}));
}

TEST_CASE("a queue before lines that are hardly used opens nothing", "[sched]") {
  // One flow that a scheduler keeps on one line of two.
  PriorityTiers tiers;
  const std::vector<LinkView> links = {line(0, 0, 40'000'000), line(1, 0, 60'000'000),
                                       line(2, 1, lte_bps)};
  for (int i = 0; i < 1000; ++i) {
    tiers.update(links, milliseconds(80), start + i * step);
    tiers.sent(40'000'000 / 8 / 200);
  }
  CHECK(tiers.allowed() == set_of({0, 1}));
}

TEST_CASE("what the worse line carries itself is no reason to leave it", "[sched]") {
  Load load = fibre_and_lte();
  load.run(seconds(60), 1.3 * fibre_bps);
  CHECK(load.tiers.allowed() == set_of({0, 1}));
  CHECK(load.changes == 2);
}

TEST_CASE("the worse line is left when all would have fitted the better one for two seconds",
          "[sched]") {
  Load load = fibre_and_lte();
  load.run(seconds(2), 1.4 * fibre_bps);
  REQUIRE(load.tiers.allowed() == set_of({0, 1}));
  load.run(milliseconds(1900), 0.5 * fibre_bps);
  CHECK(load.tiers.allowed() == set_of({0, 1}));
  load.run(milliseconds(500), 0.5 * fibre_bps);
  CHECK(load.tiers.allowed() == set_of({0}));
}

TEST_CASE("a load near the brim does not make the lines flap", "[sched]") {
  for (const double share : {0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 1.0, 1.05}) {
    INFO(share);
    Load load = fibre_and_lte();
    load.run(seconds(120), share * fibre_bps);
    CHECK(load.changes <= 2);
  }
}

TEST_CASE("a silent hour ends the overflow at the next look, without a timer", "[sched]") {
  Load load = fibre_and_lte();
  load.run(seconds(2), 1.4 * fibre_bps);
  REQUIRE(load.tiers.allowed() == set_of({0, 1}));
  load.tiers.update(load.links, Duration{0}, load.now + seconds(3600));
  CHECK(load.tiers.allowed() == set_of({0}));
}

TEST_CASE("the next line takes over at once when the better one is dead, suspect or lossy",
          "[sched]") {
  for (const LinkTier tier : {LinkTier::unusable, LinkTier::suspect, LinkTier::lossy}) {
    Load load = fibre_and_lte();
    load.run(seconds(1), 1e6);
    REQUIRE(load.tiers.allowed() == set_of({0}));
    load.links[0].tier = tier;
    CHECK(load.tiers.update(load.links, Duration{0}, load.now) == set_of({1}));
    // Back: at once, and alone again when it has had room for two seconds.
    load.links[0].tier = LinkTier::healthy;
    CHECK(load.tiers.update(load.links, Duration{0}, load.now) == set_of({0, 1}));
    load.run(milliseconds(1900), 1e6);
    CHECK(load.tiers.allowed() == set_of({0, 1}));
    load.run(milliseconds(400), 1e6);
    CHECK(load.tiers.allowed() == set_of({0}));
  }
}

TEST_CASE("a backup is no overflow: it waits until no other line is there", "[sched]") {
  Load load = fibre_and_lte();
  load.links[1].tier = LinkTier::backup;
  load.run(seconds(5), 3.0 * fibre_bps);
  CHECK(load.tiers.allowed() == set_of({0}));
  load.links[0].tier = LinkTier::unusable;
  CHECK(load.tiers.update(load.links, Duration{0}, load.now) == set_of({1}));
}

TEST_CASE("three tiers open one after another and close one after another", "[sched]") {
  Load load;
  load.links = {line(4, 10, fibre_bps), line(5, 20, lte_bps), line(6, 200, lte_bps)};
  std::vector<std::uint16_t> seen;
  const auto note = [&](Duration time, double bps) {
    for (const Instant until = load.now + time; load.now < until;) {
      load.run(step, bps);
      const std::uint16_t bits = load.tiers.allowed().bits();
      if (seen.empty() || seen.back() != bits) seen.push_back(bits);
    }
  };
  note(seconds(5), 1.9 * fibre_bps);
  note(seconds(10), 0.5 * fibre_bps);
  CHECK(seen == std::vector<std::uint16_t>{0x10, 0x30, 0x70, 0x30, 0x10});
}

TEST_CASE("priorities that no usable line has are skipped", "[sched]") {
  Load load;
  load.links = {line(0, 0, fibre_bps), line(1, 1, lte_bps, LinkTier::unusable),
                line(2, 2, lte_bps)};
  load.run(seconds(2), 1.4 * fibre_bps);
  CHECK(load.tiers.allowed() == set_of({0, 2}));
  load.links[1].tier = LinkTier::healthy;
  CHECK(load.tiers.update(load.links, Duration{0}, load.now) == set_of({0, 1, 2}));
}
