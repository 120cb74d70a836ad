#include "dataplane/wire.hpp"

#include <algorithm>

namespace mwtun::wire {

static constexpr std::uint8_t frame_bit = 0x80;
static constexpr std::uint8_t first_bit = 0x40;
static constexpr std::uint8_t last_bit = 0x20;
static constexpr std::uint8_t rest_bit = 0x10;

void write_header(Writer& out, const DataHeader& header) {
  out.u8(static_cast<unsigned>(Type::data) | static_cast<unsigned>(header.epoch) << 4);
  out.u8(value_of(header.link));
  out.u32(value_of(header.receiver));
  out.u32(header.number_low);
}

std::optional<DataHeader> read_header(Bytes datagram) {
  if (datagram.size() < overhead_bytes) return std::nullopt;
  const std::uint8_t first = datagram[0];
  if ((first & 0x0f) != static_cast<unsigned>(Type::data) || (first & 0xc0) != 0)
    return std::nullopt;
  if (datagram[1] >= links_max) return std::nullopt;
  DataHeader header;
  header.epoch = static_cast<std::uint8_t>(first >> 4 & 3);
  header.link = LinkId{datagram[1]};
  header.receiver = SessionIndex{load_le32(datagram.data() + 2)};
  header.number_low = load_le32(datagram.data() + 6);
  return header;
}

void write_frame_chunk_header(Writer& out, LaneId lane, std::uint64_t sequence, bool first,
                              bool last, bool rest, std::size_t bytes) {
  unsigned flags = frame_bit | static_cast<unsigned>(value_of(lane) >> 8 & 0x0f);
  if (first) flags |= first_bit;
  if (last) flags |= last_bit;
  if (rest) flags |= rest_bit;
  out.u8(flags);
  out.u8(value_of(lane) & 0xffu);
  out.u24(sequence & 0xffffffu);
  if (!rest) out.u16(bytes);
}

void write_offload(Writer& out, const Offload& offload) {
  const bool super_frame = offload.gso_bytes > 0;
  write_control_header(out, Chunk::offload, super_frame ? 2 : 0);
  if (super_frame) out.u16(offload.gso_bytes);
}

std::optional<Offload> read_offload(Bytes body) {
  Offload offload;
  offload.checksum_partial = true;
  if (body.empty()) return offload;
  Reader in(body);
  offload.gso_bytes = in.u16();
  if (!in.done() || offload.gso_bytes == 0) return std::nullopt;
  return offload;
}

void write_hole(Writer& out, const Hole& hole) {
  MWTUN_ASSERT(hole.headers.size() <= hole_headers_max);
  const std::size_t body = hole_bytes - control_header_bytes;
  write_control_header(out, Chunk::hole, body + (hole.first ? 2 + hole.headers.size() : 0));
  out.u16(value_of(hole.lane));
  out.u24(hole.sequence_low & 0xffffffu);
  out.u8((hole.first ? 1u : 0u) | (hole.last ? 2u : 0u));
  out.u16(hole.bytes);
  if (!hole.first) return;
  out.u16(hole.gso_bytes);
  out.bytes(hole.headers);
}

std::optional<Hole> read_hole(Bytes body) {
  Reader in(body);
  Hole hole;
  const std::uint16_t lane = in.u16();
  hole.lane = LaneId{lane};
  hole.sequence_low = in.u24();
  const std::uint8_t flags = in.u8();
  hole.first = (flags & 1) != 0;
  hole.last = (flags & 2) != 0;
  hole.bytes = in.u16();
  if (hole.first) {
    hole.gso_bytes = in.u16();
    hole.headers = in.take(in.size());
  }
  if (!in.done() || lane >= lanes_max || (flags & 0xfc) != 0 || hole.bytes == 0 ||
      hole.headers.size() > hole.bytes || (hole.first && hole.gso_bytes == 0)) {
    return std::nullopt;
  }
  return hole;
}

bool write_ack(Writer& out, const Ack& ack) {
  constexpr std::size_t fixed = 1 + 4 + 2 + 4;
  const std::size_t room = std::min(
      control_body_max, out.room() < control_header_bytes ? 0 : out.room() - control_header_bytes);
  MWTUN_ASSERT(ack.range_count > 0 && ack.range_count <= ack_ranges_max);
  const AckRange& top = ack.ranges[0];
  const auto first_run = static_cast<std::uint32_t>(top.last - top.first);
  std::size_t used = fixed + varint_size(first_run) + 1 + 1;
  if (used > room) return false;
  // Arrival times first: the newest matter most; then as many ranges as fit.
  std::size_t arrivals = 0;
  while (arrivals < ack.arrival_count) {
    const std::size_t more = varint_size(ack.arrivals[arrivals].below) + 3;
    if (used + more > room) break;
    used += more, ++arrivals;
  }
  const auto gap_of = [&](std::size_t i) {
    return static_cast<std::uint32_t>(ack.ranges[i - 1].first - ack.ranges[i].last - 2);
  };
  const auto run_of = [&](std::size_t i) {
    return static_cast<std::uint32_t>(ack.ranges[i].last - ack.ranges[i].first);
  };
  std::size_t ranges = 1;
  while (ranges < ack.range_count) {
    const std::size_t more = varint_size(gap_of(ranges)) + varint_size(run_of(ranges));
    if (used + more > room) break;
    used += more, ++ranges;
  }
  write_control_header(out, Chunk::ack, used);
  out.u8(value_of(ack.link) | static_cast<unsigned>(ack.epoch) << 4);
  out.u32(top.last & 0xffffffffu);
  out.u16(ack.delay_units);
  out.u32(ack.received_low);
  out.varint(first_run);
  out.u8(ranges - 1);
  for (std::size_t i = 1; i < ranges; ++i) out.varint(gap_of(i)), out.varint(run_of(i));
  out.u8(arrivals);
  for (std::size_t i = 0; i < arrivals; ++i) {
    out.varint(ack.arrivals[i].below), out.u24(ack.arrivals[i].stamp_low);
  }
  return true;
}

std::optional<AckKey> read_ack_key(Bytes body) {
  if (body.empty() || (body[0] & 0xc0) != 0) return std::nullopt;
  return AckKey{LinkId{static_cast<std::uint8_t>(body[0] & 0x0f)},
                static_cast<std::uint8_t>(body[0] >> 4 & 3)};
}

bool read_ack(Bytes body, std::uint64_t next_number, Ack& ack) {
  Reader in(body);
  const std::uint8_t key = in.u8();
  ack.link = LinkId{static_cast<std::uint8_t>(key & 0x0f)};
  ack.epoch = static_cast<std::uint8_t>(key >> 4 & 3);
  const std::uint64_t largest = expand(next_number, in.u32(), 32);
  ack.delay_units = in.u16();
  ack.received_low = in.u32();
  const std::uint32_t first_run = in.varint();
  if (!in.ok() || largest >= next_number || first_run > largest) return false;
  ack.ranges[0] = {largest - first_run, largest};
  ack.range_count = 1;
  const std::size_t ranges = in.u8();
  if (ranges + 1 > ack_ranges_max) return false;
  for (std::size_t i = 0; i < ranges; ++i) {
    const std::uint64_t gap = std::uint64_t{in.varint()} + 1;
    const std::uint64_t run = std::uint64_t{in.varint()} + 1;
    const std::uint64_t above = ack.ranges[i].first;
    if (!in.ok() || gap + run > above) return false;
    ack.ranges[i + 1] = {above - gap - run, above - gap - 1};
    ++ack.range_count;
  }
  ack.arrival_count = in.u8();
  if (ack.arrival_count > ack_arrivals_max) return false;
  for (std::size_t i = 0; i < ack.arrival_count; ++i) {
    ack.arrivals[i].below = in.varint();
    ack.arrivals[i].stamp_low = in.u24();
  }
  return in.done();
}

void write_join(Writer& out, const Join& join) {
  write_control_header(out, Chunk::join, 21 + join.name.size());
  out.u16(join.weight);
  out.u8(join.priority);
  out.u8(join.role);
  out.u8(join.metered ? 1 : 0);
  out.u64(join.rate_down_bps_max);
  out.u64(join.rate_up_bps_max);
  out.bytes(join.name);
}

std::optional<Join> read_join(Bytes body) {
  Reader in(body);
  Join join;
  join.weight = in.u16();
  join.priority = in.u8();
  join.role = in.u8();
  const std::uint8_t flags = in.u8();
  join.metered = (flags & 1) != 0;
  join.rate_down_bps_max = in.u64();
  join.rate_up_bps_max = in.u64();
  join.name = in.rest();
  if (!in.ok() || join.name.size() > 32 || join.weight == 0 || join.weight > 1000 ||
      join.role > 2 || (flags & 0xfe) != 0) {
    return std::nullopt;
  }
  return join;
}

static Next next_frame_chunk(Reader& content, FrameChunk& frame) {
  const std::uint8_t flags = content.u8();
  const std::uint8_t lane_low = content.u8();
  frame.lane = LaneId{static_cast<std::uint16_t>((flags & 0x0f) << 8 | lane_low)};
  frame.first = (flags & first_bit) != 0;
  frame.last = (flags & last_bit) != 0;
  frame.sequence_low = content.u24();
  const std::size_t size = (flags & rest_bit) != 0 ? content.size() : content.u16();
  frame.data = content.take(size);
  return content.ok() && !frame.data.empty() ? Next::chunk : Next::malformed;
}

Next next_chunk(Reader& content, ParsedChunk& chunk) {
  if (content.size() == 0 || content.rest()[0] == 0) return Next::end;
  chunk.is_frame = (content.rest()[0] & frame_bit) != 0;
  if (chunk.is_frame) return next_frame_chunk(content, chunk.frame);
  chunk.type = static_cast<Chunk>(content.u8());
  const std::size_t size = content.u8();
  chunk.body = content.take(size);
  return content.ok() ? Next::chunk : Next::malformed;
}

}  // namespace mwtun::wire
