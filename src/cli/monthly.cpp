#include "cli/monthly.hpp"

#include <fmt/format.h>

#include <charconv>

namespace mwtun {

static constexpr int year_believable = 2025;

std::string to_string(const CivilDate& date) {
  return fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
}

std::string to_string(const BillingMonth& month) {
  return fmt::format("{:04}-{:02}", month.year, month.month);
}

std::optional<BillingMonth> parse_billing_month(std::string_view text) {
  const auto number = [](std::string_view digits) -> std::optional<unsigned> {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  if (text.size() != 7 || text[4] != '-') return std::nullopt;
  const auto year = number(text.substr(0, 4)), month = number(text.substr(5));
  if (!year || !month || *month < 1 || *month > 12) return std::nullopt;
  return BillingMonth{static_cast<int>(*year), *month};
}

CivilDate BillingMonth::ends(unsigned first_day) const {
  return month == 12 ? CivilDate{year + 1, 1, first_day} : CivilDate{year, month + 1, first_day};
}

BillingMonth billing_month(const CivilDate& date, unsigned first_day) {
  if (date.day >= first_day) return {date.year, date.month};
  return date.month == 1 ? BillingMonth{date.year - 1, 12}
                         : BillingMonth{date.year, date.month - 1};
}

void MonthlyUsage::restore(const BillingMonth& month, std::uint64_t bytes) {
  month_.reset();
  if (month.year >= year_believable) month_ = month;
  bytes_ = bytes;
}

bool MonthlyUsage::advance(const CivilDate& today) {
  if (today.year < year_believable) return false;
  const BillingMonth month = billing_month(today, first_day_);
  // A clock that was not set yet shows an earlier month; one that ran years ahead is disbelieved.
  if (month_ && month < *month_ && month_->year - month.year <= 1) return false;
  const bool fresh = month_ && month > *month_;
  month_ = month;
  if (fresh) bytes_ = 0;
  return fresh;
}

void MonthlyUsage::add(std::uint64_t bytes) {
  bytes_ = bytes > UINT64_MAX - bytes_ ? UINT64_MAX : bytes_ + bytes;
}

}  // namespace mwtun
