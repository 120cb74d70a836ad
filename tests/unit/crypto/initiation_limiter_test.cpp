#include "crypto/initiation_limiter.hpp"

#include <catch2/catch.hpp>
#include <map>

#include "base/prng.hpp"
#include "support/seeded_entropy.hpp"

using namespace mwtun;
using test::SeededEntropy;

namespace {

Address v4(std::uint32_t number) {
  Address address;
  address.family = Family::v4;
  address.port = static_cast<std::uint16_t>(number * 7919);
  store_be32(address.ip.data(), number);
  return address;
}

struct Fixture {
  SeededEntropy entropy{5};
  InitiationLimiter limiter{entropy};
  Instant start{seconds(50)};
};

}  // namespace

TEST_CASE_METHOD(Fixture, "one source gets a burst of 5 and 20 a second, whatever it sends") {
  for (int i = 0; i < 5; ++i) CHECK(limiter.admit(v4(1), false, start) == Admission::accept);
  CHECK(limiter.admit(v4(1), false, start) == Admission::source_rate);
  int accepted = 5;
  for (int i = 1; i <= 100000; ++i) {  // 10 s at 10,000/s.
    accepted +=
        limiter.admit(v4(1), false, start + microseconds(100) * i) == Admission::accept ? 1 : 0;
  }
  CHECK(accepted == 205);
  for (int i = 0; i < 5; ++i) {
    CHECK(limiter.admit(v4(1), false, start + seconds(20)) == Admission::accept);
  }
  CHECK(limiter.admit(v4(1), false, start + seconds(20)) == Admission::source_rate);
}

TEST_CASE_METHOD(Fixture, "a source that sends too much costs no other source anything") {
  int accepted = 0;
  for (int i = 0; i < 50000; ++i) {  // 5 s at 10,000/s.
    const Instant now = start + microseconds(100) * i;
    limiter.admit(v4(1), false, now);
    if (i % 10000 == 5000) {
      accepted += limiter.admit(v4(2), false, now) == Admission::accept ? 1 : 0;
    }
  }
  CHECK(accepted == 5);
}

TEST_CASE_METHOD(Fixture, "IPv6 counts by /64, a v4-mapped address as its IPv4 address") {
  const auto spend = [&](const char* text) {
    for (int i = 0; i < 5; ++i) limiter.admit(parse_address(text), false, start);
  };
  const auto judged = [&](const char* text) {
    return limiter.admit(parse_address(text), false, start);
  };
  spend("[2001:db8:1:2::1]:1");
  CHECK(judged("[2001:db8:1:2:ffff::9]:1") == Admission::source_rate);
  CHECK(judged("[2001:db8:1:3::1]:1") == Admission::accept);
  spend("198.51.100.1:1");
  CHECK(judged("198.51.100.1:1") == Admission::source_rate);
  CHECK(judged("[::ffff:198.51.100.1]:1") == Admission::source_rate);
  CHECK(judged("[::ffff:198.51.100.2]:1") == Admission::accept);
}

TEST_CASE_METHOD(Fixture, "a port is no way around the bound, nor locked out by its neighbour") {
  Address from = parse_address("198.51.100.1:1");
  for (int i = 0; i < 1000; ++i) limiter.admit(from, false, start);
  CHECK(limiter.admit(from.with_port(2), true, start) == Admission::accept);
  int refused = 0;
  for (std::uint16_t port = 3; port < 200; ++port) {
    refused += limiter.admit(from.with_port(port), true, start) == Admission::source_rate ? 1 : 0;
  }
  CHECK(refused >= 197 - InitiationLimiter::address_burst);
}

TEST_CASE_METHOD(
    Fixture, "a flood from spoofed sources meets its budgets and a cookie holder gets through") {
  Prng prng(9);
  std::map<Admission, std::int64_t> count;
  int holder_accepted = 0, holder_tries = 0;
  constexpr int seconds_long = 10, per_second = 100000;
  for (int i = 0; i < seconds_long * per_second; ++i) {
    const Instant now = start + microseconds(10) * i;
    ++count[limiter.admit(v4(static_cast<std::uint32_t>(prng.below(65536)) + 100), false, now)];
    if (i % (per_second / 2) == per_second / 4) {
      ++holder_tries;
      holder_accepted += limiter.admit(v4(1), true, now) == Admission::accept ? 1 : 0;
    }
  }
  const std::int64_t dh =
      InitiationLimiter::dh_per_initiation * (count[Admission::accept] + holder_accepted);
  CHECK(dh <= 2000 * seconds_long + InitiationLimiter::dh_burst);
  CHECK(count[Admission::cookie] <= 10000 * seconds_long + InitiationLimiter::cookie_burst);
  CHECK(count[Admission::cookie] > 9000 * seconds_long);
  CHECK(count[Admission::cookie_rate] > 0);
  CHECK(holder_tries == 2 * seconds_long);
  CHECK(holder_accepted == holder_tries);
}

TEST_CASE_METHOD(Fixture, "a million sources push no busy source out of the table") {
  Prng prng(10);
  int passed = 0;
  for (int i = 0; i < 1000000; ++i) {  // 10 s: the busy one 1,000/s, others 100,000/s.
    const Instant now = start + microseconds(10) * i;
    limiter.admit(v4(static_cast<std::uint32_t>(prng.next() | 1)), false, now);
    if (i % 100 == 0) {
      passed += limiter.admit(v4(2), false, now) != Admission::source_rate ? 1 : 0;
    }
  }
  CHECK(passed <= 206);
  CHECK(passed >= 200);
}

TEST_CASE_METHOD(Fixture, "under load lasts a second after the budget was spent") {
  Instant now = start;
  std::uint32_t source = 1;
  CHECK_FALSE(limiter.under_load(now));
  int accepted = 0;
  while (limiter.admit(v4(++source), false, now) == Admission::accept) ++accepted;
  CHECK(accepted == InitiationLimiter::dh_burst / InitiationLimiter::dh_per_initiation);
  CHECK(limiter.under_load(now));
  CHECK(limiter.admit(v4(++source), true, now) == Admission::dh_rate);
  now += milliseconds(999);
  CHECK(limiter.under_load(now));
  CHECK(limiter.admit(v4(++source), false, now) == Admission::cookie);
  CHECK(limiter.admit(v4(++source), true, now) == Admission::accept);
  now += milliseconds(1);
  CHECK_FALSE(limiter.under_load(now));
  CHECK(limiter.admit(v4(++source), false, now) == Admission::accept);
}

TEST_CASE_METHOD(Fixture, "valid mac2 does not lift the budget of all") {
  std::int64_t accepted = 0;
  for (std::uint32_t i = 0; i < 20000; ++i) {  // 10 s at 2,000/s from as many sources.
    accepted +=
        limiter.admit(v4(i), true, start + microseconds(500) * i) == Admission::accept ? 1 : 0;
  }
  const std::int64_t dh = accepted * InitiationLimiter::dh_per_initiation;
  CHECK(dh <= 2000 * 10 + InitiationLimiter::dh_burst);
  CHECK(dh >= 2000 * 10 - InitiationLimiter::dh_burst);
}

TEST_CASE_METHOD(Fixture, "cookies for other reasons share their budget") {
  int taken = 0;
  while (limiter.take_cookie(start)) ++taken;
  CHECK(taken == InitiationLimiter::cookie_burst);
  CHECK(limiter.take_cookie(start + InitiationLimiter::cookie_interval));
  CHECK_FALSE(limiter.take_cookie(start + InitiationLimiter::cookie_interval));
}
