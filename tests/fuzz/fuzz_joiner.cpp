// Frames of a few connections, as their sender made them or as a hostile peer did, through the
// FrameJoiner: cut again, they are what came, and in each flow in the same order.
#include <array>

#include "dataplane/frame_joiner.hpp"
#include "dataplane/super_frame.hpp"
#include "fuzz/fuzz_input.hpp"
#include "support/tcp_segments.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

TcpSegment connection(std::uint16_t flow, std::uint8_t kind) {
  TcpSegment segment;
  segment.flow = flow;
  segment.v6 = (kind & 1) != 0;
  segment.partial = (kind & 2) != 0;
  segment.tags = kind >> 2 & 3u;
  segment.payload_bytes = 60;
  if ((kind & 16) != 0) segment.options.clear();
  return segment;
}

/// The next of the connection, with what the input changes about it.
Frame changed_segment(TcpSegment& flow, std::uint8_t operation, FuzzInput& input, SlabPool& slabs) {
  std::vector<std::uint8_t> bytes = flow.bytes();
  const bool change = (operation & 0x10) != 0, resize = (operation & 0x20) != 0;
  if (resize) bytes.resize(14 + input.byte() % (bytes.size() + 20));
  if (change) {
    for (std::uint8_t count = input.byte() % 4; count > 0; --count) {
      const std::size_t at = input.byte();
      bytes[at % bytes.size()] ^= input.byte();
    }
  }
  if ((operation & 0x40) != 0) mend_checksums(bytes, flow.partial);
  // Not what was changed: the peer may go on as if nothing was.
  flow = flow.next();
  flow.payload_bytes = 60;
  const bool partial = flow.partial && find_headers(bytes).has_value();
  Frame frame = to_frame(bytes, partial, slabs);
  if (partial && (operation & 0x80) != 0) {
    Frame super = frame;
    super.offload.gso_bytes = input.byte();
    if (rebuild_offload(super)) return super;
  }
  return frame;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  static SlabPool large(super_frame_bytes_max + 1, 16), slabs(2048, 512);
  slabs.set_larger(large);
  FrameJoiner joiner(slabs);
  WireCompare wire(slabs);
  std::array<TcpSegment, 10> flows;
  for (std::uint16_t i = 0; i < flows.size(); ++i) flows[i] = connection(i, input.byte());
  const auto add = [&](Frame frame) {
    wire.in(frame);
    if (!joiner.add(frame)) wire.out(frame);
    while (joiner.ready()) wire.out(joiner.take_ready());
  };
  for (int steps = 0; !input.empty() && steps < 400; ++steps) {
    const std::uint8_t operation = input.byte();
    TcpSegment& flow = flows[(operation & 0x0f) % flows.size()];
    if ((operation & 0x0f) == 15) {
      joiner.flush();
      while (joiner.ready()) wire.out(joiner.take_ready());
      MWTUN_ASSERT(slabs.in_use() + large.in_use() == 0);
    } else if ((operation & 0x0f) == 14) {
      // Anything at all.
      const Bytes bytes = input.bytes(14u + input.byte() % 120);
      if (bytes.size() >= 14) add(to_frame({bytes.begin(), bytes.end()}, false, slabs));
    } else if ((operation & 0x0f) >= 10) {
      if ((operation & 0x0f) == 10) flow.flags = input.byte();
      if ((operation & 0x0f) == 11) flow.payload_bytes = input.byte();
      if ((operation & 0x0f) == 12) flow.sequence -= input.byte();
      if ((operation & 0x0f) == 13) flow.id = static_cast<std::uint16_t>(flow.id + input.byte());
    } else {
      add(changed_segment(flow, operation, input, slabs));
    }
  }
  joiner.flush();
  while (joiner.ready()) wire.out(joiner.take_ready());
  MWTUN_ASSERT(wire.difference().empty());
  MWTUN_ASSERT(slabs.in_use() + large.in_use() == 0);
  return 0;
}
