#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/io/event_loop.hpp"

namespace mwtun {

/// Which loop is wanted. `automatic`: the one that is known to be the better on this kernel.
enum class LoopKind : std::uint8_t { automatic, epoll, io_uring };

/// Of "auto", "epoll" and "io_uring".
std::optional<LoopKind> loop_from_name(std::string_view name);

struct OpenedLoop {
  std::unique_ptr<EventLoop> loop;
  std::string why_not;  // It is not the one that was asked for; empty: it is.
};

/// Where there is no io_uring it is epoll, whatever is wanted.
/// @param slabs  what frames are read into
Result<OpenedLoop> open_event_loop(LoopKind kind, SlabPool& slabs);

}  // namespace mwtun
