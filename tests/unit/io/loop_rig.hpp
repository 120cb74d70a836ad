#pragma once
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/io/open_event_loop.hpp"
#include "dataplane/io/socket_address.hpp"
#include "dataplane/io/system_clock.hpp"

namespace mwtun::testing {

/// The loops of this kernel and this build; says so where there is no io_uring.
std::vector<LoopKind> loops_here();
/// Makes the test case run once with each of them.
inline LoopKind each_loop() {
  const LoopKind kind = GENERATE(from_range(loops_here()));
  UNSCOPED_INFO((kind == LoopKind::io_uring ? "io_uring" : "epoll"));
  return kind;
}

/// Remembers all that a loop tells.
struct Recorder : LoopHandler {
  struct Datagram {
    Path path;
    std::string bytes;
    Instant received;
    Instant now;
  };
  std::vector<Datagram> datagrams;
  std::vector<std::string> frames;
  Frame super_frame;  // The last.
  std::vector<SocketId> writable;
  std::vector<std::pair<std::uint64_t, SendError>> send_errors;
  std::vector<IcmpError> icmp_errors;
  std::vector<PeerId> interfaces_gone;
  int watched = 0;

  void on_datagram(const Path& path, Bytes bytes, Instant received, Instant now) override {
    datagrams.push_back({path, {bytes.begin(), bytes.end()}, received, now});
  }
  void on_frame(PeerId, Frame frame, Instant) override {
    frames.emplace_back(frame.bytes().begin(), frame.bytes().end());
    if (frame.offload.gso != Offload::Gso::none) super_frame = std::move(frame);
  }
  void on_writable(SocketId socket, Instant) override { writable.push_back(socket); }
  void on_send_error(const DatagramTag& tag, SendError error, Instant) override {
    send_errors.emplace_back(tag.number, error);
  }
  void on_watched() override { ++watched; }
  void on_icmp_error(SocketId, const IcmpError& error) override { icmp_errors.push_back(error); }
  void on_interface_gone(PeerId peer) override { interfaces_gone.push_back(peer); }
  void on_socket_gone(SocketId, int) override { FAIL("a socket was given up"); }
};

/// A loop with what it reads into, and what it told.
struct Rig {
  SlabPool large_slabs{70'000, 8};
  SlabPool slabs{2048, 64};
  std::unique_ptr<EventLoop> loop;
  Recorder seen;

  explicit Rig(LoopKind kind = each_loop()) {
    slabs.set_larger(large_slabs);
    auto opened = open_event_loop(kind, slabs);
    REQUIRE(opened.ok());
    if (kind == LoopKind::io_uring) REQUIRE(opened.value().why_not.empty());
    loop = std::move(opened.value().loop);
  }

  Address add_socket(unsigned id, const char* bind, bool server = false,
                     std::uint32_t send_buffer = 1 << 20, bool offload = true) {
    UdpSocketOptions options;
    options.bind = parse_address(bind);
    options.server = server;
    options.send_buffer_bytes = send_buffer;
    options.offload = offload;
    auto socket = UdpSocket::open(options);
    if (!socket.ok()) FAIL(socket.error().message);
    const Address bound = socket.value().bound();
    loop->put_socket({static_cast<SocketId>(id), socket.take()});
    return bound;
  }
  bool queue(unsigned socket, const Address& to, std::string_view bytes, std::uint64_t number = 0) {
    const MutableBytes room = loop->send_room();
    if (room.empty()) return false;
    REQUIRE(room.size() >= datagram_bytes_max);
    std::memcpy(room.data(), bytes.data(), bytes.size());
    OutgoingDatagram out;
    out.path = {static_cast<SocketId>(socket), {}, to};
    out.size = bytes.size();
    out.tag.number = number;
    loop->queue(out);
    return true;
  }
  /// Whether it waits so long: nothing wakes it in circles. The kernel takes the rings of earlier
  /// cases down in its own time, and each interrupts a wait of the thread that used it.
  bool rests(Duration wait) {
    const std::uint64_t waits = loop->report().waits;
    const Instant deadline = monotonic_now() + wait;
    while (loop->run(deadline, seen) < deadline) {
    }
    return loop->report().waits <= waits + 8;
  }
  /// Runs until `enough` says so; false after two seconds.
  template <typename Enough>
  bool run_until(Enough enough) {
    const Instant limit = monotonic_now() + seconds(2);
    while (!enough()) {
      if (monotonic_now() > limit) return false;
      loop->run(std::min(limit, monotonic_now() + milliseconds(100)), seen);
    }
    return true;
  }
};

}  // namespace mwtun::testing
