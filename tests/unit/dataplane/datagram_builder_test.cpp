#include "dataplane/datagram_builder.hpp"

#include <catch2/catch.hpp>
#include <vector>

using namespace mwtun;

static std::vector<std::uint8_t> joined(DatagramBuilder& builder) {
  std::vector<std::uint8_t> bytes;
  for (const Bytes piece : builder.content()) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

TEST_CASE("slices of slabs stand in a datagram where they were added, copied or not") {
  SlabPool slabs(2048, 8);
  SlabRef slab = slabs.take();
  for (std::size_t i = 0; i < slab.capacity(); ++i) slab.data()[i] = static_cast<std::uint8_t>(i);
  for (const std::size_t size : {std::size_t{1}, std::size_t{511}, std::size_t{512}}) {
    DatagramBuilder builder;
    builder.start(4096, 0x010203);
    std::vector<std::uint8_t> expected{3, 2, 1};
    for (std::uint8_t i = 0; i < 5; ++i) {  // More than are kept.
      builder.write([&](Writer& out) { out.u8(0xa0u + i); });
      builder.add_slice(slab, {slab.data() + i, size});
      expected.push_back(static_cast<std::uint8_t>(0xa0 + i));
      expected.insert(expected.end(), slab.data() + i, slab.data() + i + size);
      CHECK(builder.content_bytes() == expected.size());
      CHECK(builder.room() == 4096 - wire::header_bytes - wire::tag_bytes - expected.size());
    }
    builder.write([&](Writer& out) { out.u16(0xbbbb); });
    expected.insert(expected.end(), {0xbb, 0xbb});
    CHECK(joined(builder) == expected);
    builder.finish();
  }
}

TEST_CASE("a slab is held until the datagram it is part of is finished, and no longer") {
  SlabPool slabs(2048, 1);
  DatagramBuilder builder;
  builder.start(1452, 0);
  {
    const SlabRef slab = slabs.take();
    builder.add_slice(slab, {slab.data(), 1000});
  }
  CHECK(slabs.in_use() == 1);
  builder.finish();
  CHECK(slabs.in_use() == 0);
}

TEST_CASE("a probe is filled to its size behind what was kept") {
  SlabPool slabs(2048, 1);
  const SlabRef slab = slabs.take();
  DatagramBuilder builder;
  builder.start(1452, 0);
  builder.add_slice(slab, {slab.data(), 700});
  builder.pad_as_probe();
  CHECK(builder.room() == 0);
  CHECK(joined(builder).size() == 1452 - wire::header_bytes - wire::tag_bytes);
}
