#include "support/sim_frames.hpp"

#include <algorithm>
#include <cstring>

namespace mwtun::test {
namespace {

constexpr std::size_t ip_at = 14, transport_at = 34;
constexpr std::uint8_t protocol_icmp = 1, protocol_tcp = 6, protocol_udp = 17;
constexpr std::uint16_t client_port_first = 10'000, server_port = 5201;
constexpr std::size_t tcp_stamped_bytes = 32;  // Header with the timestamp option.

std::uint32_t sum_of(const std::uint8_t* at, std::size_t bytes, std::uint32_t sum) {
  for (std::size_t i = 0; i + 1 < bytes; i += 2) sum += load_be16(at + i);
  if (bytes % 2 != 0) sum += static_cast<std::uint32_t>(at[bytes - 1]) << 8;
  return sum;
}
std::uint16_t folded(std::uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put_network(MutableBytes room, Side from, std::uint8_t protocol, std::uint8_t traffic_class,
                 std::size_t packet_bytes) {
  const auto source = static_cast<std::uint8_t>(from == Side::client ? 2 : 1);
  const auto target = static_cast<std::uint8_t>(3 - source);
  const std::array<std::uint8_t, ip_at> ethernet{0x02, 0, 0, 0, 0,      target, 0x02,
                                                 0,    0, 0, 0, source, 8,      0};
  std::copy(ethernet.begin(), ethernet.end(), room.begin());
  std::uint8_t* const at = room.data() + ip_at;
  at[0] = 0x45, at[1] = traffic_class;
  store_be16(at + 2, static_cast<std::uint16_t>(packet_bytes));
  store_be32(at + 4, 0x4000);  // No identification; don't fragment.
  at[8] = 64, at[9] = protocol;
  store_be16(at + 10, 0);
  at[12] = at[16] = 10, at[13] = at[17] = 90, at[14] = at[18] = 0;
  at[15] = source, at[19] = target;
  store_be16(at + 10, folded(sum_of(at, 20, 0)));
}

void put_ports(std::uint8_t* at, std::uint16_t flow, Side from) {
  const auto client = static_cast<std::uint16_t>(client_port_first + flow);
  store_be16(at, from == Side::client ? client : server_port);
  store_be16(at + 2, from == Side::client ? server_port : client);
}

/// Payloads are zero but for their first and last words, so only `bytes` of them count.
std::uint16_t transport_sum(Bytes frame, std::uint8_t protocol, std::size_t segment_bytes,
                            std::size_t head_bytes, std::size_t tail_bytes) {
  std::uint32_t sum =
      sum_of(frame.data() + ip_at + 12, 8, protocol + static_cast<std::uint32_t>(segment_bytes));
  sum = sum_of(frame.data() + transport_at, head_bytes, sum);
  return folded(sum_of(frame.data() + transport_at + segment_bytes - tail_bytes, tail_bytes, sum));
}

/// Bytes of the IPv4 packet, if that is what the frame is, unaltered, of that protocol.
std::optional<std::size_t> packet_bytes_of(Bytes frame, std::uint8_t protocol) {
  if (frame.size() < transport_at + 8 || load_be16(frame.data() + 12) != 0x0800) {
    return std::nullopt;
  }
  const std::uint8_t* const at = frame.data() + ip_at;
  if (at[0] != 0x45 || at[9] != protocol || folded(sum_of(at, 20, 0)) != 0) return std::nullopt;
  const std::size_t bytes = load_be16(at + 2);
  if (bytes + ip_at > frame.size()) return std::nullopt;
  return bytes;
}

Side sender_of(Bytes frame) {
  return frame[ip_at + 15] == 2 ? Side::client : Side::server;
}
std::uint16_t flow_of_ports(Bytes frame) {
  const std::size_t at = transport_at + (sender_of(frame) == Side::client ? 0 : 2);
  return static_cast<std::uint16_t>(load_be16(frame.data() + at) - client_port_first);
}
/// An Ethernet frame has 60 bytes at least.
std::uint32_t padded(MutableBytes room, std::size_t bytes) {
  if (bytes < 60) std::memset(room.data() + bytes, 0, 60 - bytes), bytes = 60;
  return static_cast<std::uint32_t>(bytes);
}

}  // namespace

std::uint32_t put_tcp(const TcpFields& f, MutableBytes room) {
  std::uint8_t* const tcp = room.data() + transport_at;
  put_ports(tcp, f.flow, f.from);
  store_be32(tcp + 4, f.sequence);
  store_be32(tcp + 8, f.acknowledged);
  tcp[13] = static_cast<std::uint8_t>((f.syn ? 0x02 : 0) | (f.ack ? 0x10 : 0) |
                                      (f.payload_bytes > 0 ? 0x08 : 0) | (f.ece ? 0x40 : 0) |
                                      (f.cwr ? 0x80 : 0));
  store_be16(tcp + 14, f.window);
  store_be32(tcp + 16, 0);
  std::size_t at = 20;
  if (f.syn) {  // MSS, SACK permitted, window scale
    const std::array<std::uint8_t, 10> options{2, 4, 1460 >> 8, 1460 & 255, 4,
                                               2, 1, 3,         3,          tcp_window_shift};
    std::copy(options.begin(), options.end(), tcp + at);
    at += 10;
  }
  tcp[at] = 1, tcp[at + 1] = 1;
  tcp[at + 2] = 8, tcp[at + 3] = 10;
  store_be32(tcp + at + 4, f.stamp);
  store_be32(tcp + at + 8, f.stamp_echo);
  at += 12;
  if (f.syn) tcp[at] = 1, tcp[at + 1] = 1, at += 2;
  if (f.block_count > 0) {
    tcp[at] = 1, tcp[at + 1] = 1, tcp[at + 2] = 5;
    tcp[at + 3] = static_cast<std::uint8_t>(2 + 8 * f.block_count);
    at += 4;
    for (std::size_t i = 0; i < f.block_count; ++i, at += 8) {
      store_be32(tcp + at, f.blocks[i].begin);
      store_be32(tcp + at + 4, f.blocks[i].end);
    }
  }
  tcp[12] = static_cast<std::uint8_t>(at / 4 << 4);
  const std::size_t header = at;
  std::size_t head = header, tail = 0;
  if (f.payload_bytes > 0) {
    MWTUN_ASSERT(f.payload_bytes >= 16 && f.payload_bytes % 2 == 0);
    std::memset(tcp + header, 0, f.payload_bytes);
    store_le(tcp + header, f.mark, 8);
    store_le(tcp + header + f.payload_bytes - 8, ~f.mark, 8);
    head += 8, tail = 8;
  }
  const std::size_t segment = header + f.payload_bytes;
  put_network(room, f.from, protocol_tcp, f.ecn_capable ? 2 : 0, 20 + segment);
  store_be16(tcp + 16, transport_sum(room, protocol_tcp, segment, head, tail));
  return padded(room, transport_at + segment);
}

std::optional<TcpFields> read_tcp(Bytes frame) {
  const auto packet = packet_bytes_of(frame, protocol_tcp);
  if (!packet || *packet < 20 + tcp_stamped_bytes) return std::nullopt;
  const std::uint8_t* const tcp = frame.data() + transport_at;
  const std::size_t header = std::size_t{tcp[12]} >> 4 << 2;
  const std::size_t segment = *packet - 20;
  if (header < tcp_stamped_bytes || header > segment) return std::nullopt;
  TcpFields f;
  f.flow = flow_of_ports(frame);
  f.from = sender_of(frame);
  f.sequence = load_be32(tcp + 4);
  f.acknowledged = load_be32(tcp + 8);
  f.syn = (tcp[13] & 0x02) != 0, f.ack = (tcp[13] & 0x10) != 0;
  f.ece = (tcp[13] & 0x40) != 0, f.cwr = (tcp[13] & 0x80) != 0;
  f.window = load_be16(tcp + 14);
  f.congestion_experienced = (frame[ip_at + 1] & 3) == 3;
  f.ecn_capable = (frame[ip_at + 1] & 3) != 0;
  f.payload_bytes = static_cast<std::uint16_t>(segment - header);
  for (std::size_t at = 20; at + 1 < header;) {
    if (tcp[at] == 0) break;
    if (tcp[at] == 1) {
      ++at;
      continue;
    }
    const std::size_t size = tcp[at + 1];
    if (size < 2 || at + size > header) return std::nullopt;
    if (tcp[at] == 8 && size == 10) {
      f.stamp = load_be32(tcp + at + 2), f.stamp_echo = load_be32(tcp + at + 6);
    } else if (tcp[at] == 5) {
      for (std::size_t b = at + 2; b + 8 <= at + size && f.block_count < 3; b += 8) {
        f.blocks[f.block_count++] = {load_be32(tcp + b), load_be32(tcp + b + 4)};
      }
    }
    at += size;
  }
  std::size_t head = header, tail = 0;
  if (f.payload_bytes >= 16) {
    f.mark = load_le64(tcp + header);
    if (load_le64(tcp + segment - 8) != ~f.mark) return std::nullopt;
    head += 8, tail = 8;
  }
  if (transport_sum(frame, protocol_tcp, segment, head, tail) != 0) return std::nullopt;
  return f;
}

std::uint32_t put_udp(const UdpFields& f, MutableBytes room) {
  MWTUN_ASSERT(f.payload_bytes >= 16 && f.payload_bytes % 2 == 0);
  std::uint8_t* const udp = room.data() + transport_at;
  const std::size_t segment = std::size_t{8} + f.payload_bytes;
  put_ports(udp, f.flow, f.from);
  store_be16(udp + 4, static_cast<std::uint16_t>(segment));
  store_be16(udp + 6, 0);
  std::memset(udp + 8, 0, f.payload_bytes);
  store_le(udp + 8, f.sequence, 8);
  store_le(udp + 16, static_cast<std::uint64_t>(f.sent.time_since_epoch().count()), 8);
  put_network(room, f.from, protocol_udp, 0, 20 + segment);
  const std::uint16_t sum = transport_sum(room, protocol_udp, segment, 24, 0);
  store_be16(udp + 6, sum == 0 ? std::uint16_t{0xffff} : sum);  // 0 means: none.
  return padded(room, transport_at + segment);
}

std::optional<UdpFields> read_udp(Bytes frame) {
  const auto packet = packet_bytes_of(frame, protocol_udp);
  if (!packet || *packet < 20 + 24) return std::nullopt;
  if (transport_sum(frame, protocol_udp, *packet - 20, 24, 0) != 0) return std::nullopt;
  const std::uint8_t* const udp = frame.data() + transport_at;
  UdpFields f;
  f.flow = flow_of_ports(frame);
  f.from = sender_of(frame);
  f.sequence = load_le64(udp + 8);
  f.sent = Instant{} + Duration(static_cast<Duration::rep>(load_le64(udp + 16)));
  f.payload_bytes = static_cast<std::uint16_t>(*packet - 28);
  return f;
}

std::uint32_t put_echo(const EchoFields& f, MutableBytes room) {
  constexpr std::size_t segment = 64;  // As ping's: 8 bytes of header, 56 of data.
  std::uint8_t* const icmp = room.data() + transport_at;
  std::memset(icmp, 0, segment);
  icmp[0] = f.reply ? 0 : 8;
  store_be16(icmp + 4, f.flow);
  store_be16(icmp + 6, f.sequence);
  store_le(icmp + 8, static_cast<std::uint64_t>(f.sent.time_since_epoch().count()), 8);
  store_be16(icmp + 2, folded(sum_of(icmp, segment, 0)));
  put_network(room, f.from, protocol_icmp, 0, 20 + segment);
  return transport_at + segment;
}

std::optional<EchoFields> read_echo(Bytes frame) {
  const auto packet = packet_bytes_of(frame, protocol_icmp);
  if (!packet || *packet != 84) return std::nullopt;
  const std::uint8_t* const icmp = frame.data() + transport_at;
  if (folded(sum_of(icmp, 64, 0)) != 0) return std::nullopt;
  EchoFields f;
  f.flow = load_be16(icmp + 4);
  f.from = sender_of(frame);
  f.reply = icmp[0] == 0;
  f.sequence = load_be16(icmp + 6);
  f.sent = Instant{} + Duration(static_cast<Duration::rep>(load_le64(icmp + 8)));
  return f;
}

std::optional<std::uint16_t> flow_of_frame(Bytes frame, Side at) {
  if (frame.size() < transport_at + 8 || load_be16(frame.data() + 12) != 0x0800) {
    return std::nullopt;
  }
  if (sender_of(frame) == at) return std::nullopt;
  if (frame[ip_at + 9] == protocol_icmp) return load_be16(frame.data() + transport_at + 4);
  return flow_of_ports(frame);
}

}  // namespace mwtun::test
