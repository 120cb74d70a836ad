#include <catch2/catch.hpp>

#include "dataplane/frame_joiner.hpp"
#include "dataplane/super_frame.hpp"
#include "support/tcp_segments.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

/// Connections that send as real ones do, and a line that does to their frames what it likes.
class Traffic {
 public:
  explicit Traffic(std::uint64_t seed, SlabPool& slabs) : random_(seed), slabs_(slabs) {
    for (std::uint16_t i = 0; i < flows; ++i) {
      TcpSegment& flow = flows_[i];
      flow.flow = i;
      flow.v6 = random_.chance(0.4);
      flow.tags = random_.below(3);
      flow.partial = random_.chance(0.3);
      flow.traffic = static_cast<std::uint8_t>(random_.below(3));
      flow.sequence = static_cast<std::uint32_t>(random_.next());
      flow.id = static_cast<std::uint16_t>(random_.next());
      if (random_.chance(0.2)) flow.options.clear();
    }
  }
  /// Some frames of one flow, each given to `take`.
  template <typename Take>
  void burst(Take&& take) {
    TcpSegment& flow = flows_[random_.below(flows)];
    const std::uint64_t count = random_.between(1, 8);
    for (std::uint64_t i = 0; i < count; ++i) take(one(flow));
  }
  Prng& random() { return random_; }

 private:
  static constexpr std::uint16_t flows = 12;  // More than are held open.

  Frame one(TcpSegment& flow) {
    TcpSegment segment = flow;
    segment.payload_bytes = random_.chance(0.9) ? 1000 : random_.below(1200);
    if (random_.chance(0.1)) segment.flags = static_cast<std::uint8_t>(random_.next());
    if (random_.chance(0.1)) segment.flags |= 0x08;
    if (random_.chance(0.03)) segment.fragment = static_cast<std::uint16_t>(random_.next());
    if (random_.chance(0.05)) segment.partial = !segment.partial;
    // What was sent before comes again, or in another order.
    if (random_.chance(0.05)) segment.sequence -= 1000;
    if (random_.chance(0.05)) ++segment.id;
    flow = segment.next();
    flow.payload_bytes = 1000, flow.flags = 0x10, flow.fragment = 0x4000;
    if (random_.chance(0.1)) flow.acknowledged += 500;
    if (random_.chance(0.1)) flow.traffic ^= 3;
    std::vector<std::uint8_t> bytes = segment.bytes();
    if (random_.chance(0.1)) {
      const std::size_t most = random_.chance(0.5) ? 90 : bytes.size();
      bytes[random_.below(most)] ^= static_cast<std::uint8_t>(1u << random_.below(8));
      if (random_.chance(0.7)) mend_checksums(bytes, segment.partial);
    }
    if (random_.chance(0.02)) bytes.resize(random_.between(14, bytes.size()));
    const bool partial = segment.partial && find_headers(bytes).has_value();
    Frame frame = to_frame(bytes, partial, slabs_);
    if (partial && random_.chance(0.05)) {
      Frame super = frame;
      super.offload.gso_bytes = static_cast<std::uint16_t>(random_.between(50, 900));
      if (rebuild_offload(super)) return super;
    }
    return frame;
  }

  Prng random_;
  SlabPool& slabs_;
  TcpSegment flows_[flows];
};

}  // namespace

TEST_CASE("whatever comes, each flow's frames come out as they went in", "[joiner]") {
  std::uint64_t joined = 0, super_frames = 0, frames = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SlabPool large{super_frame_bytes_max + 1, 4}, slabs{2048, 512};
    slabs.set_larger(large);
    FrameJoiner joiner(slabs);
    WireCompare wire(slabs);
    Traffic traffic(seed, slabs);
    const auto take = [&] {
      while (joiner.ready()) wire.out(joiner.take_ready());
    };
    for (int i = 0; i < 60; ++i) {
      traffic.burst([&](Frame frame) {
        ++frames;
        wire.in(frame);
        if (!joiner.add(frame)) wire.out(frame);
        take();
      });
      if (!traffic.random().chance(0.1)) continue;
      joiner.flush();
      take();
      INFO("seed " << seed << ", burst " << i << ": " << wire.difference());
      REQUIRE(wire.difference().empty());
      REQUIRE(slabs.in_use() + large.in_use() == 0);
    }
    joiner.flush();
    take();
    INFO("seed " << seed << ": " << wire.difference());
    REQUIRE(wire.difference().empty());
    joined += joiner.counters().frames, super_frames += joiner.counters().super_frames;
  }
  INFO(joined << " of " << frames << " frames in " << super_frames << " super-frames");
  CHECK(joined > frames / 10);
  CHECK(joined > 2 * super_frames);
}
