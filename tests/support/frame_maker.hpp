#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.hpp"

namespace mwtun::test {

/// What an inner flow looks like on the wire of the LAN. Each kind has complete headers and right
/// checksums.
enum class FlowKind : std::uint8_t { tcp4, tcp6, udp4, udp6, icmp4, arp, dns, voice, other };
const char* to_string(FlowKind kind);

/// Flows whose frames must leave in the order they came in, whatever their rate.
constexpr bool always_ordered(FlowKind kind) {
  return kind == FlowKind::tcp4 || kind == FlowKind::tcp6;
}

struct FlowShape {
  FlowKind kind = FlowKind::udp4;
  std::uint16_t id = 0;  ///< In the frame's addresses and ports, and in its tag.
  bool vlan = false;
  bool ecn_capable = false;  ///< ECT(0); only for kinds that are IP.
};

/// The last 16 bytes of every frame: flow (2), sequence (6), hash of everything before it (8).
inline constexpr std::size_t frame_tag_bytes = 16;

struct FrameTag {
  std::uint16_t flow = 0;
  std::uint64_t sequence = 0;
};

/// Smallest frame of this shape: headers and the tag, but not less than Ethernet's 60 bytes.
std::size_t frame_bytes_min(const FlowShape& shape);

/// Fills `out`, at least frame_bytes_min(), with frame number `sequence` of the flow. Contents
/// depend on nothing but the arguments. Frames that are too small for headers and tag side by side
/// carry the tag as Ethernet padding, which a tunnel has to keep too.
void make_frame(const FlowShape& shape, std::uint64_t sequence, MutableBytes out);

/// Judges a frame by its own contents: nothing when a byte differs from what make_frame() wrote.
/// The ECN bits of a frame that was sent ECT(0) may have become CE, with the IPv4 header checksum
/// updated.
/// @param why  set when the frame is not as made
std::optional<FrameTag> read_frame(Bytes frame, std::string* why = nullptr);

}  // namespace mwtun::test
