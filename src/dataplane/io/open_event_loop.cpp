#include "dataplane/io/open_event_loop.hpp"

#include "dataplane/io/epoll_loop.hpp"
#include "dataplane/io/uring_open.hpp"

namespace mwtun {

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
