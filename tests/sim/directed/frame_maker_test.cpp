#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "support/frame_maker.hpp"
#include "support/sim_scenario.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

std::vector<FlowShape> shapes() {
  std::vector<FlowShape> all;
  for (int kind = 0; kind <= static_cast<int>(FlowKind::other); ++kind) {
    for (const bool vlan : {false, true}) {
      FlowShape shape;
      shape.kind = static_cast<FlowKind>(kind);
      shape.id = static_cast<std::uint16_t>(300 + kind);
      shape.vlan = vlan;
      all.push_back(shape);
    }
  }
  return all;
}

}  // namespace

TEST_CASE("a made frame tells its flow and its sequence at every size") {
  for (const FlowShape& shape : shapes()) {
    for (std::size_t size = frame_bytes_min(shape); size <= 9014; size += size < 200 ? 1 : 977) {
      std::vector<std::uint8_t> frame(size);
      make_frame(shape, 0x123456789a, frame);
      const auto tag = read_frame(frame);
      REQUIRE(tag);
      CHECK(tag->flow == shape.id);
      CHECK(tag->sequence == 0x123456789a);
    }
  }
}

TEST_CASE("any single changed bit of a frame is seen") {
  for (const FlowShape& shape : shapes()) {
    std::vector<std::uint8_t> frame(frame_bytes_min(shape) + 5);
    make_frame(shape, 7, frame);
    for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
      frame[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      const auto tag = read_frame(frame);
      // The two bits of IPv6's ECN are the only ones a tunnel may touch without a checksum to mend.
      const std::size_t network = shape.vlan ? 18 : 14;
      const bool ecn6 = (shape.kind == FlowKind::tcp6 || shape.kind == FlowKind::udp6) &&
                        bit / 8 == network + 1 && (bit % 8 == 4 || bit % 8 == 5);
      REQUIRE(tag.has_value() == ecn6);
      frame[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    }
  }
}

TEST_CASE("a seed gives the same trace each time") {
  for (const std::uint64_t seed : {3u, 5u, 8u}) {
    CHECK(run_scenario(seed).trace_hash == run_scenario(seed).trace_hash);
  }
  CHECK(run_scenario(3).trace_hash != run_scenario(4).trace_hash);
}
