#include "dataplane/io/epoll_loop.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "dataplane/io/os_error.hpp"
#include "dataplane/io/system_clock.hpp"

namespace mwtun {

Result<std::unique_ptr<EpollLoop>> EpollLoop::open(SlabPool& slabs, Timer timer) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return os_error(errno, "cannot make an event loop");
  return std::unique_ptr<EpollLoop>(new EpollLoop(slabs, std::move(epoll), timer));
}

EpollLoop::EpollLoop(SlabPool& slabs, Fd epoll, Timer timer)
    : interfaces_(slabs), epoll_(std::move(epoll)) {
  timespec zero{};
  epoll_event event{};
  const bool missing = epoll_pwait2(epoll_.get(), &event, 1, &zero, nullptr) < 0 && errno == ENOSYS;
  if (missing || timer == Timer::timerfd) {
    timer_.reset(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
    if (timer_) add(timer_.get(), Source::timer, 0, EPOLLIN);
  }
}

EpollLoop::~EpollLoop() = default;

void EpollLoop::add(int fd, Source source, std::size_t id, unsigned events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<std::uint64_t>(source) << 32 | id;
  // Only memory can be missing here, and the limit on watches, which is in the hundred thousands.
  MWTUN_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void EpollLoop::modify(SocketSlot& slot, bool waits_writable) {
  if (slot.waits_writable == waits_writable) return;
  slot.waits_writable = waits_writable;
  epoll_event event{};
  event.events = EPOLLIN | (waits_writable ? EPOLLOUT : 0u);
  event.data.u64 = static_cast<std::uint64_t>(Source::socket) << 32 | index_of(slot.id);
  MWTUN_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, slot.socket.fd(), &event) == 0);
}

void EpollLoop::put_socket(NumberedSocket socket) {
  sockets_.drop(socket.id);  // Closed, and with that out of the epoll set.
  add(socket.socket.fd(), Source::socket, index_of(socket.id), EPOLLIN);
  sockets_.put(socket.id, std::move(socket.socket));
}

void EpollLoop::remove_socket(SocketId socket) {
  sockets_.drop(socket);
}

void EpollLoop::put_interface(PeerId peer, Tap tap) {
  interfaces_.drop(peer);
  add(tap.fd(), Source::interface, index_of(peer), EPOLLIN);
  interfaces_.put(peer, std::move(tap));
}

void EpollLoop::set_carrier(PeerId peer, bool on) {
  interfaces_.set_carrier(peer, on);
}

void EpollLoop::watch(int fd) {
  add(fd, Source::watched, 0, EPOLLIN);
}

/// How many of `ready_` are filled. A signal or an error is as if nothing came.
std::size_t EpollLoop::wait(Instant deadline) {
  ++waits_;
  const Instant now = monotonic_now();
  const Duration left = deadline <= now ? Duration{0} : deadline - now;
  const bool forever = deadline == never;
  int count = 0;
  if (!timer_) {
    // A day at most, since the kernel reckons with a sum that must not overflow.
    const Duration bounded = std::min<Duration>(left, std::chrono::hours(24));
    timespec timeout{};
    timeout.tv_sec = static_cast<time_t>(bounded / seconds(1));
    timeout.tv_nsec = static_cast<long>((bounded % seconds(1)).count());
    count = epoll_pwait2(epoll_.get(), ready_.data(), static_cast<int>(ready_.size()),
                         forever ? nullptr : &timeout, nullptr);
  } else {
    itimerspec at{};
    if (!forever) {
      // Zero would disarm.
      const Duration since_boot = std::max(deadline, now).time_since_epoch();
      at.it_value.tv_sec = static_cast<time_t>(since_boot / seconds(1));
      at.it_value.tv_nsec = static_cast<long>((since_boot % seconds(1)).count());
    }
    timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &at, nullptr);
    count = epoll_wait(epoll_.get(), ready_.data(), static_cast<int>(ready_.size()),
                       left == Duration{0} ? 0 : -1);
  }
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

Instant EpollLoop::run(Instant deadline, LoopHandler& handler) {
  const std::size_t count = wait(std::min(deadline, sockets_.retry_at()));
  // Interfaces first: the queue that grows under load shall be ours, not the kernel's.
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t tag = ready_[i].data.u64;
    if (tag >> 32 == static_cast<std::uint64_t>(Source::interface)) {
      read_interface(static_cast<PeerId>(tag & UINT32_MAX), handler);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t tag = ready_[i].data.u64;
    if (tag >> 32 == static_cast<std::uint64_t>(Source::timer)) {
      std::uint64_t expirations;
      [[maybe_unused]] const ssize_t got = read(timer_.get(), &expirations, sizeof expirations);
      continue;
    }
    if (tag >> 32 == static_cast<std::uint64_t>(Source::watched)) handler.on_watched();
    if (tag >> 32 != static_cast<std::uint64_t>(Source::socket)) continue;
    const auto id = static_cast<SocketId>(tag & UINT32_MAX);
    const std::uint32_t events = ready_[i].events;
    if (sockets_.find(id) == nullptr) continue;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) tell_icmp_error(*sockets_.find(id), handler);
    if ((events & EPOLLIN) != 0) read_socket(*sockets_.find(id), handler);
    if (SocketSlot* slot = sockets_.find(id); (events & EPOLLOUT) != 0 && slot != nullptr) {
      modify(*slot, false);
      handler.on_writable(id, monotonic_now());
    }
  }
  const Instant now = monotonic_now();
  sockets_.tell_retries(handler, now);
  return now;
}

void EpollLoop::read_interface(PeerId peer, LoopHandler& handler) {
  if (interfaces_.find(peer) == nullptr) return;
  if (interfaces_.read(peer, handler) == InterfaceTable::Read::gone) drop_interface(peer, handler);
}

void EpollLoop::drop_interface(PeerId peer, LoopHandler& handler) {
  interfaces_.drop(peer);
  handler.on_interface_gone(peer);
}

void EpollLoop::read_socket(SocketSlot& slot, LoopHandler& handler) {
  std::size_t datagrams = 0;
  while (datagrams < datagrams_per_run) {
    const UdpSocket::Receive outcome = slot.socket.receive(received_);
    if (outcome == UdpSocket::Receive::empty) return;
    if (outcome == UdpSocket::Receive::error) {
      const int error = errno;
      tell_icmp_error(slot, handler);
      if (++slot.errors_in_a_row < errors_in_a_row_max) continue;
      const SocketId gone = slot.id;
      sockets_.drop(gone);
      return handler.on_socket_gone(gone, error);
    }
    slot.errors_in_a_row = 0;
    datagrams += received_.datagrams().size();
    const ReceiveClock clock = ReceiveClock::sample();
    for (const ReceivedDatagram& datagram : received_.datagrams()) {
      if (datagram.truncated) continue;
      handler.on_datagram({slot.id, datagram.local, datagram.remote}, datagram.bytes,
                          clock.convert(datagram.kernel_ns), clock.now());
    }
    if (!received_.full()) return;
  }
}

MutableBytes EpollLoop::send_room() {
  return queue_.room();
}

void EpollLoop::queue(const OutgoingDatagram& datagram) {
  queue_.add(datagram);
}

void EpollLoop::flush(LoopHandler& handler) {
  for (const SendQueue::Group& group : queue_.arrange()) {
    SocketSlot* slot = sockets_.find(group.path.socket);
    const SendOutcome outcome = send_by_call(slot, group.items, group.tags, handler);
    if (outcome.buffer_full) modify(*slot, true);
    if (outcome.queue_full) sockets_.retry_later(*slot);
  }
  queue_.clear();
}

void EpollLoop::write_frame(PeerId peer, const Frame& frame, LoopHandler& handler) {
  if (interfaces_.find(peer) == nullptr) return;
  if (!interfaces_.write(peer, frame)) drop_interface(peer, handler);
}

LoopReport EpollLoop::report() const {
  LoopReport report;
  report.name = timer_ ? "epoll+timerfd" : "epoll";
  report.waits = waits_;
  sockets_.each([&](const SocketSlot& slot) { report.sockets.push_back(report_of(slot)); });
  interfaces_.report(report.interfaces);
  return report;
}

}  // namespace mwtun
