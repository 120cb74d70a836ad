#include "dataplane/out_lanes.hpp"

#include <catch2/catch.hpp>
#include <vector>

using namespace mwtun;

namespace {

struct Fixture {
  explicit Fixture(Limits l = {}) : lanes(l) {}
  Frame frame(std::uint32_t size = 100) {
    Frame made;
    made.slab = pool.take();
    made.size = size;
    return made;
  }
  ChunkIndex whole(LaneId lane) { return lanes.add(lane, frame(), 0, 100, Instant{}); }
  /// A frame of `pieces` times ten bytes, of which the first `cut` are added.
  std::vector<ChunkIndex> pieces(LaneId lane, std::uint32_t count, std::uint32_t cut) {
    const Frame whole_frame = frame(count * 10);
    std::vector<ChunkIndex> all;
    for (std::uint32_t i = 0; i < cut; ++i) {
      all.push_back(lanes.add(lane, whole_frame, i * 10, 10, Instant{}));
    }
    return all;
  }
  SlabPool pool{1000, 1000};
  OutLanes lanes;
};

}  // namespace

TEST_CASE("a lane numbers its chunks one by one and marks a frame's ends", "[out_lanes]") {
  Fixture f;
  const LaneId lane = f.lanes.take(true).value();
  const std::vector<ChunkIndex> three = f.pieces(lane, 3, 3);
  for (std::uint64_t i = 0; i < 3; ++i) {
    CHECK(f.lanes[three[i]].sequence == i);
    CHECK(f.lanes[three[i]].first == (i == 0));
    CHECK(f.lanes[three[i]].last == (i == 2));
  }
  CHECK(f.lanes.unresolved() == 3);
  CHECK(f.lanes.oldest() == three[0]);
  CHECK_FALSE(f.lanes.idle(lane));
}

TEST_CASE("an acknowledged chunk lets its slab go at once and itself when nothing holds it",
          "[out_lanes]") {
  Fixture f;
  const LaneId lane = f.lanes.take(true).value();
  const ChunkIndex chunk = f.whole(lane);
  f.lanes.hold(chunk);
  f.lanes.hold(chunk);
  f.lanes.acknowledge(chunk);
  f.lanes.acknowledge(chunk);
  CHECK(f.pool.in_use() == 0);
  CHECK(f.lanes.unresolved() == 0);
  f.lanes.release(chunk);
  CHECK(f.whole(lane) != chunk);
  f.lanes.release(chunk);
  CHECK(f.whole(lane) == chunk);
}

TEST_CASE("a lane is taken again only when its floor is acknowledged", "[out_lanes]") {
  Limits limits;
  limits.ordered_lanes = 1;
  Fixture f(limits);
  const LaneId lane = f.lanes.take(true).value();
  CHECK_FALSE(f.lanes.take(true).has_value());
  const ChunkIndex chunk = f.whole(lane);
  f.lanes.retire(lane);
  CHECK_FALSE(f.lanes.floors_due());  // Still on its way.
  f.lanes.acknowledge(chunk);
  const std::optional<OutLanes::Floor> floor = f.lanes.next_floor();
  REQUIRE(floor.has_value());
  CHECK(floor->lane == lane);
  CHECK(floor->sequence == 1);
  CHECK_FALSE(f.lanes.take(true).has_value());
  f.lanes.floor_acknowledged(*floor);
  CHECK(f.lanes.take(true) == lane);
  CHECK(f.lanes[f.whole(lane)].sequence == 1);  // Sequences go on.
}

TEST_CASE("a floor that was lost is told again, and not once it is known", "[out_lanes]") {
  Fixture f;
  const LaneId lane = f.lanes.take(true).value();
  const ChunkIndex chunk = f.whole(lane);
  f.lanes.give_up_frame(chunk);
  const OutLanes::Floor told = f.lanes.next_floor().value();
  CHECK_FALSE(f.lanes.floors_due());
  f.lanes.floor_lost(told);
  CHECK(f.lanes.next_floor()->sequence == 1);
  f.lanes.floor_acknowledged(told);
  f.lanes.floor_lost(told);
  CHECK_FALSE(f.lanes.floors_due());
}

TEST_CASE("a lane never used is free at once", "[out_lanes]") {
  Limits limits;
  limits.unordered_lanes = 1;
  Fixture f(limits);
  const LaneId lane = f.lanes.take(false).value();
  CHECK(value_of(lane) == wire::unordered_lanes_from);
  f.lanes.retire(lane);
  CHECK_FALSE(f.lanes.floors_due());
  CHECK(f.lanes.take(false) == lane);
}

TEST_CASE("every lane can be taken once, and freed ones go round", "[out_lanes]") {
  Fixture f;
  for (std::uint16_t i = 0; i < 3072; ++i) REQUIRE(f.lanes.take(true) == LaneId{i});
  REQUIRE_FALSE(f.lanes.take(true).has_value());
  f.lanes.retire(LaneId{9});
  f.lanes.retire(LaneId{3});
  CHECK(f.lanes.take(true) == LaneId{9});
  CHECK(f.lanes.take(true) == LaneId{3});
}

TEST_CASE("giving up one piece gives up all of its frame and nothing of another", "[out_lanes]") {
  Fixture f;
  const LaneId lane = f.lanes.take(true).value();
  const ChunkIndex before = f.whole(lane);
  const std::vector<ChunkIndex> frame = f.pieces(lane, 4, 4);
  const ChunkIndex after = f.whole(lane);
  const std::size_t which = GENERATE(0u, 1u, 2u, 3u);
  CHECK_FALSE(f.lanes.give_up_frame(frame[which]));
  CHECK(f.lanes.unresolved() == 2);
  CHECK_FALSE(f.lanes[before].resolved);
  CHECK_FALSE(f.lanes[after].resolved);
  CHECK_FALSE(f.lanes.give_up_frame(frame[which]));
  // The floor must not pass what may still come.
  CHECK_FALSE(f.lanes.floors_due());
  f.lanes.acknowledge(before);
  CHECK(f.lanes.next_floor()->sequence == 5);
}

TEST_CASE("pieces around an acknowledged one are given up with the frame", "[out_lanes]") {
  Fixture f;
  const LaneId lane = f.lanes.take(true).value();
  const std::vector<ChunkIndex> frame = f.pieces(lane, 4, 4);
  f.lanes.acknowledge(frame[1]);
  CHECK_FALSE(f.lanes.give_up_frame(frame[3]));
  CHECK(f.lanes.unresolved() == 0);
  CHECK(f.lanes.next_floor()->sequence == 4);
}

TEST_CASE("giving up a frame that is still being cut says so", "[out_lanes]") {
  Fixture f;
  const LaneId lane = f.lanes.take(true).value();
  const std::vector<ChunkIndex> cut = f.pieces(lane, 5, 3);
  const bool acknowledged = GENERATE(false, true);
  if (acknowledged) f.lanes.acknowledge(cut[2]);
  CHECK(f.lanes.give_up_frame(cut[0]));
  // The next frame begins anew.
  const ChunkIndex next = f.whole(lane);
  CHECK_FALSE(f.lanes.give_up_frame(next));
}

TEST_CASE("abandoning counts frames, not pieces", "[out_lanes]") {
  Fixture f;
  const LaneId one = f.lanes.take(true).value(), two = f.lanes.take(false).value();
  f.pieces(one, 4, 4);
  f.whole(two);
  f.pieces(one, 9, 2);
  CHECK(f.lanes.abandon_all() == 3);
  CHECK(f.lanes.unresolved() == 0);
  CHECK(f.lanes.oldest() == no_chunk);
  CHECK(f.pool.in_use() == 0);
}

TEST_CASE("the bounds on chunks are told before they are passed", "[out_lanes]") {
  Limits limits;
  limits.chunks_unacknowledged = 4;
  Fixture f(limits);
  const LaneId lane = f.lanes.take(true).value();
  for (int i = 0; i < 4; ++i) {
    CHECK_FALSE(f.lanes.full());
    f.lanes.hold(f.whole(lane));
  }
  CHECK(f.lanes.full());
  for (int i = 0; i < 4; ++i) {
    f.lanes.give_up_frame(f.lanes.oldest());
    CHECK_FALSE(f.lanes.exhausted());
    f.lanes.hold(f.whole(lane));
  }
  CHECK(f.lanes.exhausted());
}
