#include "base/prng.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("the generator gives the published numbers of xoshiro256** for seed 0", "[prng]") {
  // As the reference code gives them after splitmix64(0); rand_xoshiro has the same four.
  Prng prng(0);
  CHECK(prng.next() == 11091344671253066420u);
  CHECK(prng.next() == 13793997310169335082u);
  CHECK(prng.next() == 1900383378846508768u);
  CHECK(prng.next() == 7684712102626143532u);
}

TEST_CASE("numbers below a limit stay below it and reach all of it", "[prng]") {
  Prng prng(7);
  int counts[10] = {};
  for (int i = 0; i < 10'000; ++i) ++counts[prng.below(10)];
  for (const int count : counts) {
    CHECK(count > 850);
    CHECK(count < 1150);
  }
  CHECK(prng.below(0) == 0);
  CHECK(prng.below(1) == 0);
  bool low = false, high = false;
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t drawn = prng.between(3, 5);
    REQUIRE(drawn >= 3);
    REQUIRE(drawn <= 5);
    low |= drawn == 3;
    high |= drawn == 5;
  }
  CHECK(low);
  CHECK(high);
}

TEST_CASE("chance of nought never happens and of one always does", "[prng]") {
  Prng prng(9);
  for (int i = 0; i < 1000; ++i) {
    REQUIRE_FALSE(prng.chance(0));
    REQUIRE(prng.chance(1));
    const double unit = prng.unit();
    REQUIRE(unit >= 0);
    REQUIRE(unit < 1);
  }
}

TEST_CASE("the same seed gives the same run, another seed another", "[prng]") {
  Prng one(5), same(5), other(6);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t value = one.next();
    REQUIRE(value == same.next());
    differs |= value != other.next();
  }
  CHECK(differs);
}
