#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/packet.hpp"
#include "base/time.hpp"

/// The bytes of data datagrams and their chunks, as docs/PROTOCOL.md section 4 has them.
namespace mwtun::wire {

enum class Type : std::uint8_t { initiation = 1, response = 2, cookie = 3, data = 4 };
enum class Chunk : std::uint8_t {
  padding = 0x00,
  ack = 0x01,
  heads = 0x02,
  lane_floor = 0x03,
  ping = 0x04,
  join = 0x05,
  challenge = 0x06,
  response = 0x07,
  settings = 0x08,
  mtu_probe = 0x09,
  close = 0x0a,
  loop_probe = 0x0b,
  offload = 0x0c,
  traffic_class = 0x0d,
  link_gone = 0x0e,
  hole = 0x0f,
};

inline constexpr std::size_t header_bytes = 10;
inline constexpr std::size_t stamp_bytes = 3;
inline constexpr std::size_t tag_bytes = 16;
/// What a data datagram costs before its first chunk.
inline constexpr std::size_t overhead_bytes = header_bytes + stamp_bytes + tag_bytes;
inline constexpr std::size_t frame_chunk_header_bytes = 7;  // With a length.
inline constexpr std::size_t rest_chunk_header_bytes = 5;   // Without.
inline constexpr std::size_t control_header_bytes = 2;
inline constexpr std::size_t control_body_max = 255;
inline constexpr std::size_t offload_bytes = control_header_bytes + 2;
inline constexpr std::uint64_t number_limit = std::uint64_t{1} << 47;
inline constexpr std::uint32_t stamp_unit_ns = 16'000;
inline constexpr unsigned epochs = 4;
/// Features of a session (PROTOCOL.md 3.1): who offers it takes frames with OFFLOAD.
inline constexpr std::uint64_t feature_offload = 1;
/// Lanes below are ordered, the others unordered.
inline constexpr std::uint16_t unordered_lanes_from = 3072;

constexpr bool lane_ordered(LaneId lane) {
  return value_of(lane) < unordered_lanes_from;
}

struct DataHeader {
  std::uint8_t epoch = 0;
  LinkId link{};
  SessionIndex receiver{};
  std::uint32_t number_low = 0;
};
void write_header(Writer& out, const DataHeader& header);
/// None when the size, type, link or a reserved bit is not what it must be.
std::optional<DataHeader> read_header(Bytes datagram);

/// Noise's n for a data datagram: one number space a link, one key for all.
constexpr std::uint64_t nonce_number(LinkId link, std::uint64_t number) {
  return std::uint64_t{value_of(link)} << 48 | number;
}

/// The number nearest to `expected` whose low bits are `low` (RFC 9000 A.3).
constexpr std::uint64_t expand(std::uint64_t expected, std::uint64_t low, unsigned bits) {
  const std::uint64_t window = std::uint64_t{1} << bits;
  std::uint64_t candidate = (expected & ~(window - 1)) | low;
  if (candidate + window / 2 <= expected) return candidate + window;
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window;
  return candidate;
}

constexpr std::uint64_t stamp_units(Instant at) {
  return static_cast<std::uint64_t>(at.time_since_epoch().count()) / stamp_unit_ns;
}
constexpr Duration stamp_duration(std::int64_t units) {
  return Duration{units * stamp_unit_ns};
}

struct FrameChunk {
  LaneId lane{};
  std::uint32_t sequence_low = 0;  // 24 bits.
  bool first = false;
  bool last = false;
  Bytes data;
};
/// Writes the header only. `rest`: no length, the chunk will run to the end of the datagram.
void write_frame_chunk_header(Writer& out, LaneId lane, std::uint64_t sequence, bool first,
                              bool last, bool rest, std::size_t bytes);

void write_offload(Writer& out, const Offload& offload);
/// Sets checksum_partial and gso_bytes only; the frame's headers tell the rest.
std::optional<Offload> read_offload(Bytes body);

/// In place of a frame chunk of a super-frame that will not come: how long it was, and what of it
/// belongs to the frame's headers.
struct Hole {
  LaneId lane{};
  std::uint32_t sequence_low = 0;  // 24 bits.
  bool first = false;
  bool last = false;
  std::uint16_t bytes = 0;
  std::uint16_t gso_bytes = 0;  // Of the first only, as are the headers.
  Bytes headers;
};
inline constexpr std::size_t hole_bytes = control_header_bytes + 2 + 3 + 1 + 2;
inline constexpr std::size_t hole_headers_max = control_body_max - 10;
void write_hole(Writer& out, const Hole& hole);
std::optional<Hole> read_hole(Bytes body);

struct AckRange {
  std::uint64_t first = 0;  // Smallest number of the run.
  std::uint64_t last = 0;
};
inline constexpr std::size_t ack_ranges_max = 33;
inline constexpr std::size_t ack_arrivals_max = 16;
struct AckArrival {
  std::uint32_t below = 0;  // Distance below the largest number.
  std::uint32_t stamp_low = 0;
};
/// Ranges go downwards; ranges[0].last is the largest number.
struct Ack {
  LinkId link{};
  std::uint8_t epoch = 0;
  std::uint16_t delay_units = 0;
  std::uint32_t received_low = 0;
  std::size_t range_count = 0;
  std::array<AckRange, ack_ranges_max> ranges{};
  std::size_t arrival_count = 0;
  std::array<AckArrival, ack_arrivals_max> arrivals{};
};
/// Writes type, length and body, with as many ranges as fit the room and the length byte. False: no
/// room for even the smallest.
bool write_ack(Writer& out, const Ack& ack);
/// `expected`: one above the largest number we have sent on that link in that epoch, to rebuild the
/// numbers from; it is called with the link and epoch. False: malformed, or about a number never
/// sent.
struct AckKey {
  LinkId link{};
  std::uint8_t epoch = 0;
};
std::optional<AckKey> read_ack_key(Bytes body);
bool read_ack(Bytes body, std::uint64_t next_number, Ack& ack);

struct Join {
  std::uint16_t weight = 1;
  std::uint8_t priority = 0;
  std::uint8_t role = 0;
  bool metered = false;
  std::uint64_t rate_down_bps_max = 0;
  std::uint64_t rate_up_bps_max = 0;
  Bytes name;
};
void write_join(Writer& out, const Join& join);
std::optional<Join> read_join(Bytes body);
inline constexpr std::size_t join_bytes_max = control_header_bytes + 21 + 32;

/// Starts a control chunk; the body of exactly `body_bytes` follows.
inline void write_control_header(Writer& out, Chunk type, std::size_t body_bytes) {
  out.u8(static_cast<std::uint8_t>(type));
  out.u8(body_bytes);
}

/// One chunk as the parser found it.
struct ParsedChunk {
  bool is_frame = false;
  FrameChunk frame;
  Chunk type{};
  Bytes body;
};
enum class Next : std::uint8_t { chunk, end, malformed };
/// Takes the next chunk off `content` (after the stamp). Padding ends the datagram.
Next next_chunk(Reader& content, ParsedChunk& chunk);

}  // namespace mwtun::wire
