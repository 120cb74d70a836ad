#include <catch2/catch.hpp>
#include <vector>

#include "base/prng.hpp"
#include "linkem/frame_shape.hpp"

namespace mwtun::linkem {
namespace {

/// A frame with the given type at the end of its Ethernet header of `header` bytes.
std::vector<std::uint8_t> frame_of(std::size_t header, std::uint16_t type, std::size_t ip_size) {
  std::vector<std::uint8_t> frame(header + ip_size);
  for (std::size_t at = 12; at + 2 < header; at += 4) store_be16(&frame[at], 0x8100);
  store_be16(&frame[header - 2], type);
  if (ip_size > 0) frame[header] = type == 0x0800 ? 0x45 : 0x60;
  return frame;
}

}  // namespace

TEST_CASE("a rate counts the frame without its Ethernet header and VLAN tags", "[linkem]") {
  CHECK(ip_bytes(frame_of(14, 0x0800, 1500)) == 1500);
  CHECK(ip_bytes(frame_of(18, 0x0800, 1500)) == 1500);
  CHECK(ip_bytes(frame_of(22, 0x86dd, 1280)) == 1280);
  CHECK(ip_bytes(frame_of(14, 0x0806, 28)) == 28);
  CHECK(ip_bytes(frame_of(14, 0x0800, 0)) == 0);
  const std::vector<std::uint8_t> runt(6);
  CHECK(ip_bytes(runt) == 0);
}

TEST_CASE("corruption changes the payload behind the IP header and nothing else", "[linkem]") {
  struct Shape {
    std::size_t header;
    std::uint16_t type;
    std::size_t untouched;
  };
  for (const Shape shape :
       {Shape{14, 0x0800, 34}, {18, 0x0800, 38}, {14, 0x86dd, 54}, {14, 0x0806, 14}}) {
    const auto original = frame_of(shape.header, shape.type, 100);
    for (std::uint64_t seed = 1; seed < 500; ++seed) {
      auto frame = original;
      flip_bits(frame, seed);
      REQUIRE(frame != original);
      REQUIRE(std::equal(frame.begin(),
                         frame.begin() + static_cast<std::ptrdiff_t>(shape.untouched),
                         original.begin()));
      flip_bits(frame, seed);
      REQUIRE(frame == original);
    }
  }
}

TEST_CASE("corruption bears frames of any content and length", "[linkem]") {
  Prng prng(1);
  for (std::uint64_t seed = 1; seed < 5000; ++seed) {
    std::vector<std::uint8_t> frame(prng.below(80));
    for (std::uint8_t& byte : frame) byte = static_cast<std::uint8_t>(prng.next());
    if (frame.size() >= 16 && prng.chance(0.5)) store_be16(&frame[12], 0x8100);
    const auto original = frame;
    flip_bits(frame, seed);
    if (frame.size() > 22) CHECK(frame != original);
    if (frame.size() <= 14) CHECK(frame == original);
  }
}

}  // namespace mwtun::linkem
