#include "dataplane/io/system_clock.hpp"

#include <catch2/catch.hpp>

#include "dataplane/io/os_entropy.hpp"

using namespace mwtun;

TEST_CASE("a receive time keeps its distance from the present") {
  const Instant now = Instant(seconds(5000));
  const std::uint64_t wall = 1'700'000'000'000'000'000;
  const ReceiveClock clock(now, wall);
  CHECK(clock.convert(wall) == now);
  CHECK(clock.convert(wall - 1) == now - nanoseconds(1));
  CHECK(clock.convert(wall - 3'000'000) == now - milliseconds(3));
  CHECK(clock.convert(wall - 1'000'000'000) == now - seconds(1));
}

TEST_CASE("a receive time that cannot be is the present") {
  const Instant now = Instant(seconds(5000));
  const std::uint64_t wall = 1'700'000'000'000'000'000;
  const ReceiveClock clock(now, wall);
  CHECK(clock.convert(0) == now);         // None given.
  CHECK(clock.convert(wall + 1) == now);  // Real time was set back.
  CHECK(clock.convert(wall + 3'600'000'000'000) == now);
  CHECK(clock.convert(wall - 1'000'000'001) == now);  // Real time was set forward.
  CHECK(clock.convert(1) == now);
}

TEST_CASE("monotonic time goes on and real time is of this century") {
  const Instant first = monotonic_now();
  const Instant second = monotonic_now();
  CHECK(second >= first);
  CHECK(first > Instant{});
  CHECK(wall_clock_ns() > 1'600'000'000'000'000'000);
}

TEST_CASE("the kernel's entropy fills all it is given and does not repeat") {
  OsEntropy entropy;
  std::array<std::uint8_t, 4096> first{};
  std::array<std::uint8_t, 4096> second{};
  entropy.fill(first);
  entropy.fill(second);
  CHECK(first != second);
  std::array<unsigned, 256> seen{};
  for (const std::uint8_t byte : first) ++seen[byte];
  for (const unsigned count : seen) CHECK(count < 64);  // 16 expected; 64 is 12 sigma away.
  CHECK(entropy.u64() != entropy.u64());
}
