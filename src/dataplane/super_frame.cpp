#include "dataplane/super_frame.hpp"

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"
#include "base/checksum.hpp"

namespace mwtun {

// Offsets into a TCP header, and bits of its flags.
static constexpr std::size_t tcp_sequence_at = 4, tcp_flags_at = 13;
static constexpr std::uint8_t tcp_fin = 0x01, tcp_psh = 0x08, tcp_cwr = 0x80;

/// As the kernel's own (UDP_MAX_SEGMENTS).
static constexpr std::uint32_t udp_segments_max = 128;

bool length_agrees(const Frame& frame, const InnerHeaders& headers) {
  const std::uint8_t* ip = frame.slab.data() + frame.offset + headers.ip_at;
  const std::size_t length = headers.v6 ? load_be16(ip + 4) + 40u : load_be16(ip + 2);
  return headers.ip_at + length == frame.size;
}

static Offload::Gso kind_of(const InnerHeaders& headers) {
  if (!headers.tcp) return Offload::Gso::udp;
  return headers.v6 ? Offload::Gso::tcp6 : Offload::Gso::tcp4;
}

bool rebuild_offload(Frame& frame) {
  Offload& offload = frame.offload;
  if (!offload.checksum_partial) return offload.plain();
  const std::optional<InnerHeaders> headers = find_headers(frame.bytes());
  if (!headers) return false;
  offload.checksum_start = headers->transport_at;
  offload.checksum_offset = headers->checksum_offset();
  offload.gso = Offload::Gso::none;
  if (offload.gso_bytes == 0) return true;
  if (!length_agrees(frame, *headers)) return false;
  const std::uint32_t payload = frame.size - headers->payload_at;
  // One segment is an ordinary frame; kernels refuse it as anything else.
  if (payload <= offload.gso_bytes) {
    offload.gso_bytes = 0;
    return true;
  }
  offload.gso = kind_of(*headers);
  return headers->tcp ? offload.gso_bytes >= tcp_segment_bytes_min
                      : payload <= std::uint32_t{offload.gso_bytes} * udp_segments_max;
}

bool settle_offload(Frame& frame) {
  const Offload given = frame.offload;
  if (given.plain()) return true;
  const bool fits = rebuild_offload(frame) &&
                    frame.offload.checksum_start == given.checksum_start &&
                    frame.offload.checksum_offset == given.checksum_offset &&
                    (given.gso == Offload::Gso::none) == (given.gso_bytes == 0);
  if (fits) return true;
  frame.offload = given;
  return given.gso == Offload::Gso::none && given.gso_bytes == 0 && complete_checksum(frame);
}

bool complete_checksum(Frame& frame) {
  Offload& offload = frame.offload;
  if (!offload.checksum_partial) return true;
  const std::size_t field = std::size_t{offload.checksum_start} + offload.checksum_offset;
  if (field + 2 > frame.size) return false;
  std::uint8_t* at = frame.slab.data() + frame.offset;
  const auto sum = static_cast<std::uint16_t>(
      ~fold(add_words(frame.bytes().subspan(offload.checksum_start), 0)));
  // In UDP zero would mean that there is none; for the others both zeros are the same.
  store_le(at + field, sum == 0 ? 0xffff : sum, 2);
  offload = {};
  return true;
}

SuperFrameCutter::SuperFrameCutter(const Frame& frame, std::uint32_t part_bytes_max)
    : frame_(frame), headers_(find_headers(frame.bytes()).value_or(InnerHeaders{})) {
  MWTUN_ASSERT(headers_.payload_at > 0 && frame.offload.gso_bytes > 0);
  payload_bytes_ = frame.size - headers_.payload_at;
  const std::uint32_t segment = frame.offload.gso_bytes;
  const std::uint32_t room =
      part_bytes_max - std::min<std::uint32_t>(part_bytes_max, headers_.payload_at);
  step_bytes_ = std::max(segment, room / segment * segment);
  parts_ = std::max(1u, (payload_bytes_ + step_bytes_ - 1) / step_bytes_);
}

std::optional<Frame> SuperFrameCutter::range(std::uint32_t from, std::uint32_t to,
                                             SlabPool& slabs) const {
  MWTUN_ASSERT(from <= to && to <= payload_bytes_);
  Frame part;
  part.size = headers_.payload_at + to - from;
  part.slab = slabs.take(part.size);
  if (!part.slab) return std::nullopt;
  std::uint8_t* out = part.slab.data();
  const std::uint8_t* in = frame_.slab.data() + frame_.offset;
  std::memcpy(out, in, headers_.payload_at);
  std::memcpy(out + headers_.payload_at, in + headers_.payload_at + from, to - from);

  std::uint8_t* ip = out + headers_.ip_at;
  if (headers_.v6) {
    store_be16(ip + 4, static_cast<std::uint16_t>(part.size - headers_.ip_at - 40));
  } else {
    store_be16(ip + 2, static_cast<std::uint16_t>(part.size - headers_.ip_at));
    const std::uint32_t segments_before = from / frame_.offload.gso_bytes;
    store_be16(ip + 4, static_cast<std::uint16_t>(load_be16(ip + 4) + segments_before));
    const std::size_t header_bytes = std::size_t{ip[0] & 0x0fu} * 4;
    store_be16(ip + 10, 0);
    store_le(ip + 10, static_cast<std::uint16_t>(~fold(add_words({ip, header_bytes}, 0))), 2);
  }

  std::uint8_t* transport = out + headers_.transport_at;
  if (headers_.tcp) {
    store_be32(transport + tcp_sequence_at, load_be32(transport + tcp_sequence_at) + from);
    if (from > 0) transport[tcp_flags_at] &= static_cast<std::uint8_t>(~tcp_cwr);
    if (to < payload_bytes_)
      transport[tcp_flags_at] &= static_cast<std::uint8_t>(~(tcp_fin | tcp_psh));
  } else {
    store_be16(transport + 4, static_cast<std::uint16_t>(part.size - headers_.transport_at));
  }
  // The partial checksum covers the length, which has changed; the addresses have not.
  std::uint8_t* checksum = transport + headers_.checksum_offset();
  const std::uint16_t length_before =
      static_cast<std::uint16_t>(frame_.size - headers_.transport_at);
  const std::uint16_t length = static_cast<std::uint16_t>(part.size - headers_.transport_at);
  store_be16(checksum, fold(std::uint64_t{load_be16(checksum)} + length +
                            static_cast<std::uint16_t>(~length_before)));

  part.offload = frame_.offload;
  if (to - from <= frame_.offload.gso_bytes) {
    part.offload.gso = Offload::Gso::none;
    part.offload.gso_bytes = 0;
  }
  return part;
}

}  // namespace mwtun
