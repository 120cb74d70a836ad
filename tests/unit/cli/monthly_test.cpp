#include "cli/monthly.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("a day belongs to the month that began last") {
  CHECK(billing_month({2026, 11, 20}, 1) == BillingMonth{2026, 11});
  CHECK(billing_month({2026, 11, 1}, 1) == BillingMonth{2026, 11});
  CHECK(billing_month({2026, 11, 14}, 15) == BillingMonth{2026, 10});
  CHECK(billing_month({2026, 11, 15}, 15) == BillingMonth{2026, 11});
  CHECK(billing_month({2027, 1, 27}, 28) == BillingMonth{2026, 12});
  CHECK(billing_month({2027, 1, 28}, 28) == BillingMonth{2027, 1});
  CHECK(billing_month({2028, 2, 29}, 28) == BillingMonth{2028, 2});
}

TEST_CASE("every day of four years lies between its month's first day and the next one's") {
  constexpr unsigned lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  for (unsigned first_day = 1; first_day <= 28; ++first_day) {
    BillingMonth before{2024, 11};
    for (int year = 2025; year <= 2028; ++year) {
      for (unsigned month = 1; month <= 12; ++month) {
        const unsigned leap = month == 2 && year % 4 == 0 ? 1 : 0;
        for (unsigned day = 1; day <= lengths[month - 1] + leap; ++day) {
          const CivilDate date{year, month, day};
          const BillingMonth found = billing_month(date, first_day);
          REQUIRE(found.begins(first_day) <= date);
          REQUIRE(date < found.ends(first_day));
          REQUIRE(found >= before);
          before = found;
        }
      }
    }
  }
}

TEST_CASE("months are written as years and months, and read back") {
  CHECK(to_string(BillingMonth{2026, 3}) == "2026-03");
  CHECK(parse_billing_month("2026-03") == BillingMonth{2026, 3});
  CHECK(to_string(BillingMonth{2026, 12}.ends(5)) == "2027-01-05");
  for (const char* text : {"", "2026", "2026-13", "2026-00", "2026-3", "2026/03", "+026-03",
                           "2026-+3", "20260-03", "2026-03 ", "abcd-ef"}) {
    INFO(text);
    CHECK_FALSE(parse_billing_month(text).has_value());
  }
}

TEST_CASE("the count is zero again on the billing day and not before") {
  MonthlyUsage usage(1000, 15);
  usage.restore({2026, 10}, 900);
  CHECK_FALSE(usage.advance({2026, 11, 14}));
  usage.add(99);
  CHECK_FALSE(usage.reached());
  usage.add(1);
  CHECK(usage.reached());
  CHECK(usage.advance({2026, 11, 15}));
  CHECK(usage.bytes() == 0);
  CHECK_FALSE(usage.reached());
  CHECK_FALSE(usage.advance({2026, 11, 30}));
  CHECK(usage.advance({2027, 3, 1}));
}

TEST_CASE("a clock that is not set yet neither begins a month nor ends one") {
  MonthlyUsage usage(1000, 1);
  usage.add(10);
  CHECK_FALSE(usage.advance({1970, 1, 1}));
  CHECK_FALSE(usage.month().has_value());
  // The network is there, and with it the time: what was counted counts.
  CHECK_FALSE(usage.advance({2026, 11, 20}));
  CHECK(usage.bytes() == 10);
  CHECK(usage.month() == BillingMonth{2026, 11});
  // A restart without the time.
  CHECK_FALSE(usage.advance({1970, 1, 1}));
  CHECK(usage.month() == BillingMonth{2026, 11});
  CHECK(usage.bytes() == 10);
}

TEST_CASE("a clock that ran ahead does not hold the count for years") {
  MonthlyUsage usage(1000, 1);
  usage.restore({2099, 1}, 1000);
  CHECK_FALSE(usage.advance({2026, 11, 20}));
  CHECK(usage.reached());  // What was used was used.
  CHECK(usage.advance({2026, 12, 1}));
  CHECK_FALSE(usage.reached());
}

TEST_CASE("a count that cannot grow any more stays reached") {
  MonthlyUsage usage(1000, 1);
  usage.add(UINT64_MAX - 5);
  usage.add(100);
  CHECK(usage.bytes() == UINT64_MAX);
  CHECK(usage.reached());
}
