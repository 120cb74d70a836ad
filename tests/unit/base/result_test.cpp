#include "base/result.hpp"

#include <catch2/catch.hpp>
#include <memory>

using namespace mwtun;

TEST_CASE("a result holds its value or its error, never both", "[result]") {
  const Result<int> good(7);
  CHECK(good.ok());
  CHECK(good.value() == 7);
  const Result<int> bad(Error{"no such file", 66});
  CHECK_FALSE(bad);
  CHECK(bad.error().message == "no such file");
  CHECK(bad.error().exit_code == 66);
}

TEST_CASE("a value that cannot be copied can be taken out", "[result]") {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(3));
  const std::unique_ptr<int> taken = result.take();
  CHECK(*taken == 3);
}

TEST_CASE("a result of nothing is good until it is given an error", "[result]") {
  CHECK(Result<void>().ok());
  const Result<void> bad(Error{"refused"});
  CHECK_FALSE(bad.ok());
  CHECK(bad.error().exit_code == 71);
}
