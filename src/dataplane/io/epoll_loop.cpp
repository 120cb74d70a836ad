#include "dataplane/io/epoll_loop.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "dataplane/io/os_error.hpp"
#include "dataplane/io/system_clock.hpp"
#include "dataplane/super_frame.hpp"

namespace mwtun {

/// After ENOBUFS; a millisecond empties a few datagrams from the slowest queue worth using.
static constexpr Duration no_buffers_pause = milliseconds(1);
/// Errors from recvmmsg without one success between them after which a socket is given up.
static constexpr unsigned errors_in_a_row_max = 1000;

Result<std::unique_ptr<EpollLoop>> EpollLoop::open(SlabPool& slabs, Timer timer) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return os_error(errno, "cannot make an event loop");
  return std::unique_ptr<EpollLoop>(new EpollLoop(slabs, std::move(epoll), timer));
}

EpollLoop::EpollLoop(SlabPool& slabs, Fd epoll, Timer timer)
    : slabs_(slabs), epoll_(std::move(epoll)), arena_(new std::uint8_t[arena_bytes]) {
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
  const std::size_t index = index_of(socket.id);
  if (sockets_.size() <= index) sockets_.resize(index + 1);
  sockets_[index].reset();  // Closed, and with that out of the epoll set.
  add(socket.socket.fd(), Source::socket, index, EPOLLIN);
  sockets_[index].reset(new SocketSlot{socket.id, std::move(socket.socket)});
}

void EpollLoop::remove_socket(SocketId socket) {
  if (index_of(socket) < sockets_.size()) sockets_[index_of(socket)].reset();
}

void EpollLoop::put_interface(PeerId peer, Tap tap) {
  const std::size_t index = index_of(peer);
  if (interfaces_.size() <= index) interfaces_.resize(index + 1);
  interfaces_[index].reset();
  add(tap.fd(), Source::interface, index, EPOLLIN);
  interfaces_[index].reset(new InterfaceSlot{peer, std::move(tap)});
}

void EpollLoop::set_carrier(PeerId peer, bool on) {
  const std::size_t index = index_of(peer);
  if (index < interfaces_.size() && interfaces_[index]) interfaces_[index]->tap.set_carrier(on);
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
  const std::size_t count = wait(std::min(deadline, retry_at_));
  // Interfaces first: the queue that grows under load shall be ours, not the kernel's.
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t tag = ready_[i].data.u64;
    if (tag >> 32 == static_cast<std::uint64_t>(Source::interface)) {
      read_interface(tag & UINT32_MAX, handler);
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
    const std::size_t id = tag & UINT32_MAX;
    const std::uint32_t events = ready_[i].events;
    if (id >= sockets_.size() || sockets_[id] == nullptr) continue;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) tell_icmp_error(*sockets_[id], handler);
    if ((events & EPOLLIN) != 0) read_socket(id, handler);
    if ((events & EPOLLOUT) != 0 && sockets_[id] != nullptr) {
      modify(*sockets_[id], false);
      handler.on_writable(sockets_[id]->id, monotonic_now());
    }
  }
  const Instant now = monotonic_now();
  if (retry_at_ <= now) {
    retry_at_ = never;
    for (const auto& slot : sockets_) {
      if (slot == nullptr) continue;
      if (slot->retry_at <= now) {
        slot->retry_at = never;
        handler.on_writable(slot->id, now);
      }
      retry_at_ = std::min(retry_at_, slot->retry_at);
    }
  }
  return now;
}

void EpollLoop::read_interface(std::size_t peer, LoopHandler& handler) {
  if (peer >= interfaces_.size() || interfaces_[peer] == nullptr) return;
  InterfaceSlot& slot = *interfaces_[peer];
  Instant now = monotonic_now();
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < frames_per_run && bytes < frame_bytes_per_run; ++i) {
    if (i % 16 == 15) now = monotonic_now();
    Frame frame;
    frame.slab = slabs_.take();
    if (!frame.slab) {
      // Left in the kernel they would keep us awake, and grow old in a queue that is not ours.
      if (!slot.tap.discard()) return;
      ++slot.no_slab;
      continue;
    }
    // What is longer than a slab goes on in a large one, right behind where its beginning will be.
    MutableBytes more;
    if (slot.tap.offload() != TapOffload::none) {
      if (!large_) large_ = slabs_.take(super_frame_bytes_max);
      if (large_) {
        more = MutableBytes(large_.data(), large_.capacity()).subspan(frame.slab.capacity());
      }
    }
    TapFrame read;
    switch (slot.tap.read({frame.slab.data(), frame.slab.capacity()}, read, more)) {
      case Tap::Read::frame:
        frame.size = static_cast<std::uint32_t>(read.size);
        frame.offload = read.offload;
        bytes += read.size;
        if (read.size > frame.slab.capacity()) make_one_piece(frame);
        handler.on_frame(slot.peer, std::move(frame), now);
        break;
      case Tap::Read::skipped:
        if (slot.tap.offload() != TapOffload::none && !large_) ++slot.no_slab;
        break;
      case Tap::Read::empty: return;
      case Tap::Read::gone: return drop_interface(peer, handler);
    }
  }
}

/// The beginning of the frame is in its slab and the end in large_. Most of them are much shorter
/// than a large slab, which they would hold until they are acknowledged.
void EpollLoop::make_one_piece(Frame& frame) {
  const std::uint32_t beginning = frame.slab.capacity();
  SlabRef fitting = slabs_.take(frame.size);
  if (fitting && fitting.capacity() < large_.capacity()) {
    std::memcpy(fitting.data() + beginning, large_.data() + beginning, frame.size - beginning);
  } else {
    fitting = std::move(large_);
  }
  std::memcpy(fitting.data(), frame.slab.data(), beginning);
  frame.slab = std::move(fitting);
}

void EpollLoop::drop_interface(std::size_t peer, LoopHandler& handler) {
  const PeerId id = interfaces_[peer]->peer;
  interfaces_[peer].reset();
  handler.on_interface_gone(id);
}

void EpollLoop::read_socket(std::size_t id, LoopHandler& handler) {
  SocketSlot& slot = *sockets_[id];
  std::size_t datagrams = 0;
  while (datagrams < datagrams_per_run) {
    const UdpSocket::Receive outcome = slot.socket.receive(received_);
    if (outcome == UdpSocket::Receive::empty) return;
    if (outcome == UdpSocket::Receive::error) {
      const int error = errno;
      tell_icmp_error(slot, handler);
      if (++slot.errors_in_a_row < errors_in_a_row_max) continue;
      const SocketId gone = slot.id;
      sockets_[id].reset();
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

void EpollLoop::tell_icmp_error(SocketSlot& slot, LoopHandler& handler) {
  if (const auto error = slot.socket.take_icmp_error()) handler.on_icmp_error(slot.id, *error);
}

MutableBytes EpollLoop::send_room() {
  if (queued_count_ == send_batch_max || arena_bytes - arena_used_ < datagram_bytes_max) return {};
  return {arena_.get() + arena_used_, arena_bytes - arena_used_};
}

void EpollLoop::queue(const OutgoingDatagram& datagram) {
  MWTUN_ASSERT(queued_count_ < send_batch_max && datagram.size <= arena_bytes - arena_used_);
  queued_[queued_count_] = datagram;
  queued_at_[queued_count_++] = arena_used_;
  arena_used_ += datagram.size;
}

void EpollLoop::flush(LoopHandler& handler) {
  // Few paths, so looking through all datagrams for each costs less than sorting. Those of one path
  // stand side by side then, which GSO needs: a server has all links on one socket.
  std::array<bool, send_batch_max> done{};
  for (std::size_t first = 0; first < queued_count_; ++first) {
    if (done[first]) continue;
    const Path& path = queued_[first].path;
    std::array<SendItem, send_batch_max> items;
    std::array<std::size_t, send_batch_max> origins;
    std::size_t count = 0;
    for (std::size_t i = first; i < queued_count_; ++i) {
      const OutgoingDatagram& datagram = queued_[i];
      if (done[i] || datagram.path != path) continue;
      done[i] = true;
      items[count] = {datagram.path.local,
                      datagram.path.remote,
                      {arena_.get() + queued_at_[i], datagram.size},
                      datagram.may_join};
      origins[count++] = i;
    }
    SocketSlot* slot = socket_of(path.socket);
    std::array<SendFailure, send_batch_max> failures;
    SendOutcome outcome;
    if (slot != nullptr) {
      outcome = slot->socket.send({items.data(), count}, failures);
    } else {
      for (; outcome.failures < count; ++outcome.failures) {
        failures[outcome.failures] = {outcome.failures, SendError::unreachable};
      }
    }
    const Instant now = outcome.failures > 0 ? monotonic_now() : Instant{};
    for (std::size_t i = 0; i < outcome.failures; ++i) {
      handler.on_send_error(queued_[origins[failures[i].index]].tag, failures[i].error, now);
    }
    if (slot == nullptr) continue;
    if (outcome.buffer_full) modify(*slot, true);
    if (outcome.queue_full) {
      slot->retry_at = now + no_buffers_pause;
      retry_at_ = std::min(retry_at_, slot->retry_at);
    }
    if (slot->socket.icmp_error_waiting()) tell_icmp_error(*slot, handler);
  }
  queued_count_ = 0;
  arena_used_ = 0;
}

void EpollLoop::write_frame(PeerId peer, const Frame& frame, LoopHandler& handler) {
  const std::size_t index = index_of(peer);
  if (index >= interfaces_.size() || interfaces_[index] == nullptr) return;
  InterfaceSlot& slot = *interfaces_[index];
  const bool super = frame.offload.gso != Offload::Gso::none;
  const TapOffload able = slot.tap.offload();
  const bool takes = super ? able == TapOffload::tcp_and_udp ||
                                 (able == TapOffload::tcp && frame.offload.gso != Offload::Gso::udp)
                           : able != TapOffload::none || frame.offload.plain();
  Tap::Write outcome = Tap::Write::unfit;
  if (takes) {
    outcome = slot.tap.write(frame.bytes(), frame.offload);
  } else if (!super) {
    outcome = write_done(slot, frame);
  }
  if (outcome == Tap::Write::unfit) outcome = write_parts(slot, frame);
  if (outcome == Tap::Write::gone) drop_interface(index, handler);
}

/// Writes an ordinary frame, as much done as the interface needs.
Tap::Write EpollLoop::write_done(InterfaceSlot& slot, Frame frame) {
  if (slot.tap.offload() == TapOffload::none) complete_checksum(frame);
  return slot.tap.write(frame.bytes(), frame.offload);
}

/// For interfaces that do not take super-frames, and kernels that refuse some (6.6.44 and others).
Tap::Write EpollLoop::write_parts(InterfaceSlot& slot, const Frame& frame) {
  ++slot.super_frames_cut;
  const SuperFrameCutter cutter(frame, 0);
  for (std::uint32_t i = 0; i < cutter.parts(); ++i) {
    std::optional<Frame> part = cutter.part(i, slabs_);
    if (!part) {
      ++slot.no_slab;
      continue;
    }
    if (write_done(slot, std::move(*part)) == Tap::Write::gone) return Tap::Write::gone;
  }
  return Tap::Write::written;
}

LoopReport EpollLoop::report() const {
  LoopReport report;
  report.name = timer_ ? "epoll+timerfd" : "epoll";
  report.waits = waits_;
  for (const auto& slot : sockets_) {
    if (slot == nullptr) continue;
    const UdpSocket& socket = slot->socket;
    report.sockets.push_back({slot->id, socket.bound(), socket.device(),
                              socket.receive_buffer_bytes(), socket.send_buffer_bytes(),
                              socket.receive_overruns(), socket.gso(), socket.gro(),
                              socket.counters()});
  }
  for (const auto& slot : interfaces_) {
    if (slot == nullptr) continue;
    report.interfaces.push_back({slot->peer, slot->tap.name(), slot->tap.tun(), slot->tap.carrier(),
                                 slot->no_slab, slot->super_frames_cut, slot->tap.offload(),
                                 slot->tap.counters()});
  }
  return report;
}

}  // namespace mwtun
