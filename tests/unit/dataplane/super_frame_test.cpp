#include "super_frame_maker.hpp"

using namespace mwtun;
using namespace mwtun::testing;

TEST_CASE_METHOD(SuperFrameMaker, "what the headers tell is put into the offload data",
                 "[offload]") {
  const Kind kind = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
  INFO(kind);
  const Frame frame = make(kind, 5000, 1000);
  const InnerHeaders headers = *find_headers(frame.bytes());
  CHECK(headers.v6 == kind.v6);
  CHECK(headers.tcp == kind.tcp);
  CHECK(frame.offload.checksum_start == headers.transport_at);
  CHECK(frame.offload.checksum_offset == (kind.tcp ? 16 : 6));
  CHECK(frame.offload.gso == (!kind.tcp ? Offload::Gso::udp
                              : kind.v6 ? Offload::Gso::tcp6
                                        : Offload::Gso::tcp4));
  CHECK(frame.size - headers.payload_at == 5000);
  Frame settled = frame;
  CHECK(settle_offload(settled));
  CHECK(settled.offload == frame.offload);
}

TEST_CASE_METHOD(SuperFrameMaker, "a super-frame of one segment is an ordinary frame",
                 "[offload]") {
  const Frame frame = make(kinds[0], 1000, 1000);
  CHECK(frame.offload.gso == Offload::Gso::none);
  CHECK(frame.offload.gso_bytes == 0);
  CHECK(frame.offload.checksum_partial);
}

TEST_CASE_METHOD(SuperFrameMaker, "offload data that the headers do not bear out is refused",
                 "[offload]") {
  Frame frame = make(kinds[0], 3000, 1000);
  std::uint8_t* bytes = frame.slab.data();
  SECTION("another protocol") {
    bytes[14 + 9] = 47;
  }
  SECTION("a fragment") {
    store_be16(bytes + 14 + 6, 0x2000);
  }
  SECTION("a length that is not the frame's") {
    store_be16(bytes + 14 + 2, 100);
  }
  SECTION("a TCP header longer than the frame") {
    frame.size = 14 + 20 + 24;
  }
  SECTION("a TCP header shorter than any") {
    bytes[14 + 20 + 12] = 0x40;
  }
  SECTION("segments, and a checksum that is not partial") {
    frame.offload.checksum_partial = false;
  }
  SECTION("no IP at all") {
    store_be16(bytes + 12, 0x88b5);
  }
  CHECK_FALSE(rebuild_offload(frame));
}

TEST_CASE_METHOD(SuperFrameMaker, "the checksum of a packet within a packet is summed up",
                 "[offload]") {
  // To us this is GRE with something in it, whose checksum stands at 60 and covers all from 50.
  Frame frame;
  frame.slab = pool.take();
  frame.size = 101;
  std::memset(frame.slab.data(), 0x11, frame.size);
  store_be16(frame.slab.data() + 12, 0x0800);
  frame.slab.data()[14] = 0x45;
  frame.slab.data()[14 + 9] = 47;
  frame.offload.checksum_partial = true;
  frame.offload.checksum_start = 50;
  frame.offload.checksum_offset = 10;
  SECTION("where it is in the frame") {
    REQUIRE(settle_offload(frame));
    CHECK(frame.offload.plain());
    // The field covers itself: with what stood there as the start value the sum comes out as that.
    const std::uint32_t sum = sum_of(frame.bytes().subspan(50));
    CHECK((sum + 0x1111) % 0xffff == 0);
  }
  SECTION("but not outside of it") {
    frame.offload.checksum_offset = 50;
    CHECK_FALSE(settle_offload(frame));
  }
  SECTION("and not in segments") {
    frame.offload.gso = Offload::Gso::tcp4;
    frame.offload.gso_bytes = 10;
    CHECK_FALSE(settle_offload(frame));
  }
}

TEST_CASE_METHOD(SuperFrameMaker, "a completed checksum is right", "[offload]") {
  const Kind kind = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
  const std::size_t payload = GENERATE(0u, 1u, 7u, 8u, 1001u);
  INFO(kind << ", " << payload);
  Frame frame = make(kind, payload, 0);
  REQUIRE(complete_checksum(frame));
  CHECK(frame.offload.plain());
  const InnerHeaders headers = *find_headers(frame.bytes());
  CHECK(sum_of(frame.bytes().subspan(headers.transport_at),
               pseudo_header_sum(frame.bytes(), headers)) == 0xffff);
}

TEST_CASE_METHOD(SuperFrameMaker,
                 "the parts of a super-frame are what its sender's card would send", "[offload]") {
  const Kind kind = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
  const std::uint32_t part_bytes_max = GENERATE(0u, 4000u, 1u << 20);
  const std::size_t payload = GENERATE(5000u, 5300u, 60'000u);
  constexpr std::uint16_t segment = 1000;
  INFO(kind << ", " << part_bytes_max << ", " << payload);
  const Frame whole = make(kind, payload, segment);
  const InnerHeaders at = *find_headers(whole.bytes());
  const SuperFrameCutter cutter(whole, part_bytes_max);
  std::size_t from = 0;
  for (std::uint32_t i = 0; i < cutter.parts(); ++i) {
    std::optional<Frame> part = cutter.part(i, pool);
    REQUIRE(part.has_value());
    const std::size_t size = part->size - at.payload_at;
    const bool last = i + 1 == cutter.parts();
    // Whole segments, as many as fit, in order and without a hole.
    REQUIRE(size > 0);
    REQUIRE(from + size <= payload);
    if (!last) REQUIRE(size % segment == 0);
    CHECK((part->size <= part_bytes_max || size <= segment));
    const Bytes bytes = part->bytes();
    REQUIRE(std::memcmp(bytes.data() + at.payload_at, whole.bytes().data() + at.payload_at + from,
                        size) == 0);
    // Its headers are its own.
    Frame rebuilt = *part;
    CHECK((size > segment) == (part->offload.gso_bytes == segment));
    REQUIRE(rebuild_offload(rebuilt));
    CHECK(rebuilt.offload == part->offload);
    if (kind.v6) {
      CHECK(load_be16(bytes.data() + at.ip_at + 4) == part->size - at.ip_at - 40);
    } else {
      CHECK(load_be16(bytes.data() + at.ip_at + 2) == part->size - at.ip_at);
      CHECK(load_be16(bytes.data() + at.ip_at + 4) ==
            static_cast<std::uint16_t>(0xfffe + from / segment));
      CHECK(sum_of(bytes.subspan(at.ip_at, 20)) == 0xffff);
    }
    if (kind.tcp) {
      CHECK(load_be32(bytes.data() + at.transport_at + 4) ==
            static_cast<std::uint32_t>(0xfffffff0 + from));
      const unsigned flags = 0x10u | (from == 0 ? 0x80u : 0u) | (last ? 0x09u : 0u);
      CHECK(bytes[at.transport_at + 13u] == flags);
    } else {
      CHECK(load_be16(bytes.data() + at.transport_at + 4) == part->size - at.transport_at);
    }
    CHECK(load_be16(bytes.data() + at.transport_at + at.checksum_offset()) % 0xffff ==
          pseudo_header_sum(bytes, at) % 0xffff);
    from += size;
  }
  CHECK(from == payload);
}

TEST_CASE_METHOD(SuperFrameMaker, "without slabs a part is missing, and no more", "[offload]") {
  const Frame whole = make(kinds[0], 3000, 1000);
  const SuperFrameCutter cutter(whole, 0);
  std::vector<SlabRef> hoard;
  while (SlabRef slab = pool.take()) hoard.push_back(slab);
  CHECK_FALSE(cutter.part(0, pool).has_value());
  hoard.pop_back();
  CHECK(cutter.part(1, pool).has_value());
}

TEST_CASE_METHOD(SuperFrameMaker, "segments smaller than any kernel makes are refused",
                 "[offload]") {
  const Kind kind = GENERATE(kinds[0], kinds[4]);
  Frame frame = make(kind, 3000, 1000);
  frame.offload.gso_bytes = kind.tcp ? 47 : 23;  // 3000 / 23 is more than 128.
  CHECK_FALSE(rebuild_offload(frame));
  frame.offload.gso_bytes = kind.tcp ? 48 : 24;
  CHECK(rebuild_offload(frame));
}

TEST_CASE_METHOD(SuperFrameMaker, "a packet of another version than its EtherType is not TCP",
                 "[offload]") {
  const Frame frame = make(kinds[GENERATE(0u, 2u)], 100, 0);
  const InnerHeaders headers = *find_headers(frame.bytes());
  frame.slab.data()[headers.ip_at] ^= 0x20;
  CHECK_FALSE(find_headers(frame.bytes()).has_value());
}
