#include "dataplane/wire_classes.hpp"

#include <algorithm>

namespace mwtun::wire {

static constexpr std::uint8_t scheduler_of_session = 0xff;
static constexpr std::size_t fixed_bytes = 1 + 1 + 1 + 2 + 8 + 4;

std::size_t class_body_bytes(const TrafficRule& rule) {
  return fixed_bytes + rule.protocols.size() + 4 * rule.ports.size() + 6 * rule.macs.size() +
         2 * rule.vlans.size();
}
static_assert(fixed_bytes + TrafficRule::protocols_max + 4 * TrafficRule::ports_max +
                  6 * TrafficRule::macs_max + 2 * TrafficRule::vlans_max <=
              control_body_max);

void write_class(Writer& out, const ClassChunk& chunk) {
  const TrafficRule& rule = chunk.rule;
  MWTUN_ASSERT(chunk.index < chunk.count && chunk.count <= TrafficClasses::rules_max);
  MWTUN_ASSERT(rule.protocols.size() <= TrafficRule::protocols_max &&
               rule.ports.size() <= TrafficRule::ports_max &&
               rule.macs.size() <= TrafficRule::macs_max &&
               rule.vlans.size() <= TrafficRule::vlans_max);
  write_control_header(out, Chunk::traffic_class, class_body_bytes(rule));
  out.u8(chunk.index);
  out.u8(chunk.count);
  out.u8(rule.scheduler ? static_cast<std::uint8_t>(*rule.scheduler) : scheduler_of_session);
  out.u16(rule.links.bits());
  out.u64(rule.dscp);
  out.u8(rule.protocols.size());
  out.bytes(rule.protocols);
  out.u8(rule.ports.size());
  for (const PortRange& range : rule.ports) out.u16(range.first), out.u16(range.last);
  out.u8(rule.macs.size());
  for (const MacAddress& mac : rule.macs) out.bytes(mac);
  out.u8(rule.vlans.size());
  for (const std::uint16_t vlan : rule.vlans) out.u16(vlan);
}

/// The number of entries of a list whose bytes must still be there; none when they are not.
static std::optional<std::size_t> read_count(Reader& in, std::size_t most, std::size_t bytes) {
  const std::size_t count = in.u8();
  if (!in.ok() || count > most || in.size() < count * bytes) return std::nullopt;
  return count;
}

std::optional<ClassChunk> read_class(Bytes body) {
  Reader in(body);
  ClassChunk chunk;
  TrafficRule& rule = chunk.rule;
  chunk.index = in.u8();
  chunk.count = in.u8();
  const std::uint8_t scheduler = in.u8();
  const std::uint16_t links = in.u16();
  rule.dscp = in.u64();
  const auto protocols = read_count(in, TrafficRule::protocols_max, 1);
  if (!protocols) return std::nullopt;
  const Bytes listed = in.take(*protocols);
  rule.protocols.assign(listed.begin(), listed.end());
  const auto ports = read_count(in, TrafficRule::ports_max, 4);
  if (!ports) return std::nullopt;
  for (std::size_t i = 0; i < *ports; ++i) {
    const std::uint16_t first = in.u16(), last = in.u16();
    if (first > last) return std::nullopt;
    rule.ports.push_back({first, last});
  }
  const auto macs = read_count(in, TrafficRule::macs_max, 6);
  if (!macs) return std::nullopt;
  for (std::size_t i = 0; i < *macs; ++i) {
    const Bytes bytes = in.take(6);
    std::copy_n(bytes.begin(), 6, rule.macs.emplace_back().begin());
  }
  const auto vlans = read_count(in, TrafficRule::vlans_max, 2);
  if (!vlans) return std::nullopt;
  for (std::size_t i = 0; i < *vlans; ++i) {
    rule.vlans.push_back(in.u16());
    if (rule.vlans.back() > TrafficRule::vlan_max) return std::nullopt;
  }
  if (!in.done() || chunk.count == 0 || chunk.count > TrafficClasses::rules_max ||
      chunk.index >= chunk.count) {
    return std::nullopt;
  }
  if (scheduler != scheduler_of_session) {
    if (scheduler > static_cast<std::uint8_t>(SchedulerKind::redundant)) return std::nullopt;
    rule.scheduler = static_cast<SchedulerKind>(scheduler);
  }
  for (std::uint8_t link = 0; link < links_max; ++link) {
    if ((links >> link & 1) != 0) rule.links.add(LinkId{link});
  }
  if (!rule.has_criterion() || !rule.has_effect()) return std::nullopt;
  return chunk;
}

}  // namespace mwtun::wire
