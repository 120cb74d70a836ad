#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/packet.hpp"
#include "dataplane/inner_headers.hpp"

namespace mwtun {

/// What is not done to a frame before it is on a real wire: cutting it into segments and summing up
/// its transport checksum. Frames with Offload data travel undone; here is how to do it, and how to
/// tell whether such data can be true.

/// The longest super-frame: the longest IP packet behind Ethernet and two VLAN tags.
inline constexpr std::uint32_t super_frame_bytes_max = 65'535 + 14 + 8;
/// As the kernel's own: smaller segments would make work for nothing (TCP_MIN_SND_MSS).
inline constexpr std::uint16_t tcp_segment_bytes_min = 48;

/// The length in the IP header agrees with the frame's: super-frames have no padding.
bool length_agrees(const Frame& frame, const InnerHeaders& headers);

/// Puts everything that the headers tell into the offload data, of which only checksum_partial and
/// gso_bytes are given: so nothing else is taken on trust from the wire (PROTOCOL.md 4.6). False
/// when the headers do not bear it out.
bool rebuild_offload(Frame& frame);

/// For what an interface gave: the data stays where the frame's headers bear it out. A checksum
/// that is elsewhere, as that of a packet within a packet, is summed up. False: neither can be
/// done.
bool settle_offload(Frame& frame);

/// Sums up what was left partial: the frame is plain then, if it was no super-frame. False when the
/// field lies outside the frame.
bool complete_checksum(Frame& frame);

/// Cuts a super-frame into smaller ones, or into ordinary frames: each is what its sender's own
/// network card would have made of that range of the payload.
class SuperFrameCutter {
 public:
  /// @param frame           a super-frame that settle_offload() or rebuild_offload() found good
  /// @param part_bytes_max  a part has as many whole segments as fit, at least one
  SuperFrameCutter(const Frame& frame, std::uint32_t part_bytes_max);
  std::uint32_t parts() const { return parts_; }
  /// Part `index`, checksum partial as in the whole. None: no slab.
  std::optional<Frame> part(std::uint32_t index, SlabPool& slabs) const {
    const std::uint32_t from = index * step_bytes_;
    return range(from, std::min(from + step_bytes_, payload_bytes_), slabs);
  }

  std::uint32_t payload_at() const { return headers_.payload_at; }
  std::uint32_t payload_bytes() const { return payload_bytes_; }
  /// The payload from `from` to before `to`, which for UDP are ends of segments.
  std::optional<Frame> range(std::uint32_t from, std::uint32_t to, SlabPool& slabs) const;

 private:
  const Frame& frame_;
  InnerHeaders headers_;
  std::uint32_t payload_bytes_ = 0;
  std::uint32_t step_bytes_ = 0;  // Payload of a part; the last may have less.
  std::uint32_t parts_ = 1;
};

}  // namespace mwtun
