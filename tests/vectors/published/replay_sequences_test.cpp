#include <catch2/catch.hpp>
#include <cctype>
#include <string_view>

#include "crypto/replay.hpp"
#include "vector_files.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

/// The file's numbers: sums and products of W, LIM, REJECT and integers. Its W is how far below the
/// largest number one is still taken, so ours, 8,192 numbers with the largest among them, has W =
/// 8191.
class Expression {
 public:
  static std::uint64_t value(std::string_view text) {
    Expression expression(text);
    const std::uint64_t result = expression.sum();
    REQUIRE(expression.rest_.empty());
    return result;
  }

 private:
  explicit Expression(std::string_view text) : rest_(text) {}
  bool take(std::string_view word) {
    if (rest_.substr(0, word.size()) != word) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::uint64_t sum() {
    std::uint64_t result = product();
    for (;;) {
      if (take("+")) {
        result += product();
      } else if (take("-")) {
        result -= product();
      } else {
        return result;
      }
    }
  }
  std::uint64_t product() {
    std::uint64_t result = atom();
    while (take("*")) result *= atom();
    return result;
  }
  std::uint64_t atom() {
    if (take("(")) {
      const std::uint64_t result = sum();
      REQUIRE(take(")"));
      return result;
    }
    if (take("LIM")) return ReplayWindow::size;
    if (take("REJECT")) return ReplayWindow::limit;
    if (take("W")) return ReplayWindow::size - 1;
    REQUIRE_FALSE(rest_.empty());
    REQUIRE(std::isdigit(static_cast<unsigned char>(rest_.front())) != 0);
    std::uint64_t result = 0;
    while (!rest_.empty() && std::isdigit(static_cast<unsigned char>(rest_.front())) != 0) {
      result = result * 10 + static_cast<std::uint64_t>(rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    return result;
  }

  std::string_view rest_;
};

std::uint64_t value(const nlohmann::json& json) {
  return json.is_string() ? Expression::value(json.get<std::string>()) : json.get<std::uint64_t>();
}

void step(ReplayWindow& window, std::uint64_t number, bool expected) {
  INFO(number);
  REQUIRE(window.fresh(number) == expected);
  REQUIRE(window.commit(number) == expected);
}

}  // namespace

TEST_CASE("the replay window takes and refuses as the published sequences say") {
  for (const VectorFile& file : vector_files("replay_window")) {
    Tally tally;
    ReplayWindow window;
    for (const nlohmann::json& one : file.content.at("sequence")) {
      INFO(one);
      step(window, value(one.at(0)), one.at(1).get<bool>());
      ++tally.run;
    }
    for (const nlohmann::json& bulk : file.content.at("bulk")) {
      ReplayWindow fresh;
      for (const nlohmann::json& one : bulk.at("steps")) {
        INFO(bulk.at("name") << " " << one);
        if (one.at(0) == "one") {
          step(fresh, value(one.at(1)), one.at(2).get<bool>());
          continue;
        }
        REQUIRE(one.at(0) == "range");
        const auto from = static_cast<std::int64_t>(value(one.at(1)));
        const auto to = static_cast<std::int64_t>(value(one.at(2)));
        const auto by = one.at(3).get<std::int64_t>();
        REQUIRE(by != 0);
        for (std::int64_t i = from; by > 0 ? i <= to : i >= to; i += by) {
          step(fresh, static_cast<std::uint64_t>(i), one.at(4).get<bool>());
        }
      }
      ++tally.run;
    }
    print(file.name, tally);
    CHECK(tally.run > 0);
  }
}
