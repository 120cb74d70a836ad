#include "dataplane/io/open_event_loop.hpp"

#include "dataplane/io/epoll_loop.hpp"
#include "dataplane/io/uring_open.hpp"

namespace mwtun {

std::optional<LoopKind> loop_from_name(std::string_view name) {
  if (name == "auto") return LoopKind::automatic;
  if (name == "epoll") return LoopKind::epoll;
  if (name == "io_uring") return LoopKind::io_uring;
  return std::nullopt;
}

Result<OpenedLoop> open_event_loop(LoopKind kind, SlabPool& slabs) {
  OpenedLoop opened;
  if (kind == LoopKind::io_uring) {
    auto uring = open_uring_loop(slabs);
    if (uring) {
      opened.loop = uring.take();
      return opened;
    }
    opened.why_not = uring.error().message;
  }
  auto epoll = EpollLoop::open(slabs);
  if (!epoll) return epoll.error();
  opened.loop = epoll.take();
  return opened;
}

}  // namespace mwtun
