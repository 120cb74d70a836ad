#include "dataplane/gso_check.hpp"

#include <catch2/catch.hpp>

#include "base/prng.hpp"

using namespace mwtun;

namespace {

/// True when it gives GSO up within so many datagrams, after so many of which none was lost.
bool gives_up(double lost_joined, double lost_alone, std::uint64_t datagrams, std::uint64_t seed,
              std::uint64_t fine = 0) {
  GsoCheck check;
  Prng random(seed);
  for (std::uint64_t number = 0; number < fine; ++number) check.settled(number, false);
  for (std::uint64_t number = fine; number < fine + datagrams; ++number) {
    const bool lost = random.chance(check.may_join(number) ? lost_joined : lost_alone);
    if (check.settled(number, lost)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("one datagram in 64 goes alone, and all do once it is given up") {
  GsoCheck check;
  unsigned alone = 0;
  for (std::uint64_t number = 0; number < 640; ++number) alone += check.may_join(number) ? 0u : 1u;
  CHECK(alone == 10);
  for (std::uint64_t number = 0; !check.given_up() && number < 40'000; ++number) {
    check.settled(number, check.may_join(number));
  }
  REQUIRE(check.given_up());
  CHECK_FALSE(check.may_join(5));
}

TEST_CASE("datagrams that vanish only together are noticed within forty thousand") {
  const double lost = GENERATE(0.15, 0.5, 1.0);
  for (std::uint64_t seed = 1; seed <= 50; ++seed) CHECK(gives_up(lost, 0, 40'000, seed));
}

TEST_CASE("once all was fine one in 512 goes alone, and what begins to vanish later is noticed") {
  GsoCheck check;
  for (std::uint64_t number = 0; number < 40'000; ++number) check.settled(number, false);
  unsigned alone = 0;
  for (std::uint64_t number = 0; number < 5'120; ++number) {
    alone += check.may_join(number) ? 0u : 1u;
  }
  CHECK(alone == 10);
  const double lost = GENERATE(0.15, 0.5, 1.0);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) CHECK(gives_up(lost, 0, 40'000, seed, 40'000));
}

TEST_CASE("a line that loses all alike is not blamed on GSO") {
  const double lost = GENERATE(0.0, 0.01, 0.1, 0.2, 0.3, 0.5);
  unsigned wrong = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    wrong += gives_up(lost, lost, 100'000, seed) ? 1u : 0u;
  }
  CHECK(wrong == 0);
}
