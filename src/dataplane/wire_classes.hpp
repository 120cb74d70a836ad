#pragma once
#include <cstdint>
#include <optional>

#include "dataplane/traffic_class.hpp"
#include "dataplane/wire.hpp"

/// The CLASS chunk of docs/PROTOCOL.md 4.7: one rule of the initiator's list.
namespace mwtun::wire {

struct ClassChunk {
  std::uint8_t index = 0;
  std::uint8_t count = 0;
  TrafficRule rule;
};

/// Of the chunk's body; at most control_body_max for a rule within its bounds.
std::size_t class_body_bytes(const TrafficRule& rule);
/// Type, length and body. The rule is within its bounds, and has criterion and effect.
void write_class(Writer& out, const ClassChunk& chunk);
/// None when a value is out of its bounds or the size is not what it says.
std::optional<ClassChunk> read_class(Bytes body);

}  // namespace mwtun::wire
