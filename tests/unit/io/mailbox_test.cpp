#include "dataplane/io/mailbox.hpp"

#include <catch2/catch.hpp>
#include <memory>
#include <thread>

#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

TEST_CASE("an empty mailbox is not readable and gives nothing") {
  Mailbox<int> box;
  CHECK_FALSE(readable(box.fd(), milliseconds(0)));
  std::vector<int> got{1, 2};
  box.take(got);
  CHECK(got.empty());
}

TEST_CASE("messages come in the order they were posted and once") {
  Mailbox<std::unique_ptr<int>> box;
  for (int i = 0; i < 5; ++i) box.post(std::make_unique<int>(i));
  REQUIRE(readable(box.fd(), milliseconds(0)));
  std::vector<std::unique_ptr<int>> got;
  box.take(got);
  REQUIRE(got.size() == 5);
  for (int i = 0; i < 5; ++i) CHECK(*got[static_cast<std::size_t>(i)] == i);
  CHECK_FALSE(readable(box.fd(), milliseconds(0)));
  box.take(got);
  CHECK(got.empty());
}

TEST_CASE("no message of several threads is lost, doubled or left unannounced") {
  static constexpr int threads = 4;
  static constexpr int each = 20'000;
  Mailbox<std::pair<int, int>> box;
  std::vector<std::thread> posters;
  for (int thread = 0; thread < threads; ++thread) {
    posters.emplace_back([&box, thread] {
      for (int i = 0; i < each; ++i) box.post({thread, i});
    });
  }
  std::array<int, threads> next{};
  int total = 0;
  bool ordered = true;
  std::vector<std::pair<int, int>> got;
  while (total < threads * each && readable(box.fd())) {
    box.take(got);
    for (const auto& [thread, i] : got) ordered &= next[static_cast<std::size_t>(thread)]++ == i;
    total += static_cast<int>(got.size());
  }
  for (std::thread& poster : posters) poster.join();
  CHECK(ordered);
  CHECK(total == threads * each);
}

TEST_CASE("a mailbox with a bound refuses what is beyond it, until it was emptied") {
  Mailbox<int> box;
  CHECK(box.post(1, 2));
  CHECK(box.post(2, 2));
  CHECK_FALSE(box.post(3, 2));
  CHECK(box.post(4, 3));
  std::vector<int> got;
  box.take(got);
  CHECK(got == std::vector<int>{1, 2, 4});
  CHECK(box.post(5, 1));
  REQUIRE(readable(box.fd(), milliseconds(0)));
  box.take(got);
  CHECK(got == std::vector<int>{5});
}
