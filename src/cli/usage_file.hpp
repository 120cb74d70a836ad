#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "base/result.hpp"
#include "cli/monthly.hpp"

namespace mwtun {

/// What one line had used of a month's volume.
struct UsageRecord {
  BillingMonth month;
  std::uint64_t bytes = 0;

  bool operator==(const UsageRecord&) const = default;
};
/// By "PEER/LINK", as the configuration names them.
using UsageRecords = std::map<std::string, UsageRecord>;

inline constexpr std::size_t usage_file_bytes_max = 4 << 20;

/// One line of JSON, and back. An error says what is wrong with the text, not where it came from.
std::string usage_to_json(const UsageRecords& records);
Result<UsageRecords> usage_from_json(std::string_view text);

/// A file that is not there is empty. Errors name the file and say what it means for the counting.
Result<UsageRecords> read_usage_file(const std::string& path);
/// Out of the way of a new one, for a person to look at; where it then is, or nothing.
std::string set_usage_file_aside(const std::string& path);
/// Takes the place of the file in one step: whoever reads it, also after a crash, sees the old one
/// or the new one. Makes its folder (but not the folder's) if need be.
Result<void> write_usage_file(const std::string& path, const UsageRecords& records);

}  // namespace mwtun
