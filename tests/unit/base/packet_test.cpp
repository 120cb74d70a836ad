#include "base/packet.hpp"

#include <catch2/catch.hpp>
#include <vector>

using namespace mwtun;

TEST_CASE("a pool never gives more slabs than its bound", "[packet]") {
  SlabPool pool(2048, 5);
  std::vector<SlabRef> taken;
  for (int i = 0; i < 5; ++i) {
    taken.push_back(pool.take());
    REQUIRE(taken.back());
  }
  CHECK_FALSE(pool.take());
  CHECK(pool.in_use() == 5);
  taken.pop_back();
  CHECK(pool.in_use() == 4);
  CHECK(pool.take());
}

TEST_CASE("a slab is used again before the pool grows", "[packet]") {
  SlabPool pool(65536, 1000);
  const std::uint8_t* first = nullptr;
  for (int i = 0; i < 1000; ++i) {
    const SlabRef slab = pool.take();
    if (first == nullptr) first = slab.data();
    CHECK(slab.data() == first);
  }
  CHECK(pool.grown() < 1000);
  CHECK(pool.in_use() == 0);
}

TEST_CASE("slabs that are out together do not overlap", "[packet]") {
  SlabPool pool(100, 64);
  std::vector<SlabRef> taken;
  for (std::uint8_t i = 0; i < 64; ++i) {
    taken.push_back(pool.take());
    REQUIRE(taken.back().capacity() == 100);
    std::memset(taken.back().data(), i, 100);
  }
  for (std::uint8_t i = 0; i < 64; ++i) {
    CHECK(taken[i].data()[0] == i);
    CHECK(taken[i].data()[99] == i);
  }
}

TEST_CASE("a slab goes back when its last reference does, and not before", "[packet]") {
  SlabPool pool(64, 1);
  SlabRef one = pool.take();
  SlabRef two = one;
  SlabRef three;
  three = two;
  CHECK(pool.in_use() == 1);
  one.reset();
  two = SlabRef{};
  CHECK(pool.in_use() == 1);
  CHECK_FALSE(pool.take());
  const SlabRef moved = std::move(three);
  CHECK(moved);
  CHECK_FALSE(three);
  CHECK(pool.in_use() == 1);
  three.reset();
  CHECK(pool.in_use() == 1);
}

TEST_CASE("assigning a reference to itself keeps the slab", "[packet]") {
  SlabPool pool(64, 1);
  SlabRef slab = pool.take();
  SlabRef& alias = slab;
  slab = alias;
  CHECK(slab);
  CHECK(pool.in_use() == 1);
}

TEST_CASE("a frame is a slice of its slab, and plain without offload data", "[packet]") {
  SlabPool pool(64, 1);
  Frame frame;
  frame.slab = pool.take();
  frame.offset = 8;
  frame.size = 4;
  frame.mutable_bytes()[0] = 0x5a;
  CHECK(frame.slab.data()[8] == 0x5a);
  CHECK(frame.bytes().size() == 4);
  CHECK(frame.offload.plain());
  frame.offload.checksum_partial = true;
  CHECK_FALSE(frame.offload.plain());
}

TEST_CASE("a slab for more bytes comes from the next larger pool", "[packet]") {
  SlabPool large(5000, 1), medium(1000, 2), small(100, 1);
  medium.set_larger(large);
  small.set_larger(medium);
  CHECK(small.slab_bytes_max() == 5000);
  SlabRef a = small.take(std::size_t{100});
  SlabRef b = small.take(101);
  SlabRef c = small.take(5000);
  CHECK(a.capacity() == 100);
  CHECK(b.capacity() == 1000);
  CHECK(c.capacity() == 5000);
  // The large ones are not used up by what is small, but stand in for one another.
  CHECK_FALSE(small.take(std::size_t{1}));
  SlabRef d = small.take(1000);
  CHECK(d.capacity() == 1000);
  CHECK_FALSE(small.take(1000));
  c.reset();
  SlabRef e = small.take(1000);
  CHECK(e.capacity() == 5000);
  e.reset();
  CHECK(small.take(1001));
  CHECK_FALSE(small.take(5001));
}
