#include "support/tcp_segments.hpp"

#include <cstring>

#include "dataplane/super_frame.hpp"

namespace mwtun::test {

/// The sum of 16-bit words as RFC 1071 has it, folded and not inverted.
static std::uint32_t sum_of(Bytes bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

void mend_checksums(std::vector<std::uint8_t>& frame, bool partial) {
  const std::optional<InnerHeaders> at = find_headers(frame);
  if (!at) return;
  const Bytes bytes(frame);
  if (!at->v6) {
    store_be16(&frame[at->ip_at + 10u], 0);
    const Bytes header = bytes.subspan(at->ip_at, (frame[at->ip_at] & 0x0fu) * 4u);
    store_be16(&frame[at->ip_at + 10u], static_cast<std::uint16_t>(~sum_of(header)));
  }
  const Bytes segment = bytes.subspan(at->transport_at);
  const Bytes addresses = bytes.subspan(at->ip_at + (at->v6 ? 8u : 12u), at->v6 ? 32 : 8);
  const std::uint8_t rest[] = {0, static_cast<std::uint8_t>(at->tcp ? 6 : 17),
                               static_cast<std::uint8_t>(segment.size() >> 8),
                               static_cast<std::uint8_t>(segment.size())};
  const std::uint32_t pseudo = sum_of(rest, sum_of(addresses));
  std::uint8_t* checksum = &frame[std::size_t{at->transport_at} + at->checksum_offset()];
  store_be16(checksum, 0);
  const std::uint32_t sum = partial ? pseudo : ~sum_of(segment, pseudo);
  store_be16(checksum, static_cast<std::uint16_t>(sum));
}

std::vector<std::uint8_t> TcpSegment::bytes() const {
  std::vector<std::uint8_t> out(12, 2);
  const auto add16 = [&](std::size_t value) {
    out.push_back(static_cast<std::uint8_t>(value >> 8));
    out.push_back(static_cast<std::uint8_t>(value));
  };
  for (std::size_t i = 0; i < tags; ++i) add16(0x8100), add16(7 + i);
  add16(v6 ? 0x86dd : 0x0800);
  const std::size_t length = 20 + options.size() + payload_bytes;
  if (v6) {
    add16(0x6000u | unsigned{traffic} << 4), add16(0x1234), add16(length), add16(0x0640);
    for (std::size_t i = 0; i < 32; ++i) out.push_back(static_cast<std::uint8_t>(0x20 + i));
  } else {
    add16(0x4500u | traffic), add16(20 + length), add16(id), add16(fragment);
    add16(0x4006), add16(0);
    for (std::size_t i = 0; i < 8; ++i) out.push_back(static_cast<std::uint8_t>(10 + i));
  }
  add16(1000u + flow), add16(2000), add16(sequence >> 16), add16(sequence & 0xffff);
  add16(acknowledged >> 16), add16(acknowledged & 0xffff);
  out.push_back(static_cast<std::uint8_t>((20 + options.size()) / 4 << 4)), out.push_back(flags);
  add16(500), add16(0), add16(0);
  out.insert(out.end(), options.begin(), options.end());
  // By its place in the stream, so that no two segments are alike.
  Prng random(sequence);
  for (std::size_t i = 0; i < payload_bytes; ++i) {
    out.push_back(static_cast<std::uint8_t>(random.next()));
  }
  mend_checksums(out, partial);
  return out;
}

Frame TcpSegment::frame(SlabPool& slabs) const {
  return to_frame(bytes(), partial, slabs);
}

TcpSegment TcpSegment::next() const {
  TcpSegment after = *this;
  after.sequence += static_cast<std::uint32_t>(payload_bytes);
  ++after.id;
  return after;
}

Frame to_frame(const std::vector<std::uint8_t>& bytes, bool partial, SlabPool& slabs) {
  Frame frame;
  frame.slab = slabs.take(bytes.size() + 32);
  MWTUN_ASSERT(bool(frame.slab));
  frame.offset = 32;  // As a frame stands in the slab that its datagram was opened into.
  frame.size = static_cast<std::uint32_t>(bytes.size());
  std::memcpy(frame.slab.data() + frame.offset, bytes.data(), bytes.size());
  frame.offload.checksum_partial = partial;
  MWTUN_ASSERT(rebuild_offload(frame));
  return frame;
}

void WireCompare::add(const Frame& frame, Wire& wire) {
  std::vector<std::uint8_t> flow;
  const Bytes bytes = frame.bytes();
  if (const std::optional<InnerHeaders> at = find_headers(bytes)) {
    const Bytes addresses = bytes.subspan(at->ip_at + (at->v6 ? 8u : 12u), at->v6 ? 32 : 8);
    const Bytes ports = bytes.subspan(at->transport_at, 4);
    flow.push_back(at->tcp ? 1 : 0);
    flow.insert(flow.end(), addresses.begin(), addresses.end());
    flow.insert(flow.end(), ports.begin(), ports.end());
  }
  const auto put = [&](Frame done) {
    MWTUN_ASSERT(complete_checksum(done));
    wire[flow].emplace_back(done.bytes().begin(), done.bytes().end());
  };
  if (frame.offload.gso == Offload::Gso::none) {
    // A copy: who compares changes nothing.
    Frame copy = frame;
    copy.slab = slabs_.take(std::size_t{frame.offset} + frame.size);
    MWTUN_ASSERT(bool(copy.slab));
    std::memcpy(copy.mutable_bytes().data(), bytes.data(), bytes.size());
    return put(std::move(copy));
  }
  // Nothing but what the headers bear out may reach a kernel.
  Frame rebuilt = frame;
  MWTUN_ASSERT(rebuild_offload(rebuilt) && rebuilt.offload == frame.offload);
  const SuperFrameCutter cutter(frame, 0);
  for (std::uint32_t i = 0; i < cutter.parts(); ++i) {
    std::optional<Frame> part = cutter.part(i, slabs_);
    MWTUN_ASSERT(part.has_value());
    put(std::move(*part));
  }
}

std::string WireCompare::difference() const {
  for (const auto& [flow, frames] : in_) {
    const auto found = out_.find(flow);
    if (found == out_.end()) return "a flow is missing";
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (i == found->second.size()) return "frame " + std::to_string(i) + " is missing";
      if (frames[i] != found->second[i]) return "frame " + std::to_string(i) + " is another";
    }
    if (frames.size() != found->second.size()) return "there are more frames than came";
  }
  return in_.size() == out_.size() ? "" : "a flow came from nowhere";
}

}  // namespace mwtun::test
