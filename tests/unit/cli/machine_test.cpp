#include "cli/machine.hpp"

#include <sched.h>

#include <catch2/catch.hpp>
#include <thread>

using namespace mwtun;

TEST_CASE("only cores that this process may use count") {
  std::thread([] {
    CHECK(usable_cores() >= 1);
    cpu_set_t all, one;
    REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
    CHECK(usable_cores() == static_cast<unsigned>(CPU_COUNT(&all)));
    CPU_ZERO(&one);
    for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_COUNT(&one) == 0 && CPU_ISSET(core, &all)) CPU_SET(core, &one);
    }
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK(usable_cores() == 1);
  }).join();
}

TEST_CASE("the machine's memory is told in bytes") {
  CHECK(memory_bytes() > 16u << 20);
}
