#include "linkem/frame_shape.hpp"

#include <algorithm>

#include "base/prng.hpp"

namespace mwtun::linkem {
namespace {

constexpr std::size_t mac_bytes = 12;
constexpr std::size_t type_bytes = 2;
constexpr std::size_t tag_bytes = 4;

/// Where the last ethertype stands, behind at most two VLAN tags.
std::size_t type_offset(Bytes frame) {
  std::size_t offset = mac_bytes;
  for (int tags = 0; tags < 2 && offset + tag_bytes + type_bytes <= frame.size(); ++tags) {
    const std::uint16_t type = load_be16(&frame[offset]);
    if (type != 0x8100 && type != 0x88a8) break;
    offset += tag_bytes;
  }
  return offset;
}

}  // namespace

std::uint32_t ip_bytes(Bytes frame) {
  const std::size_t header = type_offset(frame) + type_bytes;
  return static_cast<std::uint32_t>(frame.size() - std::min(frame.size(), header));
}

void flip_bits(MutableBytes frame, std::uint64_t seed) {
  const std::size_t type_at = type_offset(frame);
  const std::size_t ip_at = type_at + type_bytes;
  if (frame.size() <= ip_at) return;
  std::size_t from = ip_at;
  const std::uint16_t type = load_be16(&frame[type_at]);
  if (type == 0x0800) from += (frame[ip_at] & 0x0fu) * std::size_t{4};
  if (type == 0x86dd) from += 40;
  if (from >= frame.size()) from = ip_at;

  Prng prng(seed);
  const std::uint64_t bits = (frame.size() - from) * 8;
  const std::uint64_t first = prng.below(bits);
  const std::uint64_t flips = prng.between(1, 4);
  for (std::uint64_t flip = 0; flip < flips; ++flip) {
    // Later flips never meet the first, so the frame always changes.
    const std::uint64_t bit = flip == 0 ? first : (first + 1 + prng.below(bits - 1)) % bits;
    frame[from + bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
  }
}

}  // namespace mwtun::linkem
