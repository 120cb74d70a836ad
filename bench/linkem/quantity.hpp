#pragma once
#include <cstdint>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"

namespace mwtun::linkem {

/// "100M", "2.5Mbit", "64k", "1G", "none": bits per second.
Result<std::uint64_t> parse_rate(std::string_view text);
/// "10ms", "1.5s", "300us", "20ns", "0".
Result<Duration> parse_time(std::string_view text);
/// "1%", "0.01": a probability, 0 to 1.
Result<double> parse_probability(std::string_view text);
/// "250000", "64kB", "1MiB": bytes.
Result<std::uint64_t> parse_size(std::string_view text);
/// A whole number between `low` and `high`.
Result<std::uint64_t> parse_count(std::string_view text, std::uint64_t low, std::uint64_t high);

}  // namespace mwtun::linkem
