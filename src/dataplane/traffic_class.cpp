#include "dataplane/traffic_class.hpp"

#include <algorithm>

namespace mwtun {

static constexpr std::uint16_t type_ipv4 = 0x0800, type_ipv6 = 0x86dd;
static constexpr std::uint16_t type_vlan = 0x8100, type_service_vlan = 0x88a8;
static constexpr std::uint8_t protocol_hop_options = 0, protocol_tcp = 6, protocol_udp = 17,
                              protocol_dccp = 33, protocol_routing = 43, protocol_fragment = 44,
                              protocol_authentication = 51, protocol_destination = 60,
                              protocol_sctp = 132, protocol_udplite = 136;
static constexpr int extensions_max = 8;

static bool has_ports(std::uint8_t protocol) {
  return protocol == protocol_tcp || protocol == protocol_udp || protocol == protocol_dccp ||
         protocol == protocol_sctp || protocol == protocol_udplite;
}

static void read_transport(FrameFields& fields, std::uint8_t protocol, Bytes payload) {
  fields.protocol = protocol;
  if (!has_ports(protocol) || payload.size() < 4) return;
  fields.source_port = load_be16(payload.data());
  fields.destination_port = load_be16(payload.data() + 2);
}

static void read_ipv4(FrameFields& fields, Bytes packet) {
  if (packet.size() < 20 || packet[0] >> 4 != 4) return;
  fields.dscp = static_cast<std::uint8_t>(packet[1] >> 2);
  const std::size_t header = std::size_t{packet[0] & 0x0fu} * 4;
  // Fragments belong together, and only the first has ports: so none of them uses them.
  const bool fragment = (load_be16(packet.data() + 6) & 0x3fff) != 0;
  const bool has_payload = header >= 20 && header <= packet.size() && !fragment;
  read_transport(fields, packet[9], has_payload ? packet.subspan(header) : Bytes{});
}

static void read_ipv6(FrameFields& fields, Bytes packet) {
  if (packet.size() < 40 || packet[0] >> 4 != 6) return;
  fields.dscp = static_cast<std::uint8_t>(load_be16(packet.data()) >> 6 & 0x3f);
  std::uint8_t next = packet[6];
  Bytes rest = packet.subspan(40);
  for (int i = 0; i < extensions_max; ++i) {
    const bool options =
        next == protocol_hop_options || next == protocol_routing || next == protocol_destination;
    if (!options && next != protocol_fragment && next != protocol_authentication) {
      read_transport(fields, next, rest);
      return;
    }
    if (rest.size() < 8) break;
    if (next == protocol_fragment && (load_be16(rest.data() + 2) & 0xfff9) != 0) {
      // What follows may be in another fragment. The protocol is known when it comes next.
      read_transport(fields, rest[0], {});
      return;
    }
    std::size_t size = 8;
    if (options) size = (std::size_t{rest[1]} + 1) * 8;
    if (next == protocol_authentication) size = (std::size_t{rest[1]} + 2) * 4;
    next = rest[0];
    if (size > rest.size()) break;
    rest = rest.subspan(size);
  }
}

FrameFields read_frame_fields(Bytes frame) {
  FrameFields fields;
  if (frame.size() < 14) return fields;
  std::copy_n(frame.begin(), 6, fields.destination.begin());
  std::copy_n(frame.begin() + 6, 6, fields.source.begin());
  std::size_t at = 12;
  std::uint16_t type = load_be16(frame.data() + at);
  for (auto& vlan : fields.vlans) {
    if ((type != type_vlan && type != type_service_vlan) || frame.size() < at + 6) break;
    vlan = static_cast<std::uint16_t>(load_be16(frame.data() + at + 2) & 0x0fff);
    at += 4;
    type = load_be16(frame.data() + at);
  }
  const Bytes packet = frame.subspan(at + 2);
  if (type == type_ipv4) read_ipv4(fields, packet);
  if (type == type_ipv6) read_ipv6(fields, packet);
  return fields;
}

template <typename List, typename Value>
static bool has(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool matches(const TrafficRule& rule, const FrameFields& fields) {
  if (rule.dscp != 0 && (!fields.dscp || (rule.dscp >> *fields.dscp & 1) == 0)) return false;
  if (!rule.protocols.empty() && (!fields.protocol || !has(rule.protocols, *fields.protocol))) {
    return false;
  }
  if (!rule.ports.empty()) {
    if (!fields.source_port) return false;
    const auto covers = [&](const PortRange& range) {
      return (*fields.source_port >= range.first && *fields.source_port <= range.last) ||
             (*fields.destination_port >= range.first && *fields.destination_port <= range.last);
    };
    if (std::none_of(rule.ports.begin(), rule.ports.end(), covers)) return false;
  }
  if (!rule.macs.empty() && !has(rule.macs, fields.source) && !has(rule.macs, fields.destination)) {
    return false;
  }
  if (!rule.vlans.empty()) {
    const auto tagged = [&](const std::optional<std::uint16_t>& vlan) {
      return vlan && has(rule.vlans, *vlan);
    };
    if (std::none_of(fields.vlans.begin(), fields.vlans.end(), tagged)) return false;
  }
  return true;
}

bool TrafficClasses::put(std::size_t index, std::size_t count, TrafficRule rule) {
  if (count == 0 || count > rules_max || index >= count) return false;
  if (!rules_.empty()) return rules_.size() == count && rules_[index] == rule;
  if (coming_.empty()) coming_.resize(count);
  if (coming_.size() != count) return false;
  std::optional<TrafficRule>& place = coming_[index];
  if (place) return *place == rule;
  place = std::move(rule);
  if (std::any_of(coming_.begin(), coming_.end(), [](const auto& r) { return !r; })) return true;
  for (std::optional<TrafficRule>& r : coming_) rules_.push_back(std::move(*r));
  coming_.clear();
  return true;
}

ClassNumber TrafficClasses::match(Bytes frame) const {
  if (rules_.empty()) return 0;
  const FrameFields fields = read_frame_fields(frame);
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (matches(rules_[i], fields)) return static_cast<ClassNumber>(i + 1);
  }
  return 0;
}

}  // namespace mwtun
