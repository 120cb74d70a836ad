#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "sched/kinds.hpp"
#include "sched/link_view.hpp"

namespace mwtun {

using MacAddress = std::array<std::uint8_t, 6>;
/// Both ends belong to it.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  bool operator==(const PortRange&) const = default;
};

/// Which frames, and how they are to travel. A frame must fit every criterion that is there, and
/// fits one by any of its values.
struct TrafficRule {
  // Bounds of the lists; a rule of that size fits one control chunk.
  static constexpr std::size_t protocols_max = 8, ports_max = 16, macs_max = 16, vlans_max = 16;
  static constexpr std::uint8_t dscp_max = 63;
  static constexpr std::uint16_t vlan_max = 4094;

  std::uint64_t dscp = 0;  // A bit a code point; none: any, and what is not IP.
  std::vector<std::uint8_t> protocols;
  std::vector<PortRange> ports;      // Of either end. Fragments have none.
  std::vector<MacAddress> macs;      // Of either end.
  std::vector<std::uint16_t> vlans;  // Of any tag.

  std::optional<SchedulerKind> scheduler;  // None: the tunnel's.
  LinkSet links;                           // Only these while one of them carries; empty: all.

  bool has_criterion() const {
    return dscp != 0 || !protocols.empty() || !ports.empty() || !macs.empty() || !vlans.empty();
  }
  bool has_effect() const { return scheduler.has_value() || !links.empty(); }
  bool operator==(const TrafficRule&) const = default;
};

/// What rules look at in one frame; what is not there is none.
struct FrameFields {
  MacAddress destination{}, source{};
  std::array<std::optional<std::uint16_t>, 2> vlans;
  std::optional<std::uint8_t> dscp, protocol;
  std::optional<std::uint16_t> source_port, destination_port;
};
/// Reads an Ethernet frame of any size; takes no length in it on trust. IPv6 extension headers are
/// passed over, up to eight.
FrameFields read_frame_fields(Bytes frame);

bool matches(const TrafficRule& rule, const FrameFields& fields);

/// Number of a frame's class within a session: 0 is none, n the n-th rule.
using ClassNumber = std::uint8_t;

/// The rules of one tunnel, in their order; the first that matches a frame has it.
class TrafficClasses {
 public:
  static constexpr std::size_t rules_max = 32;

  TrafficClasses() = default;
  /// At most rules_max.
  explicit TrafficClasses(std::vector<TrafficRule> rules) : rules_(std::move(rules)) {}

  /// The far end's rules come one by one, in any order and perhaps repeatedly: none of them is in
  /// force before all `count` are here. False when this one contradicts those before.
  bool put(std::size_t index, std::size_t count, TrafficRule rule);

  bool empty() const { return rules_.empty(); }
  std::size_t size() const { return rules_.size(); }
  /// The n-th class, from 1.
  const TrafficRule& rule(ClassNumber number) const { return rules_[number - 1u]; }
  /// Allocates nothing. Costs nothing when there are no rules.
  ClassNumber match(Bytes frame) const;

 private:
  std::vector<TrafficRule> rules_;
  std::vector<std::optional<TrafficRule>> coming_;
};

}  // namespace mwtun
