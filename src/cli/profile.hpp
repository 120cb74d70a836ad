#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/config.hpp"
#include "dataplane/io/worker.hpp"

namespace mwtun {

/// What kind of machine this runs on: how much memory tables, queues and buffers may take.
enum class Profile : std::uint8_t { router, server };
const char* to_string(Profile profile);
std::optional<Profile> profile_from_name(std::string_view name);

/// For a machine with this much memory: below 512 MiB it is a router.
Profile profile_for(std::uint64_t memory_bytes);

struct Sizes {
  WorkerOptions worker;
  Limits limits;                   // Of each peer.
  std::uint32_t buffer_bytes = 0;  // Of a socket, each way.
};
Sizes sizes_of(Profile profile);

}  // namespace mwtun
