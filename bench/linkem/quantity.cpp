#include "linkem/quantity.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <span>

namespace mwtun::linkem {
namespace {

struct Unit {
  std::string_view suffix;
  double factor;
};

Error unreadable(std::string_view text, std::string_view what) {
  return Error{fmt::format("\"{}\" is not {}", text.substr(0, 60), what), 64};
}

/// Number and suffix, as the number times the suffix's factor; negative when it cannot be read.
double with_unit(std::string_view text, std::span<const Unit> units) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return -1;
  const std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  for (const Unit& unit : units) {
    if (unit.suffix == suffix) return number * unit.factor;
  }
  // 0 of anything is 0.
  return suffix.empty() && number == 0 ? 0 : -1;
}

}  // namespace

Result<std::uint64_t> parse_rate(std::string_view text) {
  static constexpr Unit units[] = {{"", 1},       {"k", 1e3}, {"kbit", 1e3}, {"M", 1e6},
                                   {"Mbit", 1e6}, {"G", 1e9}, {"Gbit", 1e9}, {"bit", 1}};
  if (text == "none") return std::uint64_t{0};
  const double rate_bps = with_unit(text, units);
  if (rate_bps < 0 || rate_bps > 1e12) {
    return unreadable(text,
                      "a rate: write bits per second with k, M or G (\"100M\", \"2.5M\", at "
                      "most 1000G), or \"none\"");
  }
  return static_cast<std::uint64_t>(std::llround(rate_bps));
}

Result<Duration> parse_time(std::string_view text) {
  static constexpr Unit units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
  const double time_ns = with_unit(text, units);
  if (time_ns < 0 || time_ns > 3600e9) {
    return unreadable(text,
                      "a time: write a number with ns, us, ms or s (\"10ms\", \"1.5s\", at "
                      "most 3600s)");
  }
  return Duration{std::llround(time_ns)};
}

Result<double> parse_probability(std::string_view text) {
  static constexpr Unit units[] = {{"", 1}, {"%", 0.01}};
  const double probability = with_unit(text, units);
  if (probability < 0 || probability > 1) {
    return unreadable(text, "a probability: write \"1%\" or \"0.01\", 0 to 100%");
  }
  return probability;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  static constexpr Unit units[] = {{"", 1},     {"B", 1},      {"kB", 1e3},
                                   {"MB", 1e6}, {"KiB", 1024}, {"MiB", 1024.0 * 1024}};
  const double bytes = with_unit(text, units);
  if (bytes < 0 || bytes > 1e12) {
    return unreadable(text, "a size: write bytes, or a number with kB, MB, KiB or MiB");
  }
  return static_cast<std::uint64_t>(std::llround(bytes));
}

Result<std::uint64_t> parse_count(std::string_view text, std::uint64_t low, std::uint64_t high) {
  std::uint64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc{} || rest != end || count < low || count > high) {
    return unreadable(text, fmt::format("a whole number from {} to {}", low, high));
  }
  return count;
}

}  // namespace mwtun::linkem
