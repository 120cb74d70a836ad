#include "dataplane/io/uring_loop.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "dataplane/io/system_clock.hpp"
#include "dataplane/io/uring_open.hpp"

namespace mwtun {

/// Before the payload of each buffer: the kernel's header, the sender's address, control data.
static constexpr std::size_t lead_bytes =
    sizeof(io_uring_recvmsg_out) + sizeof(sockaddr_storage) + inbound_control_bytes;
/// Buffers handed over with one reading of the clock.
static constexpr std::size_t buffers_per_clock = 16;
/// Pauses without any progress after which a request is given up that the kernel does not end.
static constexpr unsigned stalled_max = 100;

/// The kernel has no memory for requests: asking at once again would only take its time.
static void wait_for_memory() {
  std::this_thread::sleep_for(milliseconds(1));
}

Result<std::unique_ptr<EventLoop>> open_uring_loop(SlabPool& slabs) {
  auto loop = UringLoop::open(slabs);
  if (!loop) return loop.error();
  return std::unique_ptr<EventLoop>(loop.take());
}

Result<std::unique_ptr<UringLoop>> UringLoop::open(SlabPool& slabs) {
  std::unique_ptr<UringLoop> loop(new UringLoop(slabs));
  if (auto opened = loop->ring_.open(); !opened) return opened.error();
  loop->datagrams_.reserve(send_batch_max);
  return loop;
}

UringLoop::~UringLoop() {
  leave();
  ring_.close();  // Before the buffers go.
}

/// Whatever the ring has of a socket keeps it open, and the kernel takes a ring down some time
/// after it was closed.
void UringLoop::leave() {
  if (ring_.started() && !ring_.usable_here()) return;  // Done, or the kernel did it.
  sockets_.each([&](SocketSlot& slot) { let_go(slot); });
  for (std::size_t i = 0; i < interface_polls_.size(); ++i) {
    cancel(Source::interface, i, interface_polls_[i].under_way);
  }
  for (std::size_t i = 0; i < watched_polls_.size(); ++i) {
    cancel(Source::watched, i, watched_polls_[i].under_way);
  }
  ring_.forget_files();
}

// --- What is asked of the kernel ----------------------------------------------------------------

/// The last thing done to a request: preparing it clears what it had.
void UringLoop::mark(io_uring_sqe& entry, Source source, std::size_t number) {
  io_uring_sqe_set_data64(&entry, user_data(source, number));
}

void UringLoop::start() {
  if (ring_.started()) return;
  ring_.start();
  sockets_.each([&](SocketSlot& slot) { receive(slot); });
  for (std::size_t i = 0; i < interface_polls_.size(); ++i) {
    poll_in(Source::interface, i, interface_polls_[i]);
  }
  for (std::size_t i = 0; i < watched_polls_.size(); ++i) {
    poll_in(Source::watched, i, watched_polls_[i]);
  }
}

/// Until it ends the request takes a buffer for whatever comes. It holds the socket itself, not its
/// registered number: before Linux 6.12 one long request keeps all files that are taken out of
/// the registered ones after it, and with them their ports.
void UringLoop::receive(SocketSlot& slot) {
  if (!ring_.started() || slot.receiving || slot.lost) return;
  if (slot.arrived.size() == UringBuffers::count) return;
  io_uring_sqe* entry = ring_.next();
  if (entry == nullptr) return list(slot);
  io_uring_prep_recvmsg_multishot(entry, slot.socket.fd(), &slot.shape, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = static_cast<std::uint16_t>(slot.id);
  mark(*entry, Source::receive, index_of(slot.id));
  slot.receiving = true;
  slot.interrupted = false;
  slot.asked_at = waits_;
}

void UringLoop::poll_out(SocketSlot& slot) {
  slot.waits_writable = true;
  if (slot.polling_out) return;
  io_uring_sqe* entry = ring_.next();
  if (entry == nullptr) return list(slot);
  io_uring_prep_poll_add(entry, slot.socket.fd(), POLLOUT);
  mark(*entry, Source::writable, index_of(slot.id));
  slot.polling_out = true;
}

/// Told once for each time something comes, so whoever is told reads until nothing is left.
void UringLoop::poll_in(Source source, std::size_t number, Poll& poll) {
  if (!ring_.started() || poll.under_way || poll.fd < 0) return;
  io_uring_sqe* entry = ring_.next();
  if (entry == nullptr) {  // Next time, as if there were something.
    const bool listed = std::exchange(poll.readable, true);
    if (source == Source::watched) poll_missing_ = true;
    if (source == Source::interface && !listed) readable_.push_back(PeerId(number));
    return;
  }
  io_uring_prep_poll_multishot(entry, poll.fd, POLLIN);
  mark(*entry, source, number);
  poll.under_way = true;
}

/// Ends a request and waits until it has: from then on nothing of it is in the kernel's hands.
/// Where the ring's thread has ended, so have all its requests. A kernel that takes no requests is
/// not waited for without end: it then keeps the socket, whose buffers it finds no more.
void UringLoop::cancel(Source source, std::size_t number, bool& under_way) {
  if (!under_way || !ring_.usable_here()) return;
  const std::uint64_t wanted = user_data(source, number);
  bool asked = false;
  for (unsigned stalled = 0; (under_way || cancelling_ > 0) && stalled < stalled_max;) {
    if (io_uring_sqe* entry = asked ? nullptr : ring_.next()) {
      io_uring_prep_cancel64(entry, wanted, 0);
      mark(*entry, Source::cancel, number);
      ++cancelling_;
      asked = true;
    }
    if (!ring_.wait(asked ? 1 : 0)) {
      ring_.withdraw(user_data(Source::nothing, 0), [&](std::uint64_t data) {
        if (data == wanted) under_way = false;
        return data == wanted;
      });
      if (!under_way) break;
    }
    if (harvest()) continue;
    ++stalled;
    wait_for_memory();
  }
  if (cancelling_ > 0) {
    ring_.withdraw(user_data(Source::nothing, 0),
                   [](std::uint64_t data) { return source_of(data) == Source::cancel; });
  }
  cancelling_ = 0;
  under_way = false;
}

void UringLoop::let_go(SocketSlot& slot) {
  cancel(Source::receive, index_of(slot.id), slot.receiving);
  cancel(Source::writable, index_of(slot.id), slot.polling_out);
}

// --- Sockets, interfaces, descriptors -----------------------------------------------------------

void UringLoop::put_socket(NumberedSocket socket) {
  remove_socket(socket.id);
  SocketSlot& slot = sockets_.put(socket.id, std::move(socket.socket));
  const unsigned number = static_cast<unsigned>(index_of(slot.id));
  slot.shape.msg_namelen = sizeof(sockaddr_storage);
  slot.shape.msg_controllen = inbound_control_bytes;
  slot.registered = ring_.put_file(number, slot.socket.fd());
  slot.error = slot.buffers.open(ring_, number, lead_bytes + inbound_buffer_bytes);
  slot.lost = slot.error != 0;
  if (slot.lost) list(slot);
  receive(slot);
}

void UringLoop::remove_socket(SocketId id) {
  SocketSlot* slot = sockets_.find(id);
  if (slot == nullptr) return;
  let_go(*slot);
  if (slot->registered) ring_.put_file(static_cast<unsigned>(index_of(id)), -1);
  slot->buffers.close(ring_);
  sockets_.drop(id);
}

void UringLoop::put_interface(PeerId peer, Tap tap) {
  const std::size_t index = index_of(peer);
  if (interface_polls_.size() <= index) interface_polls_.resize(index + 1);
  Poll& poll = interface_polls_[index];
  cancel(Source::interface, index, poll.under_way);
  poll.fd = tap.fd();
  interfaces_.put(peer, std::move(tap));
  poll_in(Source::interface, index, poll);
}

void UringLoop::drop_interface(PeerId peer, LoopHandler& handler) {
  Poll& poll = interface_polls_[index_of(peer)];
  cancel(Source::interface, index_of(peer), poll.under_way);
  poll.fd = -1;
  interfaces_.drop(peer);
  handler.on_interface_gone(peer);
}

void UringLoop::set_carrier(PeerId peer, bool on) {
  interfaces_.set_carrier(peer, on);
}

void UringLoop::watch(int fd) {
  watched_polls_.push_back({fd});
  poll_in(Source::watched, watched_polls_.size() - 1, watched_polls_.back());
}

// --- What comes ---------------------------------------------------------------------------------

Instant UringLoop::run(Instant deadline, LoopHandler& handler) {
  start();
  ++waits_;
  const bool more = !busy_.empty() || !readable_.empty() || std::exchange(poll_missing_, false);
  const Instant until = more ? Instant{} : std::min(deadline, sockets_.retry_at());
  if (!ring_.wait(until, monotonic_now())) wait_for_memory();
  harvest();
  // Interfaces first: the queue that grows under load shall be ours, not the kernel's.
  serve_interfaces(handler);
  serve_watched(handler);
  serve_sockets(handler);
  const Instant now = monotonic_now();
  sockets_.tell_retries(handler, now);
  return now;
}

/// False: nothing came.
bool UringLoop::harvest() {
  return ring_.harvest([this](const io_uring_cqe& entry) { take(entry); }) > 0;
}

/// Only notes what came: this also runs in the midst of sending and of taking sockets out.
void UringLoop::take(const io_uring_cqe& entry) {
  const Source source = source_of(entry.user_data);
  const std::size_t number = number_of(entry.user_data);
  const bool ended = (entry.flags & IORING_CQE_F_MORE) == 0;
  switch (source) {
    case Source::receive:
    case Source::writable: {
      SocketSlot* slot = sockets_.find(SocketId(number));
      if (slot == nullptr) return;  // Its requests could not be ended.
      if (source == Source::receive) return take_received(*slot, entry);
      slot->polling_out = false;
      if (entry.res == -ECANCELED) return;
      slot->writable = entry.res > 0 && (entry.res & POLLOUT) != 0;
      return list(*slot);
    }
    case Source::interface: {
      Poll& poll = interface_polls_[number];
      poll.under_way = !ended;
      if (entry.res == -ECANCELED) return;
      if (!std::exchange(poll.readable, true)) readable_.push_back(PeerId(number));
      return;
    }
    case Source::watched:
      watched_polls_[number].under_way = !ended;
      watched_polls_[number].readable = true;
      return;
    case Source::send:
      results_[number] = entry.res;
      if (sending_ > 0) --sending_;
      return;
    case Source::cancel:
      if (cancelling_ > 0) --cancelling_;
      return;
    case Source::nothing: return;
  }
}

void UringLoop::take_received(SocketSlot& slot, const io_uring_cqe& entry) {
  slot.receiving = (entry.flags & IORING_CQE_F_MORE) != 0;
  slot.interrupted = !slot.receiving && entry.res >= 0;
  if ((entry.flags & IORING_CQE_F_BUFFER) != 0) {
    const auto buffer = static_cast<std::uint16_t>(entry.flags >> IORING_CQE_BUFFER_SHIFT);
    if (entry.res >= 0) {
      slot.arrived.push_back({buffer, static_cast<std::uint32_t>(entry.res)});
    } else {
      slot.buffers.give_back(buffer);
    }
  }
  if (entry.res == -ECANCELED) return;
  // ENOBUFS: every buffer is taken. It goes on as soon as one is given back.
  if (entry.res < 0 && entry.res != -ENOBUFS) slot.error = -entry.res;
  list(slot);
}

void UringLoop::list(SocketSlot& slot) {
  if (!std::exchange(slot.listed, true)) busy_.push_back(slot.id);
}

void UringLoop::serve_watched(LoopHandler& handler) {
  bool told = false;
  for (std::size_t i = 0; i < watched_polls_.size(); ++i) {
    if (!std::exchange(watched_polls_[i].readable, false)) continue;
    told = true;
    poll_in(Source::watched, i, watched_polls_[i]);
  }
  if (told) handler.on_watched();
}

void UringLoop::serve_interfaces(LoopHandler& handler) {
  reading_.swap(readable_);
  for (const PeerId peer : reading_) {
    Poll& poll = interface_polls_[index_of(peer)];
    poll.readable = false;
    if (interfaces_.find(peer) == nullptr) continue;
    switch (interfaces_.read(peer, handler)) {
      case InterfaceTable::Read::gone: drop_interface(peer, handler); continue;
      case InterfaceTable::Read::emptied: break;
      case InterfaceTable::Read::more:
        if (!std::exchange(poll.readable, true)) readable_.push_back(peer);
        break;
    }
    poll_in(Source::interface, index_of(peer), poll);
  }
  reading_.clear();
}

void UringLoop::serve_sockets(LoopHandler& handler) {
  serving_.swap(busy_);
  for (const SocketId id : serving_) {
    SocketSlot* slot = sockets_.find(id);
    if (slot == nullptr) continue;
    if (slot->error != 0) serve_error(*slot, handler);
    if (slot->lost) {
      const int error = slot->error;
      remove_socket(id);
      handler.on_socket_gone(id, error);
      continue;
    }
    slot->listed = false;
    read_socket(*slot, handler);
    receive(*slot);
    if (!slot->waits_writable || slot->polling_out) continue;
    if (std::exchange(slot->writable, false)) {
      slot->waits_writable = false;
      handler.on_writable(id, monotonic_now());
    } else {
      tell_icmp_error(*slot, handler);  // Which ends that poll too.
      poll_out(*slot);
    }
  }
  serving_.clear();
}

/// An ICMP error ends receiving as any other does, but is not the socket's own.
void UringLoop::serve_error(SocketSlot& slot, LoopHandler& handler) {
  if (slot.lost || tell_icmp_error(slot, handler)) {
    if (!slot.lost) slot.error = 0;
    return;
  }
  slot.socket.count_receive_error();
  if (waits_ > slot.asked_at + 1) slot.errors_in_a_row = 0;  // It worked for a while.
  slot.lost = ++slot.errors_in_a_row >= errors_in_a_row_max;
  if (!slot.lost) slot.error = 0;
}

void UringLoop::read_socket(SocketSlot& slot, LoopHandler& handler) {
  std::size_t datagrams = hand_over(slot, datagrams_per_run, handler);
  // An empty datagram ends the request. What stands behind it shall not wait for the next turn.
  while (slot.interrupted && datagrams < datagrams_per_run) {
    receive(slot);
    ring_.wait(Instant{}, Instant{});
    slot.listed = true;  // It has its turn already.
    harvest();
    slot.listed = false;
    datagrams += hand_over(slot, datagrams_per_run - datagrams, handler);
  }
  if (!slot.arrived.empty() || slot.error != 0) list(slot);
}

/// About `most` of the datagrams that arrived; gives their number.
std::size_t UringLoop::hand_over(SocketSlot& slot, std::size_t most, LoopHandler& handler) {
  if (slot.arrived.empty()) return 0;
  slot.errors_in_a_row = 0;
  slot.socket.count_receive_call();
  std::size_t datagrams = 0;
  ReceiveClock clock = ReceiveClock::sample();
  for (std::size_t i = 1; datagrams < most && !slot.arrived.empty(); ++i) {
    const Arrival arrival = slot.arrived.pop_front();
    std::uint8_t* at = slot.buffers[arrival.buffer].data();
    auto* lead = reinterpret_cast<io_uring_recvmsg_out*>(at);
    MWTUN_ASSERT(arrival.bytes >= lead_bytes);
    msghdr header{};
    header.msg_name = at + sizeof *lead;
    header.msg_control = at + sizeof *lead + sizeof(sockaddr_storage);
    header.msg_controllen = std::min<std::size_t>(lead->controllen, inbound_control_bytes);
    header.msg_flags = static_cast<int>(lead->flags);
    datagrams_.clear();
    slot.socket.describe(header, {at + lead_bytes, arrival.bytes - lead_bytes}, datagrams_);
    datagrams += datagrams_.size();
    if (i % buffers_per_clock == 0) clock = ReceiveClock::sample();
    for (const ReceivedDatagram& datagram : datagrams_) {
      if (datagram.truncated) continue;
      handler.on_datagram({slot.id, datagram.local, datagram.remote}, datagram.bytes,
                          clock.convert(datagram.kernel_ns), clock.now());
    }
    slot.buffers.give_back(arrival.buffer);
  }
  return datagrams;
}

void UringLoop::write_frame(PeerId peer, const Frame& frame, LoopHandler& handler) {
  if (interfaces_.find(peer) == nullptr) return;
  if (!interfaces_.write(peer, frame)) drop_interface(peer, handler);
}

LoopReport UringLoop::report() const {
  LoopReport report;
  report.name = "io_uring";
  report.waits = waits_;
  sockets_.each([&](const SocketSlot& slot) { report.sockets.push_back(report_of(slot)); });
  interfaces_.report(report.interfaces);
  return report;
}

}  // namespace mwtun
