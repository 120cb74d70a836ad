#include "quiet_pair.hpp"
#include "support/tcp_segments.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

/// Sends so many segments at once to the client, and gives the sizes of what its interface gets.
std::vector<std::uint32_t> received(QuietPair& pair, std::uint32_t segments) {
  SlabPool slabs(2048, 64);
  std::vector<std::uint32_t> sizes;
  pair.on_frame = [&](std::size_t end, const Frame& frame) {
    if (end == 0) sizes.push_back(frame.size);
  };
  TcpSegment segment;
  for (std::uint32_t i = 0; i < segments; ++i) {
    pair.send_frame(1, segment.frame(slabs));
    segment = segment.next();
  }
  pair.run(milliseconds(300));
  pair.on_frame = {};
  return sizes;
}

}  // namespace

TEST_CASE("frames of one drain leave the tunnel as a super-frame, if its interface takes such",
          "[joiner]") {
  const bool joins = GENERATE(true, false);
  QuietPair pair([&](PeerConfig& client) { client.joins_frames = joins; });
  const std::vector<std::uint32_t> sizes = received(pair, 20);
  std::uint32_t bytes = 0;
  for (const std::uint32_t size : sizes) bytes += size - 66;
  CHECK(bytes == 20'000);
  // What a drain has follows on how the pacer spread it.
  CHECK((sizes.size() < 20) == joins);
  // A frame that left with others counts as one.
  const FrameCounters frames = pair.report(0).frames;
  CHECK(frames.frames_out == 20);
  CHECK(frames.bytes_out == 20u * 1066);
  CHECK((frames.joined > 0) == joins);
  CHECK(20 - frames.joined + frames.super_frames_made == sizes.size());
}

TEST_CASE("a frame that nothing follows leaves the tunnel at once", "[joiner]") {
  QuietPair pair([&](PeerConfig& client) { client.joins_frames = true; });
  CHECK(received(pair, 1) == std::vector<std::uint32_t>{1066});
}
