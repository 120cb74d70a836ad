#include "dataplane/in_lanes.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace mwtun;

static constexpr LaneId ordered{7};
static constexpr LaneId unordered{3100};

namespace {

/// Lanes with a pool of their own; what comes out is read as text.
struct Fixture {
  explicit Fixture(Limits l = {}) : limits(l), lanes(limits, pool, drops) {}
  void insert(LaneId lane, std::uint64_t sequence, const std::string& text,
              const char* flags = "fl", Instant arrived = Instant{}, std::uint64_t stamp = 0) {
    InChunk chunk;
    chunk.slab = pool.take();
    REQUIRE(chunk.slab);
    chunk.offset = 3;
    chunk.size = static_cast<std::uint16_t>(text.size());
    std::copy(text.begin(), text.end(), chunk.slab.data() + chunk.offset);
    const std::string set = flags;
    chunk.first = set.find('f') != std::string::npos;
    chunk.last = set.find('l') != std::string::npos;
    chunk.arrived = arrived;
    chunk.stamp = stamp;
    lanes.insert(lane, static_cast<std::uint32_t>(sequence & 0xffffff), std::move(chunk));
  }
  std::string out() {
    std::string all;
    while (lanes.ready()) {
      const Frame frame = lanes.take_ready();
      const Bytes bytes = frame.bytes();
      all += std::string(bytes.begin(), bytes.end()) + " ";
    }
    return all;
  }
  Limits limits;
  SlabPool pool{128, 40'000};
  DropCounters drops;
  InLanes lanes;
};

}  // namespace

TEST_CASE("frames in order leave at once and hold nothing", "[in_lanes]") {
  Fixture f;
  for (std::uint64_t i = 0; i < 100; ++i) {
    f.insert(ordered, i, std::to_string(i));
    CHECK(f.out() == std::to_string(i) + " ");
    CHECK(f.pool.in_use() == 0);
  }
  CHECK(f.lanes.held() == 0);
  CHECK(f.lanes.blocked_lanes() == 0);
  CHECK(f.lanes.deadline(seconds(1)) == never);
}

TEST_CASE("an ordered lane waits for its hole and then gives all in order", "[in_lanes]") {
  Fixture f;
  f.insert(ordered, 0, "a");
  f.insert(ordered, 2, "c");
  f.insert(ordered, 3, "d");
  CHECK(f.out() == "a ");
  CHECK(f.lanes.held() == 2);
  CHECK(f.lanes.held_frames() == 2);
  CHECK(f.lanes.blocked_lanes() == 1);
  f.insert(ordered, 1, "b");
  CHECK(f.out() == "b c d ");
  CHECK(f.lanes.held() == 0);
  CHECK(f.lanes.blocked_lanes() == 0);
}

TEST_CASE("a hole in one lane holds up no other", "[in_lanes]") {
  Fixture f;
  f.insert(ordered, 1, "late");
  f.insert(LaneId{8}, 0, "x");
  f.insert(unordered, 0, "y");
  CHECK(f.out() == "x y ");
}

TEST_CASE("a chunk that comes twice is dropped whether it waits, left or was passed",
          "[in_lanes]") {
  Fixture f;
  f.insert(ordered, 1, "b");
  f.insert(ordered, 1, "b");
  CHECK(f.drops.of(Drop::chunk_duplicate) == 1);
  f.insert(ordered, 0, "a");
  f.insert(ordered, 0, "a");
  f.insert(ordered, 1, "b");
  CHECK(f.drops.of(Drop::chunk_too_old) == 2);
  CHECK(f.out() == "a b ");
  CHECK(f.pool.in_use() == 0);
}

TEST_CASE("an unordered lane gives frames as they come, each once", "[in_lanes]") {
  Fixture f;
  f.insert(unordered, 5, "f");
  CHECK(f.out() == "f ");
  f.insert(unordered, 5, "f");
  f.insert(unordered, 0, "a");
  f.insert(unordered, 0, "a");
  f.insert(unordered, 3, "d");
  f.insert(unordered, 3, "d");
  CHECK(f.out() == "a d ");
  CHECK(f.drops.of(Drop::chunk_duplicate) + f.drops.of(Drop::chunk_too_old) == 3);
  CHECK(f.lanes.held() == 0);
  CHECK(f.lanes.blocked_lanes() == 0);
}

TEST_CASE("pieces are put together in any order of arrival, in both kinds of lane", "[in_lanes]") {
  const LaneId lane = GENERATE(ordered, unordered);
  std::vector<int> order = {0, 1, 2, 3};
  do {
    Fixture f;
    for (const int i : order) {
      const char* flags[] = {"f", "", "", "l"};
      f.insert(lane, static_cast<std::uint64_t>(i), std::string(1, static_cast<char>('a' + i)),
               flags[i]);
    }
    REQUIRE(f.out() == "abcd ");
    REQUIRE(f.pool.in_use() == 0);
    REQUIRE(f.lanes.held() == 0);
    REQUIRE(f.lanes.held_frames() == 0);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("two frames next to each other do not melt into one", "[in_lanes]") {
  const LaneId lane = GENERATE(ordered, unordered);
  // A first piece whose end is lost, right before another first piece.
  Fixture f;
  f.insert(lane, 0, "a", "f");
  f.insert(lane, 1, "b", "f");
  f.insert(lane, 2, "c", "l");
  CHECK(f.out() == "bc ");
  // And a last piece whose beginning is lost, in either order of arrival.
  Fixture g;
  g.insert(lane, 1, "b", "l");
  g.insert(lane, 0, "a", "fl");
  CHECK(g.out() == "a ");
  CHECK(g.drops.of(Drop::reassembly_broken) == 1);
  // The first piece comes after the broken one was looked at.
  Fixture h;
  h.insert(lane, 0, "a", "f");
  h.insert(lane, 2, "c", "l");
  h.insert(lane, 1, "b", "f");
  CHECK(h.out() == "bc ");
}

TEST_CASE("the offload data of a frame is that of its first piece", "[in_lanes]") {
  Fixture f;
  InChunk chunk;
  chunk.slab = f.pool.take();
  chunk.size = 1;
  chunk.first = true;
  chunk.offload.gso = Offload::Gso::udp;
  chunk.offload.gso_bytes = 99;
  f.lanes.insert(ordered, 0, std::move(chunk));
  f.insert(ordered, 1, "z", "l");
  REQUIRE(f.lanes.ready());
  CHECK(f.lanes.take_ready().offload.gso_bytes == 99);
}

TEST_CASE("a frame larger than a slab is dropped whole and counted", "[in_lanes]") {
  const LaneId lane = GENERATE(ordered, unordered);
  Fixture f;
  f.insert(lane, 0, std::string(100, 'x'), "f");
  f.insert(lane, 1, std::string(100, 'y'), "l");
  f.insert(lane, 2, "z");
  CHECK(f.out() == "z ");
  CHECK(f.drops.of(Drop::reassembly_full) == 1);
  CHECK(f.pool.in_use() == 0);
}

TEST_CASE("a floor passes what is missing and lets out what is whole", "[in_lanes]") {
  Fixture f;
  f.insert(ordered, 1, "b");
  f.insert(ordered, 2, "c");
  f.insert(ordered, 4, "e");
  f.lanes.floor(ordered, 1);
  CHECK(f.out() == "b c ");
  f.lanes.floor(ordered, 4);
  CHECK(f.out() == "e ");
  f.insert(ordered, 0, "a");
  f.insert(ordered, 3, "d");
  CHECK(f.out().empty());
  CHECK(f.drops.of(Drop::chunk_too_old) == 2);
  f.lanes.floor(ordered, 2);  // An old one, late.
  f.insert(ordered, 5, "f");
  CHECK(f.out() == "f ");
}

TEST_CASE("a floor over part of a frame drops the rest of its pieces", "[in_lanes]") {
  const LaneId lane = GENERATE(ordered, unordered);
  Fixture f;
  f.insert(lane, 0, "a", "f");
  f.insert(lane, 2, "c", "");
  f.insert(lane, 3, "d", "l");
  f.insert(lane, 4, "e");
  f.lanes.floor(lane, 2);
  CHECK(f.out() == "e ");
  CHECK(f.drops.of(Drop::reassembly_broken) == 3);
  CHECK(f.lanes.held() == 0);
  CHECK(f.pool.in_use() == 0);
}

TEST_CASE("a floor for a lane never heard of, or far ahead, costs nothing", "[in_lanes]") {
  Fixture f;
  f.lanes.floor(LaneId{4095}, 0x7fffff);
  f.insert(LaneId{4095}, 0x7fffff, "x");
  CHECK(f.out() == "x ");
  CHECK(f.lanes.held() == 0);
}

TEST_CASE("sequences go on over the end of their 24 bits", "[in_lanes]") {
  Fixture f;
  f.lanes.floor(ordered, 0x7fffff);
  f.lanes.floor(ordered, 0xfffffe);
  f.insert(ordered, 0x1000000, "c");
  f.insert(ordered, 0xffffff, "b");
  f.insert(ordered, 0xfffffe, "a");
  f.insert(ordered, 0x1000001, "d");
  CHECK(f.out() == "a b c d ");
}

TEST_CASE("a lane that runs a window ahead of its hole moves over it", "[in_lanes]") {
  Limits limits;
  limits.lane_window = 32;
  Fixture f(limits);
  for (std::uint64_t i = 1; i <= 31; ++i) f.insert(ordered, i, "x");
  CHECK(f.out().empty());
  f.insert(ordered, 32, "y");
  CHECK(f.lanes.held() == 0);
  CHECK(f.out().size() == 2 * 32);
  CHECK(f.drops.of(Drop::lane_overrun) == 1);
  CHECK(f.drops.of(Drop::hole_given_up) == 1);
  // Far ahead: everything between is a hole.
  f.insert(ordered, 1'000'000, "z");
  f.lanes.floor(ordered, 1'000'000);
  CHECK(f.out() == "z ");
}

TEST_CASE("the backstop lets a lane go exactly when its time is up", "[in_lanes]") {
  Fixture f;
  const Instant t0{seconds(10)};
  f.insert(ordered, 1, "b", "fl", t0);
  f.insert(ordered, 2, "c", "fl", t0 + milliseconds(5));
  f.insert(ordered, 4, "e", "fl", t0 + milliseconds(7));
  CHECK(f.lanes.deadline(milliseconds(50)) == t0 + milliseconds(50));
  f.lanes.expire(t0 + milliseconds(50) - nanoseconds(1), milliseconds(50));
  CHECK(f.out().empty());
  f.lanes.expire(t0 + milliseconds(50), milliseconds(50));
  CHECK(f.out() == "b c ");
  CHECK(f.drops.of(Drop::hole_given_up) == 1);
  // The next hole has its own time.
  CHECK(f.lanes.deadline(milliseconds(50)) == t0 + milliseconds(57));
  f.lanes.expire(t0 + milliseconds(57), milliseconds(50));
  CHECK(f.out() == "e ");
  CHECK(f.lanes.deadline(milliseconds(50)) == never);
}

TEST_CASE("a late loop lets every lane go whose time is up, in one call", "[in_lanes]") {
  Fixture f;
  for (std::uint16_t lane = 0; lane < 50; ++lane) {
    for (std::uint64_t s = 1; s < 20; s += 2)
      f.insert(LaneId{lane}, s, "x", "fl", Instant{seconds(lane)});
  }
  CHECK(f.lanes.blocked_lanes() == 50);
  f.lanes.expire(Instant{seconds(25)}, seconds(1));
  CHECK(f.lanes.blocked_lanes() == 25);
  f.lanes.expire(Instant{seconds(100)}, seconds(1));
  CHECK(f.lanes.blocked_lanes() == 0);
  CHECK(f.lanes.held() == 0);
  CHECK(f.out().size() == 2 * 50 * 10);
}

TEST_CASE("a half frame is given up by the backstop, even when nothing is behind it",
          "[in_lanes]") {
  const LaneId lane = GENERATE(ordered, unordered);
  Fixture f;
  f.insert(lane, 0, "a", "f", Instant{seconds(1)});
  CHECK(f.lanes.blocked_lanes() == 1);
  f.lanes.expire(Instant{seconds(2)}, milliseconds(10));
  CHECK(f.lanes.held() == 0);
  CHECK(f.pool.in_use() == 0);
  CHECK(f.drops.of(Drop::reassembly_broken) == 1);
}

TEST_CASE("a hole is proven once, by what was sent after the frame behind it", "[in_lanes]") {
  Fixture f;
  CHECK_FALSE(f.lanes.prove(UINT64_MAX));
  f.insert(ordered, 1, "b", "fl", Instant{}, 100);
  CHECK_FALSE(f.lanes.prove(100));
  CHECK(f.lanes.prove(101));
  CHECK_FALSE(f.lanes.prove(102));
  CHECK(f.out().empty());  // A proof asks for repair; it releases nothing.
  f.insert(ordered, 3, "d", "fl", Instant{}, 110);
  f.insert(ordered, 0, "a");
  CHECK_FALSE(f.lanes.prove(110));
  CHECK(f.lanes.prove(111));  // The next hole is another one.
}

TEST_CASE("what is held never passes its bound: the oldest hole gives way", "[in_lanes]") {
  Limits limits;
  limits.held_chunks = 64;
  Fixture f(limits);
  for (std::uint16_t i = 0; i < 2000; ++i) {
    const auto lane = static_cast<std::uint16_t>(i % 40);
    f.insert(LaneId{lane}, 1 + i / 40u, "x", "fl", Instant{milliseconds(i)});
    REQUIRE(f.lanes.held() <= 64);
    REQUIRE(f.pool.in_use() <= 64 + 2000);
  }
  f.out();
  CHECK(f.pool.in_use() == f.lanes.held());
}

TEST_CASE("more lanes than rings fit all carry frames in order and pieces", "[in_lanes]") {
  Limits limits;
  limits.held_chunks = 64;  // 256 slots: 16 lanes with the least ring.
  Fixture f(limits);
  for (std::uint64_t s = 0; s < 30; s += 3) {
    for (std::uint16_t lane = 0; lane < 300; ++lane) {
      f.insert(LaneId{lane}, s, "w");
      f.insert(LaneId{lane}, s + 1, "a", "f");
      f.insert(LaneId{lane}, s + 2, "b", "l");
      REQUIRE(f.out() == "w ab ");
    }
  }
  CHECK(f.drops.of(Drop::lane_overrun) == 0);
}

TEST_CASE("pieces without end are taken in time that does not grow with their number",
          "[in_lanes]") {
  // Quadratic work would be 10^9 steps here, and the test's own time limit would end it.
  const LaneId lane = GENERATE(ordered, unordered);
  Limits limits;
  limits.held_chunks = 32768;
  limits.lane_window = 32768;
  Fixture f(limits);
  f.insert(lane, 0, "a", "f");
  for (std::uint64_t s = 1; s < 30'000; ++s) f.insert(lane, s, "m", "");
  CHECK(f.lanes.held() == 30'000);
  CHECK(f.out().empty());
}
