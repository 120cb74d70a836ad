#include "dataplane/repair_queue.hpp"

#include <catch2/catch.hpp>
#include <vector>

using namespace mwtun;

TEST_CASE("chunks of unordered lanes are repaired before all others, each kind in order") {
  RepairQueue queue;
  queue.push(1, true);
  queue.push(2, true);
  queue.push(3, false);
  queue.push(4, true);
  queue.push(5, false);
  std::vector<ChunkIndex> order;
  while (!queue.empty()) {
    order.push_back(queue.front());
    CHECK(queue.pop() == order.back());
  }
  CHECK(order == std::vector<ChunkIndex>{3, 5, 1, 2, 4});
}
