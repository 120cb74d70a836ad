#include <algorithm>

#include "dataplane/in_lanes.hpp"
#include "dataplane/wire.hpp"
#include "support/seeded_entropy.hpp"
#include "super_frame_maker.hpp"

using namespace mwtun;
using namespace mwtun::testing;
using test::SeededEntropy;

namespace {

constexpr std::uint16_t segment = 1000;
constexpr std::uint32_t piece_bytes = 1300;
constexpr LaneId lane{5};

/// A super-frame in pieces, some of them told as holes.
struct Fixture : SuperFrameMaker {
  DropCounters drops;
  InLanes lanes{Limits{}, pool, drops};

  static std::uint32_t pieces_of(const Frame& frame) {
    return (frame.size + piece_bytes - 1) / piece_bytes;
  }

  void insert(const Frame& frame, std::uint32_t index, bool hole) {
    insert(frame, index, hole, index);
  }
  void insert(const Frame& frame, std::uint32_t index, bool hole, std::uint32_t sequence) {
    InChunk chunk;
    chunk.slab = frame.slab;
    chunk.offset = index * piece_bytes;
    chunk.size = static_cast<std::uint16_t>(std::min(piece_bytes, frame.size - chunk.offset));
    chunk.first = index == 0;
    chunk.last = index + 1 == pieces_of(frame);
    chunk.hole = hole;
    if (chunk.first) {
      chunk.offload.checksum_partial = true;
      chunk.offload.gso_bytes = segment;
    }
    if (hole && chunk.first) chunk.header_bytes = find_headers(frame.bytes())->payload_at;
    if (hole && !chunk.first) chunk.slab.reset();
    lanes.insert(lane, sequence, std::move(chunk));
  }

  /// Delivers what is there and says which bytes of the payload came.
  std::vector<bool> arrived(const Frame& whole) {
    const InnerHeaders at = *find_headers(whole.bytes());
    std::vector<bool> here(whole.size - at.payload_at);
    while (lanes.ready()) {
      Frame frame = lanes.take_ready();
      REQUIRE(rebuild_offload(frame));
      REQUIRE(find_headers(frame.bytes())->payload_at == at.payload_at);
      const std::uint32_t size = frame.size - at.payload_at;
      std::uint32_t from = 0;
      if (at.tcp) {
        from = load_be32(frame.bytes().data() + at.transport_at + 4) - 0xfffffff0;
      } else {
        // Datagrams tell their place by their contents.
        while (std::memcmp(frame.bytes().data() + at.payload_at,
                           whole.bytes().data() + at.payload_at + from,
                           std::min<std::size_t>(size, segment)) != 0) {
          from += segment;
          REQUIRE(from < here.size());
        }
        CHECK((size % segment == 0 || from + size == here.size()));
      }
      REQUIRE(from + size <= here.size());
      CHECK(std::memcmp(frame.bytes().data() + at.payload_at,
                        whole.bytes().data() + at.payload_at + from, size) == 0);
      CHECK(load_be16(frame.bytes().data() + at.transport_at + at.checksum_offset()) % 0xffff ==
            pseudo_header_sum(frame.bytes(), at) % 0xffff);
      for (std::uint32_t i = from; i < from + size; ++i) {
        CHECK_FALSE(here[i]);
        here[i] = true;
      }
    }
    return here;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a super-frame that lost a piece arrives but for that piece", "[hole]") {
  const Kind kind = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
  const Frame whole = make(kind, 8600, segment);
  const InnerHeaders at = *find_headers(whole.bytes());
  const std::uint32_t pieces = pieces_of(whole);
  const std::uint32_t lost = GENERATE(range(0u, 7u));
  INFO(kind << ", piece " << lost << " of " << pieces);
  REQUIRE(lost < pieces);
  for (std::uint32_t i = 0; i < pieces; ++i) insert(whole, i, i == lost);
  const std::vector<bool> here = arrived(whole);
  const std::uint32_t lost_from = std::max(lost * piece_bytes, std::uint32_t{at.payload_at});
  const std::uint32_t lost_bytes = std::min((lost + 1) * piece_bytes, whole.size) - lost_from;
  const auto missing = static_cast<std::uint32_t>(std::count(here.begin(), here.end(), false));
  if (kind.tcp) {
    CHECK(missing == lost_bytes);
  } else {
    // The datagrams it touched.
    CHECK(missing <= lost_bytes + 2 * segment);
  }
  for (std::uint32_t i = 0; i < lost_bytes; ++i) CHECK_FALSE(here[lost_from - at.payload_at + i]);
}

TEST_CASE_METHOD(Fixture, "of pieces lost at random TCP misses their bytes, UDP at most twice them",
                 "[hole]") {
  const Kind kind = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
  SeededEntropy entropy(GENERATE(1u, 2u));
  std::uint64_t lost_bytes = 0, missing = 0;
  std::uint32_t sequence = 0;
  for (int i = 0; i < 50; ++i) {
    const Frame whole = make(kind, 11'000, segment);
    const InnerHeaders at = *find_headers(whole.bytes());
    for (std::uint32_t piece = 0; piece < pieces_of(whole); ++piece) {
      const bool lost = entropy.u64() % 100 == 0;
      insert(whole, piece, lost, sequence++);
      const std::uint32_t from = piece * piece_bytes;
      if (!lost) continue;
      lost_bytes += std::min(from + piece_bytes, whole.size) - from;
      if (piece == 0) lost_bytes -= at.payload_at;
    }
    const std::vector<bool> here = arrived(whole);
    missing += static_cast<std::uint64_t>(std::count(here.begin(), here.end(), false));
  }
  INFO(kind << ": " << missing << " of " << lost_bytes);
  REQUIRE(lost_bytes > 0);
  CHECK(missing >= lost_bytes);
  CHECK(missing <= (kind.tcp ? lost_bytes : 2 * lost_bytes));
}

TEST_CASE_METHOD(Fixture, "each stretch between several holes arrives", "[hole]") {
  const Frame whole = make(kinds[0], 20'000, segment);
  const InnerHeaders at = *find_headers(whole.bytes());
  const std::uint32_t pieces = pieces_of(whole);
  for (std::uint32_t i = 0; i < pieces; ++i) insert(whole, i, i % 5 == 0 || i % 5 == 1);
  const std::vector<bool> here = arrived(whole);
  for (std::uint32_t i = 0; i < here.size(); ++i) {
    const std::uint32_t piece = (i + at.payload_at) / piece_bytes % 5;
    CHECK(here[i] == (piece > 1));
  }
  CHECK(drops.of(Drop::reassembly_broken) == 0);
}

TEST_CASE_METHOD(Fixture, "what comes after all in place of a hole is a duplicate", "[hole]") {
  const Frame whole = make(kinds[0], 3000, segment);
  insert(whole, 0, false);
  insert(whole, 1, true);
  insert(whole, 1, false);
  CHECK(drops.of(Drop::chunk_duplicate) == 1);
  insert(whole, 2, false);
  CHECK(lanes.ready());
  CHECK(lanes.held() == 0);
}

TEST_CASE_METHOD(Fixture, "holes whose headers are no headers deliver nothing", "[hole]") {
  Frame whole = make(kinds[0], 3000, segment);
  SECTION("another length than the frame's") {
    store_be16(whole.slab.data() + 14 + 2, 77);
  }
  SECTION("no TCP") {
    whole.slab.data()[14 + 9] = 99;
  }
  for (std::uint32_t i = 0; i < 3; ++i) {
    InChunk chunk;
    chunk.slab = whole.slab;
    chunk.offset = i * piece_bytes;
    chunk.size = static_cast<std::uint16_t>(std::min(piece_bytes, whole.size - chunk.offset));
    chunk.first = i == 0;
    chunk.last = i == 2;
    chunk.hole = i == 1;
    if (i == 0) chunk.offload = whole.offload;
    lanes.insert(lane, i, std::move(chunk));
  }
  CHECK_FALSE(lanes.ready());
  CHECK(drops.of(Drop::reassembly_broken) == 1);
}

TEST_CASE("a hole comes back from the wire as it went", "[hole]") {
  const std::vector<std::uint8_t> headers(66, 7);
  wire::Hole hole{
      .lane = LaneId{3071}, .sequence_low = 0xabcdef, .last = true, .bytes = 1400, .headers = {}};
  if (GENERATE(true, false)) {
    hole.first = true;
    hole.gso_bytes = 1448;
    hole.headers = headers;
  }
  std::array<std::uint8_t, 300> room{};
  Writer out(room);
  wire::write_hole(out, hole);
  CHECK(out.size() == wire::hole_bytes + (hole.first ? 2 + headers.size() : 0));
  Reader in(out.written());
  wire::ParsedChunk chunk;
  REQUIRE(wire::next_chunk(in, chunk) == wire::Next::chunk);
  REQUIRE(chunk.type == wire::Chunk::hole);
  const std::optional<wire::Hole> read = wire::read_hole(chunk.body);
  REQUIRE(read.has_value());
  CHECK(read->lane == hole.lane);
  CHECK(read->sequence_low == hole.sequence_low);
  CHECK(read->first == hole.first);
  CHECK(read->last == hole.last);
  CHECK(read->bytes == hole.bytes);
  CHECK(read->gso_bytes == hole.gso_bytes);
  CHECK(std::equal(read->headers.begin(), read->headers.end(), hole.headers.begin(),
                   hole.headers.end()));
  if (!hole.first) {
    CHECK_FALSE(wire::read_hole(chunk.body.first(chunk.body.size() - 1)).has_value());
  }
}

TEST_CASE("a hole that cannot be is refused", "[hole]") {
  // Lane, sequence, flags, bytes; of a first one gso and headers.
  std::vector<std::uint8_t> body = {5, 0, 1, 2, 3, 1, 20, 0, 0xa8, 5, 9, 9};
  REQUIRE(wire::read_hole(body).has_value());
  SECTION("a lane that there is not") {
    body[1] = 0x10;
  }
  SECTION("flags that are not defined") {
    body[5] = 5;
  }
  SECTION("nothing") {
    body[6] = 0;
  }
  SECTION("more headers than bytes") {
    body[6] = 1;
  }
  SECTION("segments of nothing") {
    body[8] = body[9] = 0;
  }
  SECTION("more than it says") {
    body[5] = 0;
  }
  CHECK_FALSE(wire::read_hole(body).has_value());
}
