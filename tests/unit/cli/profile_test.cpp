#include "cli/profile.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("a machine with little memory is a router") {
  CHECK(profile_for(128ull << 20) == Profile::router);
  CHECK(profile_for(512ull << 20) == Profile::server);
}

TEST_CASE("profiles have their names and no others") {
  CHECK(profile_from_name("router") == Profile::router);
  CHECK(profile_from_name("server") == Profile::server);
  CHECK_FALSE(profile_from_name("laptop").has_value());
}

TEST_CASE("everything is smaller on a router, and what depends on each other still fits") {
  const Sizes router = sizes_of(Profile::router), server = sizes_of(Profile::server);
  CHECK(router.worker.slab_memory_bytes_max < server.worker.slab_memory_bytes_max);
  CHECK(router.worker.super_frame_memory_bytes_max < server.worker.super_frame_memory_bytes_max);
  CHECK(router.buffer_bytes < server.buffer_bytes);
  for (const Sizes& sizes : {router, server}) {
    CHECK((sizes.limits.lane_window & (sizes.limits.lane_window - 1)) == 0);
    CHECK(sizes.limits.queue_bytes < sizes.worker.slab_memory_bytes_max);
    CHECK(sizes.limits.held_bytes < sizes.worker.slab_memory_bytes_max);
    // The longest super-frames, some of them at once.
    CHECK(sizes.worker.super_frame_memory_bytes_max >= 64 * 131'072);
  }
}

TEST_CASE("there are as many workers as peers and cores, at most eight, and one on a router") {
  CHECK(workers_for(Profile::server, 1, 64) == 1);
  CHECK(workers_for(Profile::server, 3, 2) == 2);
  CHECK(workers_for(Profile::server, 3, 64) == 3);
  CHECK(workers_for(Profile::server, 1000, 64) == 8);
  CHECK(workers_for(Profile::router, 1000, 64) == 1);
}
