#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mwtun {

/// A day of the local calendar; month and day count from 1.
struct CivilDate {
  int year = 1970;
  unsigned month = 1;
  unsigned day = 1;

  auto operator<=>(const CivilDate&) const = default;
};
/// "2026-11-20".
std::string to_string(const CivilDate& date);

/// A provider's month: it has the number of the calendar month in which it begins.
struct BillingMonth {
  int year = 1970;
  unsigned month = 1;

  auto operator<=>(const BillingMonth&) const = default;
  /// The first day of this month and of the next, when months begin on this day (1 to 28).
  CivilDate begins(unsigned first_day) const { return {year, month, first_day}; }
  CivilDate ends(unsigned first_day) const;
};
/// The month that a day belongs to.
BillingMonth billing_month(const CivilDate& date, unsigned first_day);
/// "2026-11", and back; none when it is anything else.
std::string to_string(const BillingMonth& month);
std::optional<BillingMonth> parse_billing_month(std::string_view text);

/// What one line has used of its volume in a month. Pure: the caller says what day it is. Clocks of
/// routers are wrong until the network is there, so a date before 2025 moves nothing, and a month
/// that turns out to be earlier than we thought keeps what was counted.
class MonthlyUsage {
 public:
  MonthlyUsage(std::uint64_t bytes_max, unsigned first_day)
      : bytes_max_(bytes_max), first_day_(first_day) {}

  /// What a former run counted.
  void restore(const BillingMonth& month, std::uint64_t bytes);
  /// Moves on to the month of this day. True when a new one began and the count is zero again.
  bool advance(const CivilDate& today);
  void add(std::uint64_t bytes);

  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t bytes_max() const { return bytes_max_; }
  bool reached() const { return bytes_ >= bytes_max_; }
  unsigned first_day() const { return first_day_; }
  /// None while no believable date was seen.
  const std::optional<BillingMonth>& month() const { return month_; }

 private:
  std::uint64_t bytes_max_;
  unsigned first_day_;
  std::uint64_t bytes_ = 0;
  std::optional<BillingMonth> month_;
};

}  // namespace mwtun
