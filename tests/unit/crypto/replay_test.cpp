#include "crypto/replay.hpp"

#include <catch2/catch.hpp>
#include <iterator>
#include <set>

#include "base/prng.hpp"

using namespace mwtun;

static constexpr std::uint64_t size = ReplayWindow::size;

/// What the window has to be, in as few words as possible.
class SetModel {
 public:
  bool commit(std::uint64_t number) {
    if (number >= ReplayWindow::limit || seen_.count(number) != 0) return false;
    if (!seen_.empty() && number + size <= *seen_.rbegin()) return false;
    seen_.insert(number);
    while (*seen_.begin() + 2 * size < *seen_.rbegin()) seen_.erase(seen_.begin());
    return true;
  }
  std::uint64_t largest() const { return seen_.empty() ? 0 : *seen_.rbegin(); }

 private:
  std::set<std::uint64_t> seen_;
};

TEST_CASE("the replay window does what a set of all numbers would do") {
  Prng prng(20261120);
  std::uint64_t accepted = 0, operations = 0;
  for (int run = 0; run < 20; ++run) {
    ReplayWindow window;
    SetModel model;
    // Some runs begin close to the end of the numbers.
    std::uint64_t base = run % 4 == 3 ? ReplayWindow::limit - prng.below(200000) : prng.below(100);
    for (int i = 0; i < 50000; ++i, ++operations) {
      const std::uint64_t top = window.empty() ? base : window.largest();
      std::uint64_t number = top + 1;
      switch (prng.below(8)) {
        case 0:
          number = top + prng.below(4);
          break;
        case 1:
          number = top - prng.below(std::min<std::uint64_t>(top, 200) + 1);
          break;
        case 2:
          number = top - prng.below(std::min<std::uint64_t>(top, size + 300) + 1);
          break;
        case 3:
          number = top - std::min<std::uint64_t>(top, size - 2 + prng.below(4));
          break;
        case 4:
          number = top + prng.below(200);
          break;
        case 5:
          if (prng.chance(0.05)) number = top + prng.below(3 * size);
          break;
        default:
          break;
      }
      const bool fresh = window.fresh(number), expected = model.commit(number);
      REQUIRE(fresh == expected);
      REQUIRE(window.commit(number) == expected);
      REQUIRE_FALSE(window.fresh(number));
      REQUIRE(window.largest() == model.largest());
      accepted += expected ? 1 : 0;
    }
  }
  CHECK(operations == 1000000);
  CHECK(accepted > operations / 4);
  CHECK(accepted < operations);
}

TEST_CASE("an empty window takes any number, the first one too") {
  for (const std::uint64_t number :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{63}, std::uint64_t{64}, size,
        std::uint64_t{1} << 32, ReplayWindow::limit - 1}) {
    ReplayWindow window;
    CHECK(window.empty());
    CHECK(window.commit(number));
    CHECK_FALSE(window.commit(number));
    CHECK(window.largest() == number);
    CHECK_FALSE(window.empty());
  }
}

TEST_CASE("the window is exactly as wide as it says, wherever it stands in a word") {
  for (std::uint64_t top = 2 * size; top < 2 * size + 130; ++top) {
    ReplayWindow window;
    REQUIRE(window.commit(top));
    REQUIRE_FALSE(window.fresh(top - size));
    REQUIRE(window.fresh(top - size + 1));
    for (std::uint64_t number = top - size + 1; number < top; ++number) {
      REQUIRE(window.commit(number));
    }
    for (std::uint64_t number = top - size - 100; number <= top; ++number) {
      REQUIRE_FALSE(window.fresh(number));
    }
  }
}

TEST_CASE("asking changes nothing") {
  ReplayWindow window;
  REQUIRE(window.commit(100));
  CHECK(window.fresh(1000000));
  CHECK(window.fresh(101));
  CHECK(window.fresh(50));
  CHECK(window.largest() == 100);
  CHECK_FALSE(window.commit(ReplayWindow::limit));
  CHECK_FALSE(window.commit(UINT64_MAX));
  CHECK(window.largest() == 100);
}
