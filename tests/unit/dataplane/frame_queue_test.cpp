#include "dataplane/frame_queue.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "base/prng.hpp"

using namespace mwtun;

namespace {

constexpr Instant start{seconds(100)};

enum class Ecn : std::uint8_t { not_ip, incapable, capable };

struct Fixture {
  explicit Fixture(Limits limits = {}) : queue(limits) {}

  Frame frame(std::uint32_t size, Ecn ecn = Ecn::not_ip) {
    Frame made;
    made.slab = pool.take();
    REQUIRE(made.slab);
    made.size = size;
    std::uint8_t* const at = made.slab.data();
    std::memset(at, 0, 64);
    if (ecn != Ecn::not_ip) {
      store_be16(at + 12, 0x0800);
      at[14] = 0x45;
      at[15] = ecn == Ecn::capable ? 2 : 0;
    }
    return made;
  }
  /// TCP over IPv4, `segments` of 1000 bytes.
  Frame super_frame(std::uint32_t segments, Ecn ecn = Ecn::incapable) {
    Frame made = frame(54 + segments * 1000, ecn);
    made.offload = {Offload::Gso::tcp4, true, 1000, 34, 16};
    return made;
  }
  void push(FlowIndex flow, std::uint32_t size, int count = 1, Ecn ecn = Ecn::not_ip) {
    for (int i = 0; i < count; ++i) queue.push(flow, frame(size, ecn), now, drops);
  }
  std::optional<FrameQueue::Taken> take() {
    return queue.take(
        now, [](FlowIndex, const Frame&, bool) { return true; }, drops);
  }
  /// Takes a frame of any flow but the one given.
  std::optional<FrameQueue::Taken> take_but(FlowIndex refused) {
    return queue.take(
        now, [&](FlowIndex flow, const Frame&, bool) { return flow != refused; }, drops);
  }
  /// The flows of the next frames, in order.
  std::vector<FlowIndex> order(std::size_t count) {
    std::vector<FlowIndex> flows;
    while (flows.size() < count) flows.push_back(take().value().flow);
    return flows;
  }

  SlabPool pool{70'000, 5000};
  FrameQueue queue;
  DropCounters drops;
  Instant now = start;
};

Limits bounded(std::uint32_t bytes, std::uint32_t frames) {
  Limits limits;
  limits.queue_bytes = bytes;
  limits.queue_frames = frames;
  return limits;
}

using Flows = std::vector<FlowIndex>;

}  // namespace

TEST_CASE_METHOD(Fixture, "a flow's frames leave in the order they came", "[frame_queue]") {
  for (std::uint32_t size = 100; size < 200; ++size) push(5, size);
  CHECK(queue.size() == 100);
  CHECK(queue.bytes() == 14950);
  CHECK(queue.frames_of(5) == 100);
  CHECK(queue.frames_of(4) == 0);
  CHECK(queue.frames_of(4000) == 0);
  now += microseconds(300);
  for (std::uint32_t size = 100; size < 200; ++size) {
    const auto taken = take().value();
    REQUIRE(taken.frame.size == size);
    REQUIRE(taken.flow == 5);
    REQUIRE(taken.sojourn == microseconds(300));
  }
  CHECK_FALSE(take());
  CHECK(queue.empty());
  CHECK(queue.bytes() == 0);
}

TEST_CASE_METHOD(Fixture, "large frames and small ones get the same bytes", "[frame_queue]") {
  push(1, 1500, 200);
  push(2, 300, 1000);
  std::map<FlowIndex, std::int64_t> sent;
  while (queue.frames_of(1) > 0 && queue.frames_of(2) > 0) {
    const auto taken = take().value();
    sent[taken.flow] += taken.frame.size;
    REQUIRE(std::abs(sent[1] - sent[2]) <= 2 * 1514);
  }
  CHECK(sent[1] + sent[2] > 590'000);
}

TEST_CASE_METHOD(Fixture, "a super-frame pays with the turns it would have taken",
                 "[frame_queue]") {
  for (int i = 0; i < 8; ++i) queue.push(1, super_frame(45), now, drops);
  push(2, 1500, 300);
  std::map<FlowIndex, std::int64_t> sent;
  while (queue.frames_of(1) > 0 && queue.frames_of(2) > 0) {
    const auto taken = take().value();
    sent[taken.flow] += taken.frame.size;
    REQUIRE(std::abs(sent[1] - sent[2]) <= 45'054 + 2 * 1514);
  }
  CHECK(sent[1] >= 7 * 45'054);
}

TEST_CASE_METHOD(Fixture, "waiting for a link does not pay what a super-frame owes",
                 "[frame_queue]") {
  std::uint64_t bytes[2] = {};
  for (int i = 0; i < 4000; ++i) {
    while (queue.frames_of(0) < 4) queue.push(0, super_frame(12), now, drops);
    while (queue.frames_of(1) < 20) push(1, 1400);
    // Links are ready for a frame now and then; between, everybody is refused.
    for (int wait = 0; wait < 3; ++wait) {
      now += microseconds(50);
      CHECK_FALSE(queue.any(now, [](FlowIndex, const Frame&, bool) { return false; }));
      CHECK_FALSE(queue.take(
          now, [](FlowIndex, const Frame&, bool) { return false; }, drops));
    }
    const FrameQueue::Taken taken = take().value();
    bytes[taken.flow] += taken.frame.size;
  }
  CHECK(bytes[0] < bytes[1] * 11 / 10);
  CHECK(bytes[1] < bytes[0] * 11 / 10);
}

TEST_CASE_METHOD(Fixture, "a flow that sends little goes before all that are backlogged",
                 "[frame_queue]") {
  for (FlowIndex flow = 0; flow < 50; ++flow) push(flow, 1500, 10);
  order(120);  // All of them have had their first turn.
  push(99, 100);
  const auto taken = take().value();
  CHECK(taken.flow == 99);
  CHECK(taken.sparse);
  CHECK_FALSE(take().value().sparse);
}

TEST_CASE_METHOD(Fixture, "a new flow is sparse until its first turn is used up", "[frame_queue]") {
  push(1, 1000, 10);
  order(3);
  push(2, 400, 10);
  for (int i = 0; i < 4; ++i) {  // 1514 bytes are begun with the fourth.
    const auto taken = take().value();
    REQUIRE(taken.flow == 2);
    REQUIRE(taken.sparse);
  }
  for (int i = 0; i < 13; ++i) REQUIRE_FALSE(take().value().sparse);
  CHECK(queue.empty());
}

TEST_CASE_METHOD(Fixture, "frames one by one do not make a flow new each time", "[frame_queue]") {
  push(1, 700, 50);
  order(4);  // The backlog is old, and in its second turn.
  push(2, 100);
  CHECK(take().value().sparse);
  CHECK(take().value().flow == 1);  // Meanwhile flow 2 was found empty.
  push(2, 100);
  while (true) {
    const auto taken = take().value();
    REQUIRE_FALSE(taken.sparse);
    if (taken.flow == 2) break;
  }
  CHECK(queue.frames_of(1) > 40);
}

TEST_CASE_METHOD(Fixture, "when all was sent, everybody is new again", "[frame_queue]") {
  for (int round = 0; round < 100; ++round) {
    push(1, 1000);
    REQUIRE(take().value().sparse);
    if (round % 8 == 0) REQUIRE_FALSE(take());
  }
}

TEST_CASE_METHOD(Fixture, "a refused flow holds up nobody, and is the first again later",
                 "[frame_queue]") {
  for (FlowIndex flow = 1; flow <= 3; ++flow) push(flow, 1500, 10);
  CHECK(take_but(1).value().flow == 2);
  CHECK(take_but(1).value().flow == 2);
  CHECK(take_but(1).value().flow == 3);
  now += microseconds(1);
  CHECK(order(5) == Flows{1, 1, 3, 2, 1});
}

TEST_CASE_METHOD(Fixture, "an old flow that is refused keeps its place too", "[frame_queue]") {
  for (FlowIndex flow = 1; flow <= 3; ++flow) push(flow, 1514, 10);
  CHECK(order(3) == Flows{1, 2, 3});
  CHECK(take_but(1).value().flow == 2);
  now += microseconds(1);
  CHECK(order(4) == Flows{1, 3, 1, 2});
}

TEST_CASE_METHOD(Fixture, "a refused flow is not asked again while others can go",
                 "[frame_queue]") {
  push(1, 100, 5);
  push(2, 100, 5);
  int asked = 0;
  const auto only_two = [&](FlowIndex flow, const Frame&, bool) {
    asked += flow == 1;
    return flow == 2;
  };
  for (int i = 0; i < 5; ++i) REQUIRE(queue.take(now, only_two, drops));
  CHECK(asked == 1);
  CHECK_FALSE(queue.take(now, only_two, drops));
  CHECK(asked == 2);
  // At the same instant something may have come that lets it go.
  CHECK(take().value().flow == 1);
}

TEST_CASE_METHOD(Fixture, "what may go now is found although it was refused at this instant",
                 "[frame_queue]") {
  push(1, 100, 5);
  push(2, 100);
  CHECK(take_but(1).value().flow == 2);
  CHECK(take().value().flow == 1);
}

TEST_CASE_METHOD(Fixture, "asking whether any flow may send takes nothing and moves nobody",
                 "[frame_queue]") {
  push(1, 100);
  push(2, 100);
  const auto only = [](FlowIndex wanted) {
    return [=](FlowIndex flow, const Frame&, bool) { return flow == wanted; };
  };
  CHECK(queue.any(now, only(2)));
  CHECK(queue.any(now, only(1)));
  CHECK_FALSE(queue.any(now, only(3)));
  CHECK(queue.size() == 2);
  CHECK(order(2) == Flows{1, 2});
  CHECK_FALSE(queue.any(now, only(1)));
}

TEST_CASE_METHOD(Fixture, "nothing is given only when each flow was asked", "[frame_queue]") {
  for (FlowIndex flow = 0; flow < 300; ++flow) push(flow, 100);
  for (int round = 0; round < 3; ++round) {
    std::map<FlowIndex, int> asked;
    const auto nobody = [&](FlowIndex flow, const Frame&, bool) {
      ++asked[flow];
      return false;
    };
    REQUIRE_FALSE(queue.take(now, nobody, drops));
    CHECK(asked.size() == 300);
    for (const auto& [flow, times] : asked) REQUIRE(times == 1);
    const auto the_last = [](FlowIndex flow, const Frame&, bool) { return flow == 299; };
    if (round == 2) CHECK(queue.take(now, the_last, drops));
  }
  CHECK(queue.size() == 299);
}

TEST_CASE_METHOD(Fixture, "no delay below the target costs a frame", "[frame_queue]") {
  push(1, 1500, 4);
  for (int i = 0; i < 5000; ++i) {  // Four are queued at one a millisecond: just below 5 ms.
    now += milliseconds(1);
    push(1, 1500);
    REQUIRE(take().value().flow == 1);
  }
  CHECK(drops.of(Drop::aqm) == 0);
}

TEST_CASE_METHOD(Fixture, "a delay that stands costs a frame now and then, until it is gone",
                 "[frame_queue]") {
  push(1, 1500, 100);
  std::vector<std::int64_t> dropped_at;
  for (int ms = 1; ms < 2000 && !queue.empty(); ++ms) {
    now += milliseconds(1);
    push(1, 1500);
    const std::uint64_t before = drops.of(Drop::aqm);
    REQUIRE(take());
    if (drops.of(Drop::aqm) > before) dropped_at.push_back(ms);
    REQUIRE(drops.of(Drop::aqm) <= before + 1);
  }
  REQUIRE(dropped_at.size() > 50);
  // The frames pushed at 0 are 5 ms old at 5; an interval later is the first, then by the law.
  CHECK(std::vector<std::int64_t>(dropped_at.begin(), dropped_at.begin() + 5) ==
        std::vector<std::int64_t>{105, 205, 276, 334, 384});
  // One drop is one frame less that waits: the queue is down to where the target is, and stays.
  CHECK(queue.size() < 15);
  const std::uint64_t so_far = drops.of(Drop::aqm);
  for (int i = 0; i < 1000; ++i) {
    now += milliseconds(1);
    if (queue.size() < 4) push(1, 1500);
    take();
  }
  CHECK(drops.of(Drop::aqm) <= so_far + 5);
}

TEST_CASE_METHOD(Fixture, "with one frame behind there is no queue, however long it takes",
                 "[frame_queue]") {
  push(1, 1514);
  for (int i = 0; i < 100; ++i) {
    push(1, 1514);
    now += milliseconds(50);
    REQUIRE(take());
  }
  CHECK(drops.of(Drop::aqm) == 0);
}

TEST_CASE("a flow that the bound has emptied has no delay that stands", "[frame_queue]") {
  Fixture f(bounded(100'000, 1000));
  f.push(1, 1500, 4);
  f.now += milliseconds(10);
  REQUIRE(f.take());  // The delay is seen.
  f.queue.push(1, f.super_frame(60), f.now, f.drops);
  f.push(2, 45'000);
  REQUIRE(f.queue.frames_of(1) == 0);
  REQUIRE(f.take().value().flow == 2);
  f.now += milliseconds(300);
  f.push(1, 1500, 4);
  f.now += milliseconds(10);
  REQUIRE(f.take());
  CHECK(f.drops.of(Drop::aqm) == 0);
}

TEST_CASE_METHOD(Fixture, "CoDel is about one flow, its neighbours lose nothing", "[frame_queue]") {
  push(1, 1500, 2000);
  std::uint64_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    now += milliseconds(1);
    if (i % 10 == 0) push(2, 200);
    const auto taken = take();
    if (taken && taken->flow == 2) {
      ++sent;
      REQUIRE(taken->sojourn <= milliseconds(2));
    }
  }
  CHECK(sent == 100);
  CHECK(drops.of(Drop::aqm) > 10);
}

TEST_CASE_METHOD(Fixture, "after a drop the next frame of that flow is asked about",
                 "[frame_queue]") {
  push(1, 1000);
  for (std::uint32_t size = 1001; size < 1010; ++size) push(1, size);
  now += milliseconds(10);
  REQUIRE(take().value().frame.size == 1000);  // The delay is seen.
  now += milliseconds(200);
  std::vector<std::uint32_t> asked;
  const auto taken = queue.take(
      now,
      [&](FlowIndex, const Frame& head, bool) {
        asked.push_back(head.size);
        return true;
      },
      drops);
  CHECK(asked == std::vector<std::uint32_t>{1001, 1002});
  CHECK(taken.value().frame.size == 1002);
  CHECK(drops.of(Drop::aqm) == 1);
  CHECK(queue.frames_of(1) == 7);
}

TEST_CASE_METHOD(Fixture, "a yes is for one frame: after a drop the next may be refused",
                 "[frame_queue]") {
  push(1, 1000, 10);
  now += milliseconds(10);
  take();
  now += milliseconds(200);
  int asked = 0;
  CHECK_FALSE(queue.take(
      now, [&](FlowIndex, const Frame&, bool) { return ++asked == 1; }, drops));
  CHECK(asked == 2);
  CHECK(drops.of(Drop::aqm) == 1);
  CHECK(queue.size() == 8);
}

TEST_CASE_METHOD(Fixture, "who understands a mark gets one and loses nothing", "[frame_queue]") {
  push(1, 1500, 100, Ecn::capable);
  int marked = 0;
  for (int i = 0; i < 1000; ++i) {
    now += milliseconds(1);
    push(1, 1500, 1, Ecn::capable);
    const auto taken = take().value();
    marked += taken.marked;
    REQUIRE((taken.frame.bytes()[15] & 3) == (taken.marked ? 3 : 2));
  }
  CHECK(marked > 20);
  CHECK(marked < 100);
  CHECK(drops.of(Drop::aqm) == 0);
}

TEST_CASE_METHOD(Fixture, "who goes on in spite of marks is dropped from after all",
                 "[frame_queue]") {
  push(1, 1500, 500, Ecn::capable);
  Duration oldest_marked{}, youngest_dropped = Duration::max();
  for (int i = 0; i < 600; ++i) {
    now += milliseconds(1);
    const std::uint64_t before = drops.of(Drop::aqm);
    const auto taken = take();
    if (!taken) break;
    if (taken->marked) oldest_marked = std::max(oldest_marked, taken->sojourn);
    if (drops.of(Drop::aqm) > before) {
      youngest_dropped = std::min(youngest_dropped, taken->sojourn);
    }
  }
  CHECK(oldest_marked > milliseconds(300));
  CHECK(oldest_marked <= milliseconds(400));
  CHECK(youngest_dropped > milliseconds(400));
  CHECK(youngest_dropped < seconds(1));
}

TEST_CASE_METHOD(Fixture, "target and interval are those that were set", "[frame_queue]") {
  queue.set_codel(milliseconds(20), milliseconds(300));
  push(1, 1500, 100);
  std::int64_t first = 0;
  for (int ms = 1; ms < 1000 && first == 0; ++ms) {
    now += milliseconds(1);
    push(1, 1500);
    take();
    if (drops.of(Drop::aqm) > 0) first = ms;
  }
  CHECK(first == 320);
}

TEST_CASE_METHOD(Fixture, "a flow that gets another's index does not get its history",
                 "[frame_queue]") {
  const auto signals_in_300_ms = [&] {
    push(1, 1500, 40);
    const std::uint64_t before = drops.of(Drop::aqm);
    for (int i = 0; i < 300; ++i) {
      now += milliseconds(1);
      push(1, 1500);
      take();
    }
    const std::uint64_t after = drops.of(Drop::aqm);
    while (take()) {
    }
    return after - before;
  };
  CHECK(signals_in_300_ms() == 3);
  CHECK(signals_in_300_ms() == 4);  // Two more were needed after the first, so it begins with two.
  queue.forget(1);
  queue.forget(4000);  // Never had a frame.
  CHECK(signals_in_300_ms() == 3);
}

TEST_CASE_METHOD(Fixture, "a marked super-frame is one mark, a dropped one many drops",
                 "[frame_queue]") {
  const auto signals = [&](Ecn ecn) {
    std::vector<int> at;
    for (int i = 0; i < 20; ++i) queue.push(1, super_frame(20, ecn), now, drops);
    for (int ms = 1; ms <= 500; ++ms) {
      now += milliseconds(1);
      const std::uint64_t before = drops.of(Drop::aqm);
      if (queue.frames_of(1) < 20) queue.push(1, super_frame(20, ecn), now, drops);
      const auto taken = take().value();
      if (taken.marked || drops.of(Drop::aqm) > before) at.push_back(ms);
    }
    queue.clear(Drop::session_ended_sending, drops);
    return at;
  };
  CHECK(signals(Ecn::capable) == std::vector<int>{105, 205, 276, 334, 384, 429, 469});
  CHECK(drops.of(Drop::aqm) == 0);
  CHECK(signals(Ecn::incapable) == std::vector<int>{105});  // Twenty steps are 760 ms.
  CHECK(drops.of(Drop::aqm) == 1);
}

TEST_CASE("the flow with most bytes pays for the bound of bytes, from its head", "[frame_queue]") {
  Fixture f(bounded(100'000, 4096));
  f.push(1, 100, 100);  // 10,000 bytes in many frames.
  for (std::uint32_t i = 0; i < 60; ++i) f.push(2, 1400 + i);
  CHECK(f.drops.of(Drop::queue_full) == 0);
  CHECK(f.queue.bytes() == 10'000 + 60 * 1400 + 59 * 30);
  f.push(3, 1500, 3);
  // The third passes the bound; then half of flow 2 goes.
  CHECK(f.drops.of(Drop::queue_full) == 31);
  CHECK(f.queue.frames_of(1) == 100);
  CHECK(f.queue.frames_of(2) == 29);
  CHECK(f.queue.frames_of(3) == 3);
  std::uint32_t next = 1400 + 31;
  while (const auto taken = f.take()) {
    if (taken->flow == 2) CHECK(taken->frame.size == next++);
  }
  CHECK(next == 1400 + 60);
}

TEST_CASE("the flow with most bytes pays for the bound of frames too", "[frame_queue]") {
  Fixture f(bounded(4 << 20, 50));
  f.push(1, 100, 30);
  f.push(2, 1500, 20);
  CHECK(f.drops.of(Drop::queue_full) == 0);
  f.push(1, 100);
  CHECK(f.drops.of(Drop::queue_full) == 10);
  CHECK(f.queue.frames_of(1) == 31);
  CHECK(f.queue.frames_of(2) == 10);
  CHECK(f.queue.size() == 41);
}

TEST_CASE("no more than 64 packets are dropped at once", "[frame_queue]") {
  Fixture f(bounded(4 << 20, 1000));
  f.push(1, 1500, 1001);
  CHECK(f.drops.of(Drop::queue_full) == 64);
  CHECK(f.queue.size() == 937);
}

TEST_CASE("a super-frame counts by its segments when the bound drops", "[frame_queue]") {
  Fixture f(bounded(1 << 20, 1000));
  for (int i = 0; i < 45; ++i) f.queue.push(1, f.super_frame(30), f.now, f.drops);
  // Each time the bound is passed, three go: 64 segments are reached with the third.
  CHECK(f.drops.of(Drop::queue_full) == 12);
  CHECK(f.queue.size() == 33);
  CHECK(f.queue.bytes() == 33 * 30'054);
}

TEST_CASE("a frame larger than the bound is dropped and counted", "[frame_queue]") {
  Fixture f(bounded(1000, 10));
  f.push(1, 1500);
  CHECK(f.queue.empty());
  CHECK(f.drops.of(Drop::queue_full) == 1);
  CHECK_FALSE(f.take());
  f.push(1, 900);
  CHECK(f.take().value().frame.size == 900);
}

TEST_CASE_METHOD(Fixture, "what is cleared is counted and gives its slabs back", "[frame_queue]") {
  push(1, 1500, 20);
  push(2, 100, 20);
  take_but(1);
  CHECK(pool.in_use() == 39);
  queue.clear(Drop::no_usable_link, drops);
  CHECK(drops.of(Drop::no_usable_link) == 39);
  CHECK(pool.in_use() == 0);
  CHECK(queue.empty());
  CHECK(queue.bytes() == 0);
  CHECK(queue.frames_of(1) == 0);
  CHECK_FALSE(take());
  push(2, 100);
  push(1, 100);
  CHECK(order(2) == Flows{2, 1});
}

TEST_CASE("whatever happens, each frame is sent, counted as dropped or still there",
          "[frame_queue]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u, 4u);
  CAPTURE(seed);
  Prng prng(seed);
  Limits limits = bounded(200'000, 100);
  limits.flows = 40;
  Fixture f(limits);
  std::vector<std::deque<std::uint32_t>> model(limits.flows);  // Of each flow: numbers in order.
  std::uint64_t pushed = 0, taken_count = 0, marked = 0, cleared = 0;
  bool order_kept = true, refusals_kept = true, bounds_kept = true, counts_right = true;
  std::uint32_t number = 0;
  for (int step = 0; step < 50'000; ++step) {
    if (prng.chance(0.6)) f.now += microseconds(prng.below(3000));
    // Phases in which more comes than goes, and the other way round.
    const bool filling = (step / 2000) % 2 == 0;
    if (prng.chance(filling ? 0.6 : 0.3)) {
      const auto flow = static_cast<FlowIndex>(prng.below(prng.chance(0.5) ? 3 : limits.flows));
      const Ecn ecn = static_cast<Ecn>(prng.below(3));
      Frame frame = prng.chance(0.1)
                        ? f.super_frame(static_cast<std::uint32_t>(prng.between(2, 60)), ecn)
                        : f.frame(static_cast<std::uint32_t>(prng.between(60, 1514)), ecn);
      store_be32(frame.slab.data() + 40, ++number);
      model[flow].push_back(number);
      f.queue.push(flow, std::move(frame), f.now, f.drops);
      ++pushed;
    } else if (prng.chance(0.0005)) {
      const std::size_t size = f.queue.size();
      f.queue.clear(Drop::session_ended_sending, f.drops);
      cleared += size;
    } else {
      const std::uint64_t willing = prng.next();
      FlowIndex said_yes = UINT32_MAX;
      const auto taken = f.queue.take(
          f.now,
          [&](FlowIndex flow, const Frame& head, bool) {
            const bool yes = (willing >> (flow % 8) & 1) != 0;
            if (yes) said_yes = flow;
            counts_right &= head.size > 0 && f.queue.frames_of(flow) > 0;
            return yes;
          },
          f.drops);
      if (taken) {
        ++taken_count;
        marked += taken->marked;
        refusals_kept &= taken->flow == said_yes;
        const std::uint32_t got = load_be32(taken->frame.slab.data() + 40);
        std::deque<std::uint32_t>& flow = model[taken->flow];
        while (!flow.empty() && flow.front() < got) flow.pop_front();  // Dropped from the head.
        order_kept &= !flow.empty() && flow.front() == got;
        if (!flow.empty()) flow.pop_front();
      } else {
        // Nobody who may was left with frames.
        for (FlowIndex flow = 0; flow < limits.flows; ++flow) {
          refusals_kept &= f.queue.frames_of(flow) == 0 || (willing >> (flow % 8) & 1) == 0;
        }
      }
    }
    const std::uint64_t dropped = f.drops.of(Drop::queue_full) + f.drops.of(Drop::aqm) +
                                  f.drops.of(Drop::session_ended_sending);
    counts_right &= pushed == taken_count + dropped + f.queue.size();
    counts_right &= f.pool.in_use() == f.queue.size();
    std::size_t frames = 0;
    for (FlowIndex flow = 0; flow < limits.flows; ++flow) frames += f.queue.frames_of(flow);
    counts_right &= frames == f.queue.size() && (frames == 0) == (f.queue.bytes() == 0);
    bounds_kept &= f.queue.size() <= 100 && f.queue.bytes() <= 200'000;
    if (!(order_kept && refusals_kept && bounds_kept && counts_right)) {
      CAPTURE(step, order_kept, refusals_kept, bounds_kept, counts_right);
      FAIL();
    }
  }
  // It has seen everything.
  CHECK(taken_count > 10'000);
  CHECK(f.drops.of(Drop::queue_full) > 1000);
  CHECK(f.drops.of(Drop::aqm) > 100);
  CHECK(marked > 20);
  CHECK(cleared == f.drops.of(Drop::session_ended_sending));
  CHECK(cleared > 0);
}
