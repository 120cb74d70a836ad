#pragma once
#include <sys/epoll.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/io/event_loop.hpp"

namespace mwtun {

/// The loop for every kernel: epoll (level-triggered, so a bounded read loses nothing), recvmmsg,
/// sendmmsg, one read or write a frame. Its timer is as fine as the kernel's, which pacing needs
/// (epoll_pwait2, Linux 5.11; a timerfd before).
class EpollLoop : public EventLoop {
 public:
  /// Most of one source that one run() hands over.
  static constexpr std::size_t frames_per_run = 256;
  static constexpr std::size_t frame_bytes_per_run = 512 * 1024;
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
  LoopReport report() const override;

 private:
  struct SocketSlot {
    SocketId id;
    UdpSocket socket;
    bool waits_writable = false;  // EPOLLOUT is armed.
    Instant retry_at = never;     // After ENOBUFS, which no event ends.
    unsigned errors_in_a_row = 0;
  };
  struct InterfaceSlot {
    PeerId peer;
    Tap tap;
    std::uint64_t no_slab = 0;
    std::uint64_t super_frames_cut = 0;
  };
  enum class Source : std::uint8_t { socket, interface, watched, timer };

  EpollLoop(SlabPool& slabs, Fd epoll, Timer timer);
  std::size_t wait(Instant deadline);
  void add(int fd, Source source, std::size_t id, unsigned events);
  void modify(SocketSlot& slot, bool waits_writable);
  void read_interface(std::size_t peer, LoopHandler& handler);
  void make_one_piece(Frame& frame);
  Tap::Write write_done(InterfaceSlot& slot, Frame frame);
  Tap::Write write_parts(InterfaceSlot& slot, const Frame& frame);
  void read_socket(std::size_t id, LoopHandler& handler);
  void tell_icmp_error(SocketSlot& slot, LoopHandler& handler);
  void send_from(SocketSlot& slot, LoopHandler& handler);
  void drop_interface(std::size_t peer, LoopHandler& handler);
  SocketSlot* socket_of(SocketId id) {
    return index_of(id) < sockets_.size() ? sockets_[index_of(id)].get() : nullptr;
  }

  SlabPool& slabs_;
  SlabRef large_;  // For the end of a super-frame that is being read.
  Fd epoll_;
  Fd timer_;                                                // Only where epoll_pwait2 is missing.
  std::vector<std::unique_ptr<SocketSlot>> sockets_;        // Index: SocketId.
  std::vector<std::unique_ptr<InterfaceSlot>> interfaces_;  // Index: PeerId.
  std::array<epoll_event, 64> ready_{};
  ReceiveBatch received_;
  std::uint64_t waits_ = 0;
  Instant retry_at_ = never;  // Soonest of all sockets.

  // Datagrams wait here end to end, so that equal ones can later leave as one GSO buffer.
  static constexpr std::size_t arena_bytes = send_batch_max * 1536 + datagram_bytes_max;
  std::unique_ptr<std::uint8_t[]> arena_;
  std::size_t arena_used_ = 0;
  std::array<OutgoingDatagram, send_batch_max> queued_;
  std::array<std::size_t, send_batch_max> queued_at_{};  // Offsets into arena_.
  std::size_t queued_count_ = 0;
};

}  // namespace mwtun
