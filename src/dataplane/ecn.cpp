#include "dataplane/ecn.hpp"

namespace mwtun {

static constexpr std::uint16_t type_ipv4 = 0x0800;
static constexpr std::uint16_t type_ipv6 = 0x86dd;
static constexpr std::uint16_t type_vlan = 0x8100;
static constexpr std::uint16_t type_service_vlan = 0x88a8;
static constexpr unsigned not_capable = 0;  // Of the two bits of the ECN field.
static constexpr unsigned congestion = 3;

static bool mark_ipv4(MutableBytes packet) {
  if (packet.size() < 20 || packet[0] >> 4 != 4) return false;
  const std::size_t header = std::size_t{packet[0] & 0x0fu} * 4;
  if (header < 20 || header > packet.size()) return false;
  const unsigned ecn = packet[1] & 3u;
  if (ecn == not_capable || ecn == congestion) return ecn == congestion;
  // The header checksum follows by difference, RFC 1624 (equation 3): HC' = ~(~HC + ~m + m').
  const std::uint16_t before = load_be16(packet.data());
  packet[1] |= congestion;
  const std::uint16_t after = load_be16(packet.data());
  const std::uint16_t checksum = load_be16(packet.data() + 10);
  std::uint32_t sum = (~checksum & 0xffffu) + (~before & 0xffffu) + after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(packet.data() + 10, static_cast<std::uint16_t>(~sum));
  return true;
}

static bool mark_ipv6(MutableBytes packet) {
  if (packet.size() < 40 || packet[0] >> 4 != 6) return false;
  // The traffic class stands across the first two bytes: its ECN bits are in the second.
  const unsigned ecn = packet[1] >> 4 & 3u;
  if (ecn == not_capable) return false;
  packet[1] |= congestion << 4;
  return true;
}

bool mark_congestion(MutableBytes frame) {
  std::size_t at = 12;
  for (int tags = 0; frame.size() >= at + 2; ++tags, at += 4) {
    const std::uint16_t type = load_be16(frame.data() + at);
    if (type == type_ipv4) return mark_ipv4(frame.subspan(at + 2));
    if (type == type_ipv6) return mark_ipv6(frame.subspan(at + 2));
    if (tags == 2 || (type != type_vlan && type != type_service_vlan)) return false;
  }
  return false;
}

}  // namespace mwtun
