#include "support/frame_maker.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace mwtun::test {
namespace {

constexpr std::uint16_t ethertype_ipv4 = 0x0800, ethertype_ipv6 = 0x86dd, ethertype_arp = 0x0806,
                        ethertype_vlan = 0x8100, ethertype_other = 0x88b5;
constexpr std::uint8_t protocol_icmp = 1, protocol_tcp = 6, protocol_udp = 17;
constexpr std::uint8_t dscp_ef = 46;

bool is_ipv6(FlowKind kind) {
  return kind == FlowKind::tcp6 || kind == FlowKind::udp6;
}
bool is_ip(FlowKind kind) {
  return kind != FlowKind::arp && kind != FlowKind::other;
}
std::size_t network_bytes(FlowKind kind) {
  if (kind == FlowKind::arp) return 28;
  if (kind == FlowKind::other) return 0;
  return is_ipv6(kind) ? 40 : 20;
}
std::size_t transport_bytes(FlowKind kind) {
  switch (kind) {
    case FlowKind::tcp4:
    case FlowKind::tcp6: return 20;
    case FlowKind::arp:
    case FlowKind::other: return 0;
    default: return 8;
  }
}
std::size_t link_bytes(const FlowShape& shape) {
  return shape.vlan ? 18 : 14;
}

std::uint32_t sum_of(Bytes bytes, std::uint32_t sum) {
  std::size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += load_be16(bytes.data() + i);
  if (i < bytes.size()) sum += static_cast<std::uint32_t>(bytes[i]) << 8;
  return sum;
}
std::uint16_t folded(std::uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/// Mixes eight bytes at a time; strong enough to tell a wrong frame from a right one.
std::uint64_t hash_of(Bytes bytes) {
  std::uint64_t hash = 0x9e3779b97f4a7c15 ^ bytes.size();
  std::size_t i = 0;
  const auto mix = [&hash](std::uint64_t word) {
    hash = (hash ^ word) * 0xff51afd7ed558ccd;
    hash ^= hash >> 29;
  };
  for (; i + 8 <= bytes.size(); i += 8) mix(load_le64(bytes.data() + i));
  if (i < bytes.size()) mix(load_le(bytes.data() + i, bytes.size() - i));
  mix(bytes.size());
  return hash;
}

/// Where the fields are that a hash of the contents must leave out.
struct Layout {
  bool ipv4 = false;
  bool ipv6 = false;
  std::size_t network = 0;    // Where the network header begins,
  std::size_t transport = 0;  // and the transport header; 0: there is none.
  std::size_t checksum = 0;   // Transport checksum.
  std::size_t end = 0;        // Of the packet; what follows is padding.
  std::uint8_t protocol = 0;
};
std::optional<Layout> layout_of(Bytes frame) {
  if (frame.size() < 60) return std::nullopt;
  Layout layout;
  std::uint16_t ethertype = load_be16(frame.data() + 12);
  layout.network = 14;
  if (ethertype == ethertype_vlan) ethertype = load_be16(frame.data() + 16), layout.network = 18;
  const std::uint8_t* const packet = frame.data() + layout.network;
  const std::size_t room = frame.size() - layout.network;
  layout.ipv4 = ethertype == ethertype_ipv4, layout.ipv6 = ethertype == ethertype_ipv6;
  const std::size_t header = layout.ipv6 ? 40 : 20;
  if ((!layout.ipv4 && !layout.ipv6) || room < header + 8) return layout;
  const std::size_t bytes = layout.ipv4 ? load_be16(packet + 2) : 40u + load_be16(packet + 4);
  if (bytes > room || bytes < header + 8) return layout;
  layout.protocol = packet[layout.ipv4 ? 9 : 6];
  layout.transport = layout.network + header;
  layout.end = layout.network + bytes;
  layout.checksum = layout.transport + (layout.protocol == protocol_tcp   ? 16
                                        : layout.protocol == protocol_udp ? 6
                                                                          : 2);
  if (layout.checksum + 2 > layout.end) layout.transport = 0;
  return layout;
}

/// Sum over the pseudo-header, where the protocol has one, and the segment: 0 when the checksum is
/// right.
std::uint16_t transport_sum(Bytes frame, const Layout& layout) {
  const Bytes segment = frame.subspan(layout.transport, layout.end - layout.transport);
  std::uint32_t sum = 0;
  if (layout.protocol != protocol_icmp) {
    const Bytes addresses =
        layout.ipv6 ? frame.subspan(layout.network + 8, 32) : frame.subspan(layout.network + 12, 8);
    sum = sum_of(addresses, layout.protocol + static_cast<std::uint32_t>(segment.size()));
  }
  return folded(sum_of(segment, sum));
}

/// The hash of a frame with what a router may change (ECN and the checksum that covers it) left
/// out, and the transport checksum, which covers the hash.
std::uint64_t stable_hash(Bytes frame, const Layout& layout) {
  thread_local std::vector<std::uint8_t> copy;
  copy.assign(frame.begin(), frame.end() - 8);
  if (layout.ipv4) {
    copy[layout.network + 1] = static_cast<std::uint8_t>(copy[layout.network + 1] & ~3u);
    store_be16(copy.data() + layout.network + 10, 0);
  } else if (layout.ipv6) {
    copy[layout.network + 1] = static_cast<std::uint8_t>(copy[layout.network + 1] & ~0x30u);
  }
  if (layout.transport != 0) store_be16(copy.data() + layout.checksum, 0);
  return hash_of(copy);
}

void put_ipv4(std::uint8_t* at, std::uint16_t id, bool source) {
  const std::array<std::uint8_t, 4> address{10, static_cast<std::uint8_t>(source ? 1 : 2),
                                            static_cast<std::uint8_t>(id >> 8),
                                            static_cast<std::uint8_t>(id)};
  std::copy(address.begin(), address.end(), at);
}

void put_network(const FlowShape& shape, std::uint64_t sequence, MutableBytes packet,
                 std::size_t packet_bytes) {
  std::uint8_t* const at = packet.data();
  const std::uint8_t protocol = transport_bytes(shape.kind) == 20 ? protocol_tcp
                                : shape.kind == FlowKind::icmp4   ? protocol_icmp
                                                                  : protocol_udp;
  const std::uint8_t dscp = shape.kind == FlowKind::voice ? dscp_ef : 0;
  const auto traffic_class = static_cast<std::uint8_t>(dscp << 2 | (shape.ecn_capable ? 2 : 0));
  if (is_ipv6(shape.kind)) {
    store_be32(at, 6u << 28 | static_cast<std::uint32_t>(traffic_class) << 20 | shape.id);
    store_be16(at + 4, static_cast<std::uint16_t>(packet_bytes - 40));
    at[6] = protocol, at[7] = 64;
    for (const std::size_t end : {8u, 24u}) {
      store_be32(at + end, 0xfd000000);
      store_be16(at + end + 14, shape.id);
      at[end + 12] = static_cast<std::uint8_t>(end == 8 ? 1 : 2);
    }
    return;
  }
  at[0] = 0x45, at[1] = traffic_class;
  store_be16(at + 2, static_cast<std::uint16_t>(packet_bytes));
  store_be16(at + 4, static_cast<std::uint16_t>(sequence));
  store_be16(at + 6, 0x4000);
  at[8] = 64, at[9] = protocol;
  put_ipv4(at + 12, shape.id, true);
  put_ipv4(at + 16, shape.id, false);
  store_be16(at + 10, folded(sum_of({at, 20}, 0)));
}

/// All but the checksum.
void put_transport(const FlowShape& shape, std::uint64_t sequence, MutableBytes packet,
                   std::size_t packet_bytes) {
  std::uint8_t* const at = packet.data() + network_bytes(shape.kind);
  const std::size_t segment_bytes = packet_bytes - network_bytes(shape.kind);
  const auto port = static_cast<std::uint16_t>(1024 + shape.id % 60000);
  std::fill_n(at, transport_bytes(shape.kind), std::uint8_t{0});
  if (shape.kind == FlowKind::tcp4 || shape.kind == FlowKind::tcp6) {
    store_be16(at, port);
    store_be16(at + 2, 443);
    store_be32(at + 4, static_cast<std::uint32_t>(sequence * 1448));
    store_be32(at + 8, static_cast<std::uint32_t>(sequence));
    at[12] = 5 << 4, at[13] = 0x10;
    store_be16(at + 14, 512);
  } else if (shape.kind == FlowKind::icmp4) {
    at[0] = 8;
    store_be16(at + 4, shape.id);
    store_be16(at + 6, static_cast<std::uint16_t>(sequence));
  } else {
    store_be16(at, port);
    store_be16(at + 2, shape.kind == FlowKind::dns ? 53 : 5001);
    store_be16(at + 4, static_cast<std::uint16_t>(segment_bytes));
  }
}

std::optional<FrameTag> refuse(std::string* why, const char* text) {
  if (why != nullptr) *why = text;
  return std::nullopt;
}

}  // namespace

const char* to_string(FlowKind kind) {
  switch (kind) {
    case FlowKind::tcp4: return "tcp4";
    case FlowKind::tcp6: return "tcp6";
    case FlowKind::udp4: return "udp4";
    case FlowKind::udp6: return "udp6";
    case FlowKind::icmp4: return "icmp4";
    case FlowKind::arp: return "arp";
    case FlowKind::dns: return "dns";
    case FlowKind::voice: return "voice";
    case FlowKind::other: return "other";
  }
  return "?";
}

std::size_t frame_bytes_min(const FlowShape& shape) {
  return std::max<std::size_t>(60, link_bytes(shape) + network_bytes(shape.kind) +
                                       transport_bytes(shape.kind) + frame_tag_bytes);
}

void make_frame(const FlowShape& shape, std::uint64_t sequence, MutableBytes out) {
  MWTUN_ASSERT(out.size() >= frame_bytes_min(shape));
  std::uint64_t noise = (std::uint64_t{shape.id} << 48) ^ (sequence * 0x2545f4914f6cdd1d) ^ 1;
  for (std::size_t i = 0; i < out.size(); i += 8) {
    noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
    store_le(out.data() + i, noise, std::min<std::size_t>(8, out.size() - i));
  }
  const std::array<std::uint8_t, 14> ethernet{
      0x02, 0, 0, 2, static_cast<std::uint8_t>(shape.id >> 8), static_cast<std::uint8_t>(shape.id),
      0x02, 0, 0, 1, static_cast<std::uint8_t>(shape.id >> 8), static_cast<std::uint8_t>(shape.id)};
  std::copy(ethernet.begin(), ethernet.end(), out.begin());
  const std::uint16_t ethertype = shape.kind == FlowKind::arp     ? ethertype_arp
                                  : shape.kind == FlowKind::other ? ethertype_other
                                  : is_ipv6(shape.kind)           ? ethertype_ipv6
                                                                  : ethertype_ipv4;
  std::size_t at = 12;
  if (shape.vlan) {
    store_be16(out.data() + 12, ethertype_vlan);
    store_be16(out.data() + 14, static_cast<std::uint16_t>(1 + shape.id % 4000));
    at = 16;
  }
  store_be16(out.data() + at, ethertype);
  const MutableBytes packet = out.subspan(at + 2);

  store_le(out.data() + out.size() - 16, shape.id, 2);
  store_le(out.data() + out.size() - 14, sequence, 6);
  if (shape.kind == FlowKind::arp) {
    const std::array<std::uint8_t, 8> request{0, 1, 8, 0, 6, 4, 0, 1};
    std::copy(request.begin(), request.end(), packet.begin());
    std::copy_n(out.begin() + 6, 6, packet.begin() + 8);
    put_ipv4(packet.data() + 14, shape.id, true);
    std::fill_n(packet.begin() + 18, 6, std::uint8_t{0});
    put_ipv4(packet.data() + 24, shape.id, false);
  } else if (is_ip(shape.kind)) {
    // The smallest frames are bare headers, with the tag behind them as padding.
    const std::size_t headers = network_bytes(shape.kind) + transport_bytes(shape.kind);
    const bool bare = out.size() == frame_bytes_min(shape);
    const std::size_t packet_bytes = bare ? headers : packet.size();
    std::fill_n(packet.begin(), network_bytes(shape.kind), std::uint8_t{0});
    put_network(shape, sequence, packet, packet_bytes);
    put_transport(shape, sequence, packet, packet_bytes);
  }
  const auto layout = layout_of(out);
  store_le(out.data() + out.size() - 8, stable_hash(out, *layout), 8);
  if (layout->transport != 0) {
    store_be16(out.data() + layout->checksum, transport_sum(out, *layout));
  }
}

std::optional<FrameTag> read_frame(Bytes frame, std::string* why) {
  const auto layout = layout_of(frame);
  if (!layout) return refuse(why, "shorter than Ethernet allows");
  const std::uint8_t* const tag = frame.data() + frame.size() - frame_tag_bytes;
  if (load_le64(tag + 8) != stable_hash(frame, *layout)) return refuse(why, "contents changed");
  if (layout->ipv4 && folded(sum_of(frame.subspan(layout->network, 20), 0)) != 0) {
    return refuse(why, "IPv4 header checksum wrong");
  }
  if (layout->transport != 0 && transport_sum(frame, *layout) != 0) {
    return refuse(why, "transport checksum wrong");
  }
  return FrameTag{load_le16(tag), load_le(tag + 2, 6)};
}

}  // namespace mwtun::test
