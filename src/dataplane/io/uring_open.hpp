#pragma once
#include <memory>

#include "dataplane/io/event_loop.hpp"

namespace mwtun {

/// The loop on io_uring. An error says why there is none: the kernel, its settings, or this build.
/// @param slabs  what frames are read into
Result<std::unique_ptr<EventLoop>> open_uring_loop(SlabPool& slabs);

}  // namespace mwtun
