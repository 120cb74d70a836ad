#include "dataplane/proof.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

static constexpr Instant start{seconds(50)};
static constexpr LinkId one{0}, two{1};

TEST_CASE("with links that keep order, proof is what the slowest has delivered", "[proof]") {
  ProofTracker proof;
  CHECK(proof.clear(start) == 0);
  proof.arrived(one, 0, 0, 100, start);
  CHECK(proof.clear(start) == 100);
  proof.arrived(two, 0, 0, 50, start);
  CHECK(proof.clear(start) == 50);
  proof.arrived(two, 0, 5, 200, start);  // What is missing between was lost.
  CHECK(proof.clear(start) == 100);
  proof.forget(one);
  CHECK(proof.clear(start) == 200);
}

TEST_CASE("heads carry the proof on when nothing more comes", "[proof]") {
  ProofTracker proof;
  proof.arrived(one, 0, 3, 100, start);
  proof.arrived(two, 0, 3, 50, start);
  proof.head(two, 0, 3, 90, start);
  CHECK(proof.clear(start) == 90);
  proof.head(two, 1, 3, 99, start);  // Of an epoch nothing came in.
  CHECK(proof.clear(start) == 90);
}

TEST_CASE("a head that outruns what it tells of counts when that has come", "[proof]") {
  ProofTracker proof;
  proof.arrived(one, 0, 9, 1000, start);
  proof.arrived(two, 0, 3, 50, start);
  proof.head(two, 0, 4, 500, start);
  proof.head(two, 0, 6, 700, start);
  CHECK(proof.clear(start) == 50);
  proof.arrived(two, 0, 4, 60, start + milliseconds(10));
  CHECK(proof.clear(start + milliseconds(10)) == 500);
  proof.arrived(two, 0, 6, 600, start + milliseconds(20));
  CHECK(proof.clear(start + milliseconds(20)) == 700);
}

TEST_CASE("a link that never delivers what a head told of stops holding up the others", "[proof]") {
  ProofTracker proof;
  proof.arrived(one, 0, 0, 1000, start);
  proof.arrived(two, 0, 0, 50, start);
  proof.head(two, 0, 9, 900, start);
  CHECK(proof.clear(start + seconds(1)) == 50);
  CHECK(proof.clear(start + seconds(3)) == 1000);
}

TEST_CASE("a link that reorders is given the time it was seen to need", "[proof]") {
  ProofTracker proof;
  proof.arrived(one, 0, 0, 10, start);
  proof.arrived(one, 0, 2, 30, start + milliseconds(1));
  CHECK(proof.tolerance(one) == Duration{0});
  proof.arrived(one, 0, 1, 20, start + milliseconds(9));
  CHECK(proof.tolerance(one) == milliseconds(10));  // 8 ms late, and a quarter.
  const Instant next = start + milliseconds(100);
  proof.arrived(one, 0, 5, 500, next);
  CHECK(proof.clear(next + milliseconds(9)) == 30);
  CHECK(proof.clear(next + milliseconds(10)) == 500);
  // Forgotten by halves when it does not happen again.
  for (int s = 10; s < 200; ++s) proof.clear(next + seconds(s));
  CHECK(proof.tolerance(one) == Duration{0});
}

TEST_CASE("no lateness makes the tolerance longer than its bound", "[proof]") {
  ProofTracker proof;
  proof.arrived(one, 0, 5, 10, start);
  proof.arrived(one, 0, 1, 5, start + seconds(60));
  CHECK(proof.tolerance(one) == milliseconds(250));
}

TEST_CASE("a rekey goes on from where the old numbers ended", "[proof]") {
  ProofTracker proof;
  proof.arrived(one, 0, 100'000, 100, start);
  proof.arrived(one, 1, 0, 200, start + seconds(1));
  CHECK(proof.clear(start + seconds(1)) == 200);
  proof.arrived(one, 0, 100'001, 150, start + seconds(1));  // A straggler under the old key.
  CHECK(proof.clear(start + seconds(1)) == 200);
  // Reordering in the new epoch is measured against the new numbers only.
  proof.arrived(one, 1, 5, 210, start + seconds(1));
  proof.arrived(one, 1, 4, 205, start + seconds(1) + milliseconds(4));
  CHECK(proof.tolerance(one) == milliseconds(5));
}

TEST_CASE("a link that slept through several rekeys counts again at once", "[proof]") {
  const auto epoch = static_cast<std::uint8_t>(GENERATE(1, 2, 3));
  ProofTracker proof;
  proof.arrived(one, 0, 7, 100, start);
  proof.arrived(one, epoch, 0, 900, start + seconds(400));
  CHECK(proof.clear(start + seconds(400)) == 900);
}
