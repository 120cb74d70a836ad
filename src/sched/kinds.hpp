#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace mwtun {

/// The numbers stand on the wire (PROTOCOL.md 4.5).
enum class SchedulerKind : std::uint8_t { adaptive, round_robin, hash, active_backup, redundant };
enum class HashFields : std::uint8_t { l2, l2_l3, l3_l4 };

/// Names as the configuration file has them.
const char* to_string(SchedulerKind kind);
std::optional<SchedulerKind> scheduler_from_name(std::string_view name);
const char* to_string(HashFields fields);
std::optional<HashFields> hash_fields_from_name(std::string_view name);

}  // namespace mwtun
