#pragma once
#include <sys/epoll.h>

#include <array>
#include <memory>

#include "dataplane/io/event_loop.hpp"
#include "dataplane/io/interface_table.hpp"
#include "dataplane/io/socket_table.hpp"

namespace mwtun {

/// The loop for every kernel: epoll (level-triggered, so a bounded read loses nothing), recvmmsg,
/// sendmmsg, one read or write a frame. Its timer is as fine as the kernel's, which pacing needs
/// (epoll_pwait2, Linux 5.11; a timerfd before).
class EpollLoop : public EventLoop {
 public:
  /// Most of one socket that one run() hands over, give or take a batch.
  static constexpr std::size_t datagrams_per_run = 128;

  enum class Timer : std::uint8_t { best, timerfd };
  /// @param slabs  what frames are read into
  /// @param timer  timerfd: as on a kernel without epoll_pwait2
  static Result<std::unique_ptr<EpollLoop>> open(SlabPool& slabs, Timer timer = Timer::best);
  ~EpollLoop() override;

  void put_socket(NumberedSocket socket) override;
  void remove_socket(SocketId socket) override;
  void put_interface(PeerId peer, Tap tap) override;
  void set_carrier(PeerId peer, bool on) override;
  void watch(int fd) override;
  Instant run(Instant deadline, LoopHandler& handler) override;
  MutableBytes send_room() override;
  void queue(const OutgoingDatagram& datagram) override;
  void flush(LoopHandler& handler) override;
  void write_frame(PeerId peer, const Frame& frame, LoopHandler& handler) override;
  void leave() override {}
  LoopReport report() const override;

 private:
  struct SocketSlot : LoopSocket {
    using LoopSocket::LoopSocket;
    bool waits_writable = false;  // EPOLLOUT is armed.
  };
  enum class Source : std::uint8_t { socket, interface, watched, timer };

  EpollLoop(SlabPool& slabs, Fd epoll, Timer timer);
  std::size_t wait(Instant deadline);
  void add(int fd, Source source, std::size_t id, unsigned events);
  void modify(SocketSlot& slot, bool waits_writable);
  void read_interface(PeerId peer, LoopHandler& handler);
  void read_socket(SocketSlot& slot, LoopHandler& handler);
  void drop_interface(PeerId peer, LoopHandler& handler);

  InterfaceTable interfaces_;
  Fd epoll_;
  Fd timer_;  // Only where epoll_pwait2 is missing.
  SocketTable<SocketSlot> sockets_;
  SendQueue queue_;
  std::array<epoll_event, 64> ready_{};
  ReceiveBatch received_;
  std::uint64_t waits_ = 0;
};

}  // namespace mwtun
