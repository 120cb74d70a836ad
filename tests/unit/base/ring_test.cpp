#include "base/ring.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <memory>

#include "base/prng.hpp"

using namespace mwtun;

TEST_CASE("a ring gives back what a deque would, over any pushes and pops", "[ring]") {
  Ring<int> ring;
  std::deque<int> model;
  Prng prng(1);
  for (int i = 0; i < 20'000; ++i) {
    // In spells: it grows, wraps and drains.
    if (prng.chance((i / 500) % 2 == 0 ? 0.6 : 0.4)) {
      ring.push_back(i);
      model.push_back(i);
    } else if (!model.empty()) {
      REQUIRE(ring.pop_front() == model.front());
      model.pop_front();
    }
    REQUIRE(ring.size() == model.size());
    REQUIRE(ring.empty() == model.empty());
    if (model.empty()) continue;
    REQUIRE(ring.front() == model.front());
    REQUIRE(ring.back() == model.back());
    const std::size_t at = prng.below(model.size());
    REQUIRE(ring.at(at) == model[at]);
  }
}

TEST_CASE("a ring lets go of what was popped or cleared", "[ring]") {
  Ring<std::shared_ptr<int>> ring;
  const auto item = std::make_shared<int>(1);
  for (int i = 0; i < 40; ++i) ring.push_back(item);
  CHECK(item.use_count() == 41);
  ring.pop_front();
  CHECK(item.use_count() == 40);
  ring.clear();
  CHECK(ring.empty());
  CHECK(item.use_count() == 1);
}
