#pragma once
#include <memory>
#include <string>

#include "dataplane/io/event_loop.hpp"
#include "dataplane/io/loop_kind.hpp"

namespace mwtun {

struct OpenedLoop {
  std::unique_ptr<EventLoop> loop;
  std::string why_not;  // It is not the one that was asked for; empty: it is.
};

/// Where there is no io_uring it is epoll, whatever is wanted.
/// @param slabs  what frames are read into
Result<OpenedLoop> open_event_loop(LoopKind kind, SlabPool& slabs);

}  // namespace mwtun
