#include "dataplane/flow_table.hpp"

#include <catch2/catch.hpp>
#include <set>

using namespace mwtun;

static InnerFlow flow(std::uint32_t number, FlowKind kind = FlowKind::stream) {
  InnerFlow made;
  store_be32(made.key.bytes.data() + 20, number);
  made.kind = kind;
  return made;
}

static constexpr Instant start{seconds(100)};

/// A flow table beside the queue it looks at.
struct Table : FlowTable {
  Table(const Limits& limits, OutLanes& lanes) : FlowTable(limits, lanes, 1), queue(limits) {}
  Assignment assign(const InnerFlow& flow, Instant now) {
    return FlowTable::assign(find(flow, queue, now), 100, now);
  }
  FrameQueue queue;
};

TEST_CASE("a flow keeps its lane and no two flows share one", "[flow_table]") {
  const Limits limits;
  OutLanes lanes(limits);
  Table table(limits, lanes);
  std::set<LaneId> used;
  for (std::uint32_t i = 0; i < 3000; ++i) used.insert(table.assign(flow(i), start).lane);
  CHECK(used.size() == 3000);
  const LaneId lane = table.assign(flow(17), start).lane;
  CHECK(table.assign(flow(17), start + seconds(100)).lane == lane);
  CHECK(table.size() == 3000);
}

TEST_CASE("streams are ordered, urgent flows never are", "[flow_table]") {
  const Limits limits;
  OutLanes lanes(limits);
  Table table(limits, lanes);
  CHECK(wire::lane_ordered(table.assign(flow(1), start).lane));
  for (int i = 0; i < 1000; ++i) {
    const FlowTable::Assignment urgent = table.assign(flow(2, FlowKind::urgent), start);
    REQUIRE_FALSE(wire::lane_ordered(urgent.lane));
    REQUIRE_FALSE(urgent.pinned);
  }
}

TEST_CASE("the flow unused for longest makes room, and its lane can be taken again",
          "[flow_table]") {
  Limits limits;
  limits.flows = 3;
  OutLanes lanes(limits);
  Table table(limits, lanes);
  const LaneId first = table.assign(flow(1), start).lane;
  const LaneId second = table.assign(flow(2), start).lane;
  table.assign(flow(3), start);
  table.assign(flow(1), start);  // Used again: the second is the oldest now.
  table.assign(flow(4), start);
  CHECK(table.size() == 3);
  CHECK(table.assign(flow(1), start).lane == first);
  std::set<LaneId> free;
  while (const std::optional<LaneId> lane = lanes.take(true)) free.insert(*lane);
  CHECK(free.count(second) == 1);
  CHECK(free.count(first) == 0);
}

TEST_CASE("a table of one flow works", "[flow_table]") {
  Limits limits;
  limits.flows = 1;
  OutLanes lanes(limits);
  Table table(limits, lanes);
  for (std::uint32_t i = 0; i < 100; ++i) {
    table.assign(flow(i), start);
    CHECK(table.size() == 1);
  }
}

TEST_CASE("many evictions lose no lane", "[flow_table]") {
  Limits limits;
  limits.flows = 64;
  OutLanes lanes(limits);
  Table table(limits, lanes);
  for (std::uint32_t i = 0; i < 20'000; ++i) table.assign(flow(i * 7919u % 5000u), start);
  std::size_t free = 0;
  while (lanes.take(true)) ++free;
  CHECK(free == 3072 - 64);
}

TEST_CASE("flows share lanes when none is free, each always the same", "[flow_table]") {
  Limits limits;
  limits.ordered_lanes = 4;
  OutLanes lanes(limits);
  Table table(limits, lanes);
  std::vector<LaneId> given;
  for (std::uint32_t i = 0; i < 100; ++i) given.push_back(table.assign(flow(i), start).lane);
  std::set<LaneId> used;
  for (std::uint32_t i = 0; i < 100; ++i) {
    CHECK(table.assign(flow(i), start).lane == given[i]);
    CHECK(index_of(given[i]) < 4);
    used.insert(given[i]);
  }
  CHECK(used.size() == 4);
}

TEST_CASE("a flow that becomes fast keeps to its link until its old lane is empty",
          "[flow_table]") {
  const Limits limits;
  SlabPool pool(100, 4);
  OutLanes lanes(limits);
  Table table(limits, lanes);
  const InnerFlow slow = flow(5, FlowKind::other);
  FlowTable::Assignment at = table.assign(slow, start);
  const LaneId old = at.lane;
  CHECK_FALSE(wire::lane_ordered(old));
  CHECK(at.pinned);
  table.pin(at.entry, LinkId{3});
  Frame frame;
  frame.slab = pool.take();
  frame.size = 10;
  const ChunkIndex chunk = lanes.add(old, frame, 0, 10, start);
  for (int i = 0; i < 19; ++i) at = table.assign(slow, start + milliseconds(i));
  CHECK(at.lane == old);
  at = table.assign(slow, start + milliseconds(20));
  CHECK(wire::lane_ordered(at.lane));
  CHECK(at.pinned);
  CHECK(at.pin == LinkId{3});
  lanes.acknowledge(chunk);
  at = table.assign(slow, start + milliseconds(21));
  CHECK_FALSE(at.pinned);
  CHECK_FALSE(at.pin.has_value());
  CHECK(lanes.next_floor()->lane == old);
}

TEST_CASE("twenty frames a second, for however long, stay unordered", "[flow_table]") {
  const Limits limits;
  OutLanes lanes(limits);
  Table table(limits, lanes);
  for (int i = 0; i < 1000; ++i) {
    const auto at = table.assign(flow(5, FlowKind::other), start + milliseconds(50) * i);
    REQUIRE_FALSE(wire::lane_ordered(at.lane));
  }
}

TEST_CASE("a flow with frames that wait keeps its entry, however old it is", "[flow_table]") {
  Limits limits;
  limits.flows = 4;
  OutLanes lanes(limits);
  SlabPool slabs(2048, 16);
  Table table(limits, lanes);
  DropCounters drops;
  for (std::uint32_t i = 0; i < 4; ++i) table.assign(flow(i), start);
  const FlowIndex oldest = table.find(flow(0), table.queue, start);
  const LaneId lane = table.look(oldest).lane;
  table.queue.push(oldest, {slabs.take(), 0, 100, {}}, start, drops);
  for (std::uint32_t i = 10; i < 30; ++i) {
    CHECK(table.find(flow(i), table.queue, start) != oldest);
    CHECK(table.find(flow(0), table.queue, start) == oldest);
  }
  CHECK(table.look(oldest).lane == lane);
  // When all have frames that wait, a new flow shares one with them.
  for (FlowIndex i = 0; i < 4; ++i) {
    if (i != oldest) table.queue.push(i, {slabs.take(), 0, 100, {}}, start, drops);
  }
  const FlowIndex shared = table.find(flow(99), table.queue, start);
  CHECK(shared < 4);
  CHECK(table.find(flow(99), table.queue, start) == shared);
  CHECK(table.find(flow(0), table.queue, start) == oldest);
}
