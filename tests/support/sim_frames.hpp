#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "base/time.hpp"

namespace mwtun::test {

/// The two hosts of a simulation, one at each end of the line or tunnel.
enum class Side : std::uint8_t { client, server };
constexpr Side other(Side side) {
  return side == Side::client ? Side::server : Side::client;
}
constexpr std::size_t index_of_side(Side side) {
  return static_cast<std::size_t>(side);
}

inline constexpr std::uint32_t ethernet_bytes = 14;
inline constexpr std::uint32_t frame_bytes_most = 1514;

/// A segment's headers (RFC 9293, 7323, 2018, 3168) in host order.
struct TcpFields {
  std::uint16_t flow = 0;
  Side from = Side::client;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledged = 0;
  bool syn = false;
  bool ack = false;
  bool ece = false;
  bool cwr = false;
  std::uint16_t window = 0;  ///< As on the wire, to be scaled by tcp_window_shift.
  std::uint32_t stamp = 0;
  std::uint32_t stamp_echo = 0;
  struct Block {
    std::uint32_t begin = 0, end = 0;
  };
  std::array<Block, 3> blocks{};
  std::size_t block_count = 0;
  std::uint16_t payload_bytes = 0;
  std::uint64_t mark = 0;    ///< In the payload, if there is one: first and last 8 bytes.
  bool ecn_capable = false;  ///< ECT(0).
  bool congestion_experienced = false;
};
inline constexpr unsigned tcp_window_shift = 10;

struct UdpFields {
  std::uint16_t flow = 0;
  Side from = Side::client;
  std::uint64_t sequence = 0;
  Instant sent{};
  std::uint16_t payload_bytes = 0;  ///< At least 16.
};

struct EchoFields {
  std::uint16_t flow = 0;
  Side from = Side::client;
  bool reply = false;
  std::uint16_t sequence = 0;
  Instant sent{};
};

/// Each writes a whole Ethernet frame with IPv4 and right checksums and gives its size.
std::uint32_t put_tcp(const TcpFields& fields, MutableBytes room);
std::uint32_t put_udp(const UdpFields& fields, MutableBytes room);
std::uint32_t put_echo(const EchoFields& fields, MutableBytes room);

/// The flow a frame at that side belongs to; none if it is no frame of ours.
std::optional<std::uint16_t> flow_of_frame(Bytes frame, Side at);
/// Nothing when the frame is none of the kind or was altered.
std::optional<TcpFields> read_tcp(Bytes frame);
std::optional<UdpFields> read_udp(Bytes frame);
std::optional<EchoFields> read_echo(Bytes frame);

}  // namespace mwtun::test
