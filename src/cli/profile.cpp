#include "cli/profile.hpp"

#include <algorithm>

namespace mwtun {

static constexpr std::uint64_t router_memory_bytes_max = 512ull << 20;

const char* to_string(Profile profile) {
  return profile == Profile::router ? "router" : "server";
}

std::optional<Profile> profile_from_name(std::string_view name) {
  for (const Profile profile : {Profile::router, Profile::server}) {
    if (name == to_string(profile)) return profile;
  }
  return std::nullopt;
}

Profile profile_for(std::uint64_t memory_bytes) {
  return memory_bytes < router_memory_bytes_max ? Profile::router : Profile::server;
}

unsigned workers_for(Profile profile, std::size_t peers, unsigned cores) {
  if (profile == Profile::router) return 1;
  const std::size_t most = std::min<std::size_t>(peers, std::min(cores, workers_unasked_max));
  return static_cast<unsigned>(std::max<std::size_t>(most, 1));
}

Sizes sizes_of(Profile profile) {
  Sizes sizes;
  sizes.buffer_bytes = 4 << 20;
  if (profile == Profile::server) return sizes;
  sizes.worker.slab_memory_bytes_max = 24 << 20;
  sizes.worker.super_frame_memory_bytes_max = 16 << 20;
  sizes.limits.flows = 1024;
  sizes.limits.chunks_unacknowledged = 8192;
  sizes.limits.queue_bytes = 2 << 20;
  sizes.limits.queue_frames = 2048;
  sizes.limits.lane_window = 4096;
  sizes.limits.held_chunks = 4096;
  sizes.limits.held_bytes = 6 << 20;
  // A larger one would only hide how late the processor is.
  sizes.buffer_bytes = 1 << 20;
  return sizes;
}

}  // namespace mwtun
