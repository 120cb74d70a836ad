#pragma once
#include <array>
#include <cstdint>

#include "base/bytes.hpp"
#include "sched/kinds.hpp"

namespace mwtun {

/// What tells one inner flow from another: MACs, VLAN tags, EtherType, addresses, protocol, ports,
/// in a fixed layout so that keys compare as bytes.
struct FlowKey {
  std::array<std::uint8_t, 56> bytes{};
  bool operator==(const FlowKey&) const = default;
};

/// How a frame wants to be treated.
enum class FlowKind : std::uint8_t {
  urgent,  // ICMP, ARP, ND, DNS, DSCP CS5 and above: never held for order.
  stream,  // TCP: order matters at any rate.
  other,   // Ordered once it is fast enough for order to mean something.
};

struct InnerFlow {
  FlowKey key;
  FlowKind kind = FlowKind::other;
};

/// Reads an Ethernet frame of at least 14 bytes. Never fails: what it does not understand is a flow
/// of its MACs and EtherType.
InnerFlow read_inner_flow(Bytes frame);

/// Spreads keys; `seed` keeps a neighbour from choosing collisions.
std::uint64_t hash_flow(const FlowKey& key, std::uint64_t seed);
/// The part of the key that hash scheduling looks at.
std::uint64_t hash_flow_fields(const FlowKey& key, HashFields fields);

}  // namespace mwtun
