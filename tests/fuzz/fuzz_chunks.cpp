// The parsers for what stands in a data datagram, each on its own: they end, stay inside, and what
// they accept can be written again.
#include <algorithm>
#include <array>

#include "dataplane/wire_classes.hpp"
#include "fuzz/fuzz_input.hpp"

using namespace mwtun;

namespace {

void check_ack(Bytes body) {
  const auto key = wire::read_ack_key(body);
  if (!key) return;
  MWTUN_ASSERT(index_of(key->link) < links_max && key->epoch < wire::epochs);
  for (const std::uint64_t next :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{5000}, std::uint64_t{1} << 33}) {
    wire::Ack ack;
    if (!wire::read_ack(body, next, ack)) continue;
    MWTUN_ASSERT(ack.range_count >= 1 && ack.range_count <= wire::ack_ranges_max);
    MWTUN_ASSERT(ack.arrival_count <= wire::ack_arrivals_max);
    // Nothing is acknowledged that was not sent, and ranges go downwards without touching.
    MWTUN_ASSERT(ack.ranges[0].last < next);
    for (std::size_t i = 0; i < ack.range_count; ++i) {
      MWTUN_ASSERT(ack.ranges[i].first <= ack.ranges[i].last);
      if (i > 0) MWTUN_ASSERT(ack.ranges[i].last + 1 < ack.ranges[i - 1].first);
    }
    std::array<std::uint8_t, 300> room{};
    Writer out(room);
    if (!wire::write_ack(out, ack)) continue;
    Reader again(out.written());
    wire::ParsedChunk chunk;
    MWTUN_ASSERT(wire::next_chunk(again, chunk) == wire::Next::chunk &&
                 chunk.type == wire::Chunk::ack);
    wire::Ack reread;
    MWTUN_ASSERT(wire::read_ack(chunk.body, next, reread));
    MWTUN_ASSERT(reread.ranges[0].last == ack.ranges[0].last &&
                 reread.range_count <= ack.range_count);
  }
}

void check_join(Bytes body) {
  const auto join = wire::read_join(body);
  if (!join) return;
  MWTUN_ASSERT(join->weight >= 1 && join->name.size() <= 32);
  std::array<std::uint8_t, wire::join_bytes_max> room{};
  Writer out(room);
  wire::write_join(out, *join);
  const auto again = wire::read_join(Bytes(out.written()).subspan(wire::control_header_bytes));
  MWTUN_ASSERT(again && again->weight == join->weight && again->role == join->role &&
               again->rate_up_bps_max == join->rate_up_bps_max);
}

void check_class(Bytes body) {
  const auto chunk = wire::read_class(body);
  if (!chunk) return;
  MWTUN_ASSERT(chunk->rule.has_criterion() && chunk->rule.has_effect());
  std::array<std::uint8_t, wire::control_header_bytes + wire::control_body_max> room{};
  Writer out(room);
  wire::write_class(out, *chunk);
  const Bytes again = Bytes(out.written()).subspan(wire::control_header_bytes);
  MWTUN_ASSERT(std::equal(again.begin(), again.end(), body.begin(), body.end()));
}

void check_fields(Bytes frame) {
  const FrameFields fields = read_frame_fields(frame);
  MWTUN_ASSERT(!fields.dscp || *fields.dscp <= TrafficRule::dscp_max);
  MWTUN_ASSERT(fields.source_port.has_value() == fields.destination_port.has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes all(data, size);
  if (const auto header = wire::read_header(all)) {
    MWTUN_ASSERT(index_of(header->link) < links_max && header->epoch < wire::epochs);
  }
  Reader content(all);
  std::size_t chunks = 0;
  for (wire::ParsedChunk chunk; wire::next_chunk(content, chunk) == wire::Next::chunk; chunk = {}) {
    MWTUN_ASSERT(++chunks <= size);
    if (chunk.is_frame) {
      MWTUN_ASSERT(!chunk.frame.data.empty() && index_of(chunk.frame.lane) < lanes_max);
      MWTUN_ASSERT(chunk.frame.data.data() >= data &&
                   chunk.frame.data.data() + chunk.frame.data.size() <= data + size);
      continue;
    }
    MWTUN_ASSERT(chunk.body.size() <= wire::control_body_max);
    if (chunk.type == wire::Chunk::ack) check_ack(chunk.body);
    if (chunk.type == wire::Chunk::join) check_join(chunk.body);
    if (chunk.type == wire::Chunk::traffic_class) check_class(chunk.body);
    if (chunk.type == wire::Chunk::offload) static_cast<void>(wire::read_offload(chunk.body));
    if (chunk.type == wire::Chunk::hole) static_cast<void>(wire::read_hole(chunk.body));
  }
  check_ack(all), check_join(all), check_class(all), check_fields(all);
  return 0;
}
