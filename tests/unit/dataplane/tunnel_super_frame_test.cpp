#include "quiet_pair.hpp"
#include "super_frame_maker.hpp"

using namespace mwtun;
using namespace mwtun::test;
using namespace mwtun::testing;

namespace {

constexpr std::uint16_t segment = 1000;
constexpr std::uint32_t payload_bytes = 30'000;

/// What came of the TCP super-frames of SuperFrameMaker, by the sequence they begin with.
struct Received {
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(payload_bytes);
  std::vector<int> times = std::vector<int>(payload_bytes);
  std::uint32_t frames = 0, super_frames = 0, plain = 0;

  void add(const Frame& frame) {
    const InnerHeaders at = *find_headers(frame.bytes());
    const std::uint32_t from = load_be32(frame.bytes().data() + at.transport_at + 4) - 0xfffffff0;
    const std::uint32_t size = frame.size - at.payload_at;
    REQUIRE(from + size <= payload_bytes);
    for (std::uint32_t i = 0; i < size; ++i) {
      bytes[from + i] = frame.bytes()[at.payload_at + i];
      ++times[from + i];
    }
    ++frames;
    super_frames += frame.offload.gso != Offload::Gso::none;
    plain += frame.offload.plain();
    if (frame.offload.plain()) {
      CHECK(sum_of(frame.bytes().subspan(at.transport_at), pseudo_header_sum(frame.bytes(), at)) ==
            0xffff);
    }
  }
  bool all_once() const {
    return std::all_of(times.begin(), times.end(), [](int count) { return count == 1; });
  }
  bool same_as(const Frame& whole) const {
    const InnerHeaders at = *find_headers(whole.bytes());
    return std::equal(bytes.begin(), bytes.end(), whole.bytes().begin() + at.payload_at);
  }
};

}  // namespace

TEST_CASE("a super-frame comes out as super-frames, whatever it was cut into", "[offload]") {
  SuperFrameMaker maker;
  QuietPair pair;
  Received received;
  pair.on_frame = [&](std::size_t end, const Frame& frame) {
    if (end == 1) received.add(frame);
  };
  const Frame whole = maker.make(kinds[GENERATE(0u, 1u, 2u)], payload_bytes, segment);
  pair.send_frame(0, whole);
  pair.run(milliseconds(300));
  CHECK(received.all_once());
  CHECK(received.same_as(whole));
  CHECK(received.super_frames == received.frames);
  // Links of which nothing is known are slow: two segments at a time.
  CHECK(received.frames <= payload_bytes / segment / 2);
  CHECK(pair.frames_delivered(1) == received.frames);
}

TEST_CASE("datagrams of a super-frame are of one size, but where it ends", "[offload]") {
  SuperFrameMaker maker;
  QuietPair pair;
  pair.cut(1);
  pair.run(seconds(2));
  const Frame whole = maker.make(kinds[GENERATE(0u, 2u)], 60'000, segment);
  // Until the link is known to be fast enough for whole ones.
  for (int i = 0; i < 200; ++i) pair.send_frame(0, whole), pair.run(milliseconds(5));
  pair.run(milliseconds(500));
  std::vector<std::size_t> sizes;
  pair.on_sent = [&](std::size_t end, std::size_t bytes) {
    // Not acknowledgements and what else is small.
    if (end == 0 && bytes >= 500) sizes.push_back(bytes);
  };
  pair.send_frame(0, whole);
  pair.run(milliseconds(100));
  REQUIRE(sizes.size() == 42);
  CHECK(std::count(sizes.begin(), sizes.end(), 1472) == 41);
  CHECK(sizes.back() < 1472);
}

TEST_CASE("a peer that takes no offload gets ordinary frames with all checksums", "[offload]") {
  SuperFrameMaker maker;
  QuietPair pair({}, 0, false);
  Received received;
  pair.on_frame = [&](std::size_t end, const Frame& frame) {
    if (end == 1) received.add(frame);
  };
  const Frame whole = maker.make(kinds[GENERATE(0u, 3u)], payload_bytes, segment);
  pair.send_frame(0, whole);
  pair.run(milliseconds(300));
  CHECK(received.all_once());
  CHECK(received.same_as(whole));
  CHECK(received.plain == received.frames);
  CHECK(received.frames == payload_bytes / segment);
}

TEST_CASE("what links lose of super-frames comes again, and nothing comes twice", "[offload]") {
  SuperFrameMaker maker;
  QuietPair pair;
  pair.set_loss(0.05);
  for (int round = 0; round < 20; ++round) {
    Received received;
    pair.on_frame = [&](std::size_t end, const Frame& frame) {
      if (end == 1) received.add(frame);
    };
    const Frame whole = maker.make(kinds[0], payload_bytes, segment);
    pair.send_frame(0, whole);
    pair.run(milliseconds(400));
    CHECK(received.all_once());
    CHECK(received.same_as(whole));
  }
  CHECK(pair.drops(1, Drop::bad_frame_received) == 0);
  CHECK(pair.drops(1, Drop::reassembly_broken) == 0);
}

TEST_CASE("of a super-frame on a line that loses half, what arrives is right and the rest is told",
          "[offload]") {
  SuperFrameMaker maker;
  // One line and a short budget: some pieces are given up.
  QuietPair pair;
  pair.cut(1);
  pair.run(seconds(2));
  pair.set_loss(0.6);
  std::uint32_t whole_frames = 0, partial = 0, none = 0;
  for (int round = 0; round < 60; ++round) {
    Received received;
    pair.on_frame = [&](std::size_t end, const Frame& frame) {
      if (end == 1) received.add(frame);
    };
    const Frame whole = maker.make(kinds[round % 4], payload_bytes, segment);
    pair.send_frame(0, whole);
    // After a standstill the rest may come seconds later.
    pair.run(seconds(5));
    const InnerHeaders at = *find_headers(whole.bytes());
    std::uint32_t here = 0;
    for (std::uint32_t i = 0; i < payload_bytes; ++i) {
      REQUIRE(received.times[i] <= 1);
      if (received.times[i] == 0) continue;
      REQUIRE(received.bytes[i] == whole.bytes()[at.payload_at + i]);
      ++here;
    }
    ++(here == payload_bytes ? whole_frames : here > 0 ? partial : none);
  }
  INFO(whole_frames << " whole, " << partial << " in part, " << none << " not at all");
  CHECK(pair.drops(0, Drop::piece_given_up) > 0);
  CHECK(partial > 0);
  CHECK(pair.drops(1, Drop::bad_frame_received) == 0);
  CHECK(pair.drops(1, Drop::bad_chunk) == 0);
}

TEST_CASE("headers too long to be told go with every segment", "[offload]") {
  SuperFrameMaker maker;
  QuietPair pair;
  Received received;
  pair.on_frame = [&](std::size_t end, const Frame& frame) {
    if (end == 1) received.add(frame);
  };
  const Kind long_options{"TCP over IPv6 behind long options", true, true, 0, 12, 200};
  const Frame whole = maker.make(long_options, payload_bytes, segment);
  pair.send_frame(0, whole);
  pair.run(milliseconds(300));
  CHECK(received.all_once());
  CHECK(received.same_as(whole));
  CHECK(received.super_frames == 0);
  CHECK(received.frames == payload_bytes / segment);
}
