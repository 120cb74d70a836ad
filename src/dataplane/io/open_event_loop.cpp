#include "dataplane/io/open_event_loop.hpp"

#include "dataplane/io/epoll_loop.hpp"
#include "dataplane/io/kernel_version.hpp"
#include "dataplane/io/uring_open.hpp"

namespace mwtun {

/// Where it was measured: a fifth more of TCP on Linux 6.18, and half the delay beside it
/// (docs/BENCHMARKS.md). Older kernels have all that it needs, but nobody looked.
static constexpr unsigned uring_quicker_from = 6'018'000;

static LoopKind quicker_loop() {
  return kernel_version() >= uring_quicker_from ? LoopKind::io_uring : LoopKind::epoll;
}

Result<OpenedLoop> open_event_loop(LoopKind kind, SlabPool& slabs) {
  OpenedLoop opened;
  if (kind == LoopKind::automatic) kind = quicker_loop();
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
