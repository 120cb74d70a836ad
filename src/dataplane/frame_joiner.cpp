#include "dataplane/frame_joiner.hpp"

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"
#include "base/checksum.hpp"
#include "dataplane/super_frame.hpp"

namespace mwtun {

// Offsets into an IPv4 header,
static constexpr std::size_t ip4_id_at = 4, ip4_fragment_at = 6, ip4_checksum_at = 10;
static constexpr std::uint16_t ip4_dont_fragment = 0x4000;
// into a TCP header, and bits of its flags and kinds of its options.
static constexpr std::size_t tcp_sequence_at = 4, tcp_acknowledged_at = 8, tcp_length_at = 12;
static constexpr std::size_t tcp_flags_at = 13, tcp_window_at = 14, tcp_checksum_at = 16;
static constexpr std::size_t tcp_urgent_at = 18, tcp_options_at = 20;
static constexpr unsigned tcp_fin = 0x01, tcp_psh = 0x08, tcp_ack = 0x10, tcp_ece = 0x40;
static constexpr std::uint8_t option_end = 0, option_nothing = 1, option_md5 = 19, option_ao = 29;

static bool closes(Bytes frame, const InnerHeaders& at) {
  return (frame[at.transport_at + tcp_flags_at] & (tcp_psh | tcp_fin)) != 0;
}

/// By itself it may stand in a super-frame, if only as the last. SYN, RST and URG mean something
/// for one segment, and CWR is left by who cuts on the first alone (RFC 3168). Extensions of IP are
/// not cut, nor copied, by every kernel.
static bool joinable(const Frame& frame, const InnerHeaders& at) {
  const std::uint8_t* ip = frame.slab.data() + frame.offset + at.ip_at;
  const std::uint8_t* tcp = frame.slab.data() + frame.offset + at.transport_at;
  const unsigned flags = tcp[tcp_flags_at];
  if (frame.offload.gso != Offload::Gso::none || frame.size == at.payload_at) return false;
  if ((flags & ~(tcp_fin | tcp_psh | tcp_ece)) != tcp_ack) return false;
  if ((tcp[tcp_length_at] & 0x0f) != 0) return false;  // Reserved, and a flag of AccECN.
  if (at.transport_at - at.ip_at != (at.v6 ? 40 : 20) || !length_agrees(frame, at)) return false;
  return at.v6 || (load_be16(ip + ip4_fragment_at) & ~ip4_dont_fragment) == 0;
}

/// The signatures of RFC 2385 and 5925 cover each segment with its own headers.
static bool signed_or_broken(Bytes options) {
  // Two fillers and timestamps: what nearly all have.
  if (options.empty() || (options.size() == 12 && load_be32(options.data()) == 0x0101080a)) {
    return false;
  }
  for (std::size_t i = 0; i < options.size() && options[i] != option_end;) {
    if (options[i] == option_nothing) {
      ++i;
      continue;
    }
    if (options[i] == option_md5 || options[i] == option_ao) return true;
    if (i + 1 >= options.size() || options[i + 1] < 2 || options[i + 1] > options.size() - i) {
      return true;
    }
    i += options[i + 1];
  }
  return false;
}

/// The first of a super-frame: its headers become those of all.
static bool may_begin(const Frame& frame, const InnerHeaders& at) {
  const Bytes bytes = frame.bytes();
  const std::size_t options = at.transport_at + tcp_options_at;
  return !closes(bytes, at) && frame.size - at.payload_at >= tcp_segment_bytes_min &&
         !signed_or_broken(bytes.subspan(options, at.payload_at - options));
}

/// Addresses and ports alone. What differs in anything else may be of the same connection, and must
/// not overtake it.
static bool same_flow(Bytes a, const InnerHeaders& a_at, Bytes b, const InnerHeaders& b_at) {
  if (a_at.v6 != b_at.v6 ||
      std::memcmp(a.data() + a_at.transport_at, b.data() + b_at.transport_at, 4) != 0) {
    return false;
  }
  const std::size_t from = a_at.v6 ? 8 : 12, size = a_at.v6 ? 32 : 8;
  return std::memcmp(a.data() + a_at.ip_at + from, b.data() + b_at.ip_at + from, size) == 0;
}

/// Of a joinable frame of the same flow: who cuts `first` and what was joined to it, `frames` in
/// all with so much payload, would give these headers to the next.
static bool headers_follow(Bytes first, Bytes next, const InnerHeaders& at, std::uint32_t payload,
                           std::uint16_t frames) {
  const auto same = [&](std::size_t from, std::size_t to) {
    return std::memcmp(first.data() + from, next.data() + from, to - from) == 0;
  };
  const std::size_t ip = at.ip_at, tcp = at.transport_at;
  if (load_be32(first.data() + tcp + tcp_sequence_at) + payload !=
      load_be32(next.data() + tcp + tcp_sequence_at)) {
    return false;
  }
  const unsigned flags = first[tcp + tcp_flags_at] ^ next[tcp + tcp_flags_at];
  if ((flags & ~(tcp_psh | tcp_fin)) != 0) return false;
  if (!same(tcp + tcp_acknowledged_at, tcp + tcp_flags_at) ||
      !same(tcp + tcp_window_at, tcp + tcp_checksum_at) ||
      !same(tcp + tcp_urgent_at, at.payload_at)) {
    return false;
  }
  // Ethernet, tags and the type of service; then all but lengths, checksums and numbers.
  if (at.v6) return same(0, ip + 4) && same(ip + 6, tcp);
  const auto id = static_cast<std::uint16_t>(load_be16(first.data() + ip + ip4_id_at) + frames);
  return same(0, ip + 2) && id == load_be16(next.data() + ip + ip4_id_at) &&
         same(ip + ip4_fragment_at, ip + ip4_checksum_at);
}

/// The sum over what TCP covers that is not in its segment; to be folded.
static std::uint64_t pseudo_header_sum(Bytes frame, const InnerHeaders& at) {
  const Bytes addresses =
      at.v6 ? frame.subspan(at.ip_at + 8u, 32) : frame.subspan(at.ip_at + 12u, 8);
  std::array<std::uint8_t, 4> rest{0, 6};
  store_be16(rest.data() + 2, static_cast<std::uint16_t>(frame.size() - at.transport_at));
  return add_words(rest, add_words(addresses, 0));
}

/// Who cuts the super-frame sums up anew: a frame that was spoiled on its way must not come out
/// whole. The two zeros are the same to who checks, but not everybody writes the same one.
static bool sums_right(const Frame& frame, const InnerHeaders& at) {
  const Bytes bytes = frame.bytes();
  if (!at.v6) {
    const Bytes ip = bytes.subspan(at.ip_at, 20);
    if (fold(add_words(ip, 0)) != 0xffff || load_le16(ip.data() + ip4_checksum_at) == 0xffff) {
      return false;
    }
  }
  const std::uint64_t pseudo = pseudo_header_sum(bytes, at);
  const std::uint16_t checksum = load_le16(bytes.data() + at.transport_at + tcp_checksum_at);
  if (frame.offload.checksum_partial) return checksum == fold(pseudo);
  return checksum != 0 && checksum != 0xffff &&
         fold(add_words(bytes.subspan(at.transport_at), pseudo)) == 0xffff;
}

bool FrameJoiner::add(Frame& frame) {
  MWTUN_ASSERT(ready_.empty());
  const std::optional<InnerHeaders> at = find_headers(frame.bytes());
  if (!at) {
    flush();  // It may be a fragment, of any flow.
  } else if (!at->tcp) {
    return false;  // UDP is of no flow that is held.
  } else {
    const std::size_t index = find(frame, *at);
    const bool candidate = joinable(frame, *at);
    if (index < held_count_) {
      Held& held = held_[index];
      if (candidate && append(held, frame, *at)) {
        const bool last = frame.size - at->payload_at < held.segment_bytes;
        if (last || closes(frame.bytes(), *at)) release(index);
        return true;
      }
      release(index);
    }
    if (candidate && may_begin(frame, *at)) {
      hold(frame, *at);
      return true;
    }
  }
  if (ready_.empty()) return false;
  ready_.push_back(std::move(frame));
  return true;
}

void FrameJoiner::hold(Frame& frame, const InnerHeaders& at) {
  if (held_count_ == flows_max) release(0);
  Held& held = held_[held_count_++];
  held.at = at;
  held.segment_bytes = static_cast<std::uint16_t>(frame.size - at.payload_at);
  held.frames = 1;
  held.partial = frame.offload.checksum_partial;
  held.frame = std::move(frame);
}

void FrameJoiner::flush() {
  while (held_count_ > 0) release(0);
}

std::size_t FrameJoiner::find(const Frame& frame, const InnerHeaders& at) const {
  std::size_t i = 0;
  while (i < held_count_ && !same_flow(held_[i].frame.bytes(), held_[i].at, frame.bytes(), at)) ++i;
  return i;
}

bool FrameJoiner::append(Held& held, const Frame& frame, const InnerHeaders& at) {
  const std::uint32_t payload = frame.size - at.payload_at;
  const std::uint32_t payload_before = held.frame.size - held.at.payload_at;
  if (held.at.ip_at != at.ip_at || held.at.payload_at != at.payload_at ||
      held.partial != frame.offload.checksum_partial || payload > held.segment_bytes ||
      held.frame.size + payload > at.ip_at + 65'535u) {
    return false;
  }
  const Bytes bytes = frame.bytes();
  if (!headers_follow(held.frame.bytes(), bytes, at, payload_before, held.frames)) return false;
  if (held.frames == 1 && !sums_right(held.frame, held.at)) return false;
  if (!sums_right(frame, at)) return false;
  if (held.frames == 1) {
    SlabRef slab = slabs_.take(super_frame_bytes_max);
    if (!slab) return false;
    std::memcpy(slab.data(), held.frame.bytes().data(), held.frame.size);
    held.frame.slab = std::move(slab);
    held.frame.offset = 0;
  }
  std::uint8_t* to = held.frame.slab.data();
  std::memcpy(to + held.frame.size, bytes.data() + at.payload_at, payload);
  held.frame.size += payload;
  ++held.frames;
  to[at.transport_at + tcp_flags_at] |= bytes[at.transport_at + tcp_flags_at];
  return true;
}

/// What is held there becomes ready: as it came if nothing was joined to it.
void FrameJoiner::release(std::size_t index) {
  Held& held = held_[index];
  if (held.frames > 1) {
    counters_.frames += held.frames;
    ++counters_.super_frames;
    Frame& frame = held.frame;
    std::uint8_t* ip = frame.slab.data() + held.at.ip_at;
    const std::uint32_t length = frame.size - held.at.ip_at;
    if (held.at.v6) {
      store_be16(ip + 4, static_cast<std::uint16_t>(length - 40));
    } else {
      store_be16(ip + 2, static_cast<std::uint16_t>(length));
      store_be16(ip + ip4_checksum_at, 0);
      const std::uint64_t sum = add_words({ip, 20}, 0);
      store_le(ip + ip4_checksum_at, static_cast<std::uint16_t>(~fold(sum)), 2);
    }
    std::uint8_t* checksum = frame.slab.data() + held.at.transport_at + tcp_checksum_at;
    store_le(checksum, fold(pseudo_header_sum(frame.bytes(), held.at)), 2);
    frame.offload.checksum_partial = true;
    frame.offload.gso_bytes = held.segment_bytes;
    MWTUN_ASSERT(rebuild_offload(frame));
  }
  ready_.push_back(std::move(held.frame));
  std::move(held_.begin() + index + 1, held_.begin() + held_count_, held_.begin() + index);
  held_[--held_count_].frame = {};
}

}  // namespace mwtun
