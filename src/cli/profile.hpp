#pragma once
#include <cstddef>
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

/// How many workers there are when nobody says otherwise: never more than peers (a peer is one
/// worker's), and one on a router, whose memory is short.
inline constexpr unsigned workers_unasked_max = 8;
unsigned workers_for(Profile profile, std::size_t peers, unsigned cores);

struct Sizes {
  WorkerOptions worker;
  Limits limits;                   // Of each peer.
  std::uint32_t buffer_bytes = 0;  // Of a socket, each way.
};
Sizes sizes_of(Profile profile);

}  // namespace mwtun
