#include "dataplane/inner_flow.hpp"

#include <algorithm>
#include <cstring>

namespace mwtun {

// Layout of FlowKey::bytes.
static constexpr std::size_t macs_at = 0;        // 12: destination, source
static constexpr std::size_t tags_at = 12;       // 4: up to two VLAN ids
static constexpr std::size_t type_at = 16;       // 2
static constexpr std::size_t protocol_at = 18;   // 1, then 1 spare
static constexpr std::size_t addresses_at = 20;  // 32: source, destination
static constexpr std::size_t ports_at = 52;      // 4

static constexpr std::uint16_t type_arp = 0x0806;
static constexpr std::uint16_t type_ipv4 = 0x0800;
static constexpr std::uint16_t type_ipv6 = 0x86dd;
static constexpr std::uint16_t type_vlan = 0x8100;
static constexpr std::uint16_t type_service_vlan = 0x88a8;
static constexpr std::uint8_t protocol_icmp = 1;
static constexpr std::uint8_t protocol_tcp = 6;
static constexpr std::uint8_t protocol_udp = 17;
static constexpr std::uint8_t protocol_icmpv6 = 58;
static constexpr std::uint8_t dscp_cs5 = 40;
static constexpr std::uint16_t port_dns = 53;

static FlowKind read_transport(FlowKey& key, std::uint8_t protocol, std::uint8_t dscp,
                               Bytes payload) {
  key.bytes[protocol_at] = protocol;
  if (protocol == protocol_icmp || protocol == protocol_icmpv6) return FlowKind::urgent;
  bool dns = false;
  if ((protocol == protocol_tcp || protocol == protocol_udp) && payload.size() >= 4) {
    std::copy_n(payload.begin(), 4, key.bytes.begin() + ports_at);
    dns = protocol == protocol_udp &&
          (load_be16(payload.data()) == port_dns || load_be16(payload.data() + 2) == port_dns);
  }
  if (dns || dscp >= dscp_cs5) return FlowKind::urgent;
  return protocol == protocol_tcp ? FlowKind::stream : FlowKind::other;
}

static FlowKind read_ipv4(FlowKey& key, Bytes packet) {
  if (packet.size() < 20) return FlowKind::other;
  const std::size_t header = std::size_t{packet[0] & 0x0fu} * 4;
  std::copy_n(packet.begin() + 12, 4, key.bytes.begin() + addresses_at);
  std::copy_n(packet.begin() + 16, 4, key.bytes.begin() + addresses_at + 16);
  // Only a first fragment has ports, and the others must follow it: none of them uses ports.
  const bool fragment = (load_be16(packet.data() + 6) & 0x3fff) != 0;
  const bool has_payload = header >= 20 && header <= packet.size() && !fragment;
  const std::uint8_t dscp = packet[1] >> 2;
  return read_transport(key, packet[9], dscp, has_payload ? packet.subspan(header) : Bytes{});
}

static FlowKind read_ipv6(FlowKey& key, Bytes packet) {
  if (packet.size() < 40) return FlowKind::other;
  std::copy_n(packet.begin() + 8, 32, key.bytes.begin() + addresses_at);
  const auto dscp = static_cast<std::uint8_t>((load_be16(packet.data()) >> 4 & 0xff) >> 2);
  return read_transport(key, packet[6], dscp, packet.subspan(40));
}

InnerFlow read_inner_flow(Bytes frame) {
  InnerFlow flow;
  std::copy_n(frame.begin(), 12, flow.key.bytes.begin() + macs_at);
  std::size_t at = 12;
  std::uint16_t type = load_be16(frame.data() + at);
  for (std::size_t tag = 0; tag < 2 && (type == type_vlan || type == type_service_vlan); ++tag) {
    if (frame.size() < at + 6) break;
    store_be16(flow.key.bytes.data() + tags_at + 2 * tag,
               static_cast<std::uint16_t>(load_be16(frame.data() + at + 2) & 0x0fff));
    at += 4;
    type = load_be16(frame.data() + at);
  }
  store_be16(flow.key.bytes.data() + type_at, type);
  const Bytes packet = frame.subspan(at + 2);
  if (type == type_ipv4) flow.kind = read_ipv4(flow.key, packet);
  if (type == type_ipv6) flow.kind = read_ipv6(flow.key, packet);
  if (type == type_arp) flow.kind = FlowKind::urgent;
  return flow;
}

static std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
  return x ^ (x >> 32);
}

static std::uint64_t hash_bytes(const std::uint8_t* at, std::size_t size, std::uint64_t state) {
  for (; size >= 8; at += 8, size -= 8) state = mix(state ^ load_le64(at));
  return size > 0 ? mix(state ^ load_le(at, size)) : state;
}

std::uint64_t hash_flow(const FlowKey& key, std::uint64_t seed) {
  return hash_bytes(key.bytes.data(), key.bytes.size(), seed);
}

std::uint64_t hash_flow_fields(const FlowKey& key, HashFields fields) {
  const std::uint8_t* bytes = key.bytes.data();
  // Frames without addresses have nothing but their MACs to go by.
  const bool ip = std::any_of(bytes + addresses_at, bytes + ports_at,
                              [](std::uint8_t byte) { return byte != 0; });
  if (fields == HashFields::l2 || !ip) return hash_bytes(bytes + macs_at, type_at - macs_at, 0);
  if (fields == HashFields::l2_l3) {
    return hash_bytes(bytes + addresses_at, ports_at - addresses_at,
                      hash_bytes(bytes + macs_at, type_at - macs_at, 0));
  }
  return hash_bytes(bytes + protocol_at, key.bytes.size() - protocol_at, 0);
}

}  // namespace mwtun
