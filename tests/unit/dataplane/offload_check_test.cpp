#include "dataplane/offload_check.hpp"

#include <catch2/catch.hpp>
#include <cstring>

using namespace mwtun;

namespace {

struct Fixture {
  SlabPool pool{2048, 4};
  /// An IPv4 frame of 100 bytes with the protocol, after `tags` VLAN tags.
  Frame make(std::uint8_t protocol, std::size_t tags = 0) {
    Frame frame;
    frame.slab = pool.take();
    frame.size = 100;
    std::memset(frame.slab.data(), 0, 100);
    std::uint8_t* at = frame.slab.data() + 12;
    for (std::size_t i = 0; i < tags; ++i, at += 4) store_be16(at, 0x8100);
    store_be16(at, 0x0800);
    at[2] = 0x45;
    at[2 + 9] = protocol;
    frame.offload.checksum_partial = true;
    frame.offload.checksum_start = static_cast<std::uint16_t>(14 + 4 * tags + 20);
    frame.offload.checksum_offset = protocol == 6 ? 16 : 6;
    return frame;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "offload data that the headers bear out is believed", "[offload]") {
  CHECK(offload_agrees(make(6)));
  CHECK(offload_agrees(make(17, 2)));
  Frame segments = make(6, 1);
  segments.offload.gso = Offload::Gso::tcp4;
  segments.offload.gso_bytes = 40;
  CHECK(offload_agrees(segments));
  Frame plain = make(47);
  plain.offload = {};
  CHECK(offload_agrees(plain));
}

TEST_CASE_METHOD(Fixture, "offload data that points elsewhere is not believed", "[offload]") {
  Frame frame = make(6);
  SECTION("a checksum outside the frame") {
    frame.offload.checksum_start = 2000;
  }
  SECTION("a checksum in the IP header") {
    frame.offload.checksum_start = 14;
  }
  SECTION("a field that is not the checksum") {
    frame.offload.checksum_offset = 4;
  }
  SECTION("another IP version") {
    frame.offload.gso = Offload::Gso::tcp6, frame.offload.gso_bytes = 9;
  }
  SECTION("another protocol") {
    frame.offload.gso = Offload::Gso::udp, frame.offload.gso_bytes = 9;
  }
  SECTION("segments of nothing") {
    frame.offload.gso = Offload::Gso::tcp4;
  }
  SECTION("a size without segments") {
    frame.offload.gso_bytes = 1000;
  }
  SECTION("a frame cut short") {
    frame.size = 50;
  }
  SECTION("a frame of no transport") {
    frame = make(47);
  }
  CHECK_FALSE(offload_agrees(frame));
}
