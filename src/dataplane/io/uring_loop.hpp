#pragma once
#include <array>
#include <memory>
#include <vector>

#include "base/ring.hpp"
#include "dataplane/io/event_loop.hpp"
#include "dataplane/io/interface_table.hpp"
#include "dataplane/io/socket_table.hpp"
#include "dataplane/io/uring_ring.hpp"

namespace mwtun {

/// The loop on io_uring (Linux 6.0 and later): the kernel receives by itself into buffers of each
/// socket, what is sent by several sockets goes in with one call, and waiting is the same call as
/// fetching what came. Interfaces are polled by the ring, and read and written as ever.
///
/// May be made and filled by one thread, and used by another from the first run() or flush() on.
class UringLoop : public EventLoop {
 public:
  /// Most of one socket that one run() hands over, give or take a buffer.
  static constexpr std::size_t datagrams_per_run = 128;

  static Result<std::unique_ptr<UringLoop>> open(SlabPool& slabs);
  ~UringLoop() override;

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
  void leave() override;
  LoopReport report() const override;

 private:
  /// A buffer that the kernel filled.
  struct Arrival {
    std::uint16_t buffer = 0;
    std::uint32_t bytes = 0;
  };
  struct SocketSlot : LoopSocket {
    using LoopSocket::LoopSocket;
    UringBuffers buffers;
    Ring<Arrival> arrived;
    msghdr shape{};               // How much room in a buffer the name and the control data have.
    bool registered = false;      // The ring knows its descriptor by its number.
    bool receiving = false;       // A request to receive is under way,
    bool polling_out = false;     // and one that tells when it is writable,
    bool waits_writable = false;  // for which somebody waits,
    bool writable = false;        // and which was told.
    bool interrupted = false;     // Receiving ended, but not by an error.
    bool listed = false;          // In busy_.
    bool lost = false;            // For good, by `error`.
    int error = 0;                // What ended receiving, errno.
    std::uint64_t asked_at = 0;   // When receiving was begun, in waits.
  };
  struct Poll {
    int fd = -1;  // -1: none.
    bool under_way = false;
    bool readable = false;
  };
  /// What a request is of; stands before a number in its user data.
  enum class Source : std::uint8_t { receive, writable, interface, watched, send, cancel, nothing };

  static std::uint64_t user_data(Source source, std::size_t number) {
    return static_cast<std::uint64_t>(source) << 32 | number;
  }
  static Source source_of(std::uint64_t user_data) { return static_cast<Source>(user_data >> 32); }
  static std::size_t number_of(std::uint64_t user_data) { return user_data & UINT32_MAX; }
  static void mark(io_uring_sqe& entry, Source source, std::size_t number);

  explicit UringLoop(SlabPool& slabs) : interfaces_(slabs) {}
  void start();
  void receive(SocketSlot& slot);
  void poll_out(SocketSlot& slot);
  void poll_in(Source source, std::size_t number, Poll& poll);
  void cancel(Source source, std::size_t number, bool& under_way);
  void let_go(SocketSlot& slot);
  bool harvest();
  void take(const io_uring_cqe& entry);
  void take_received(SocketSlot& slot, const io_uring_cqe& entry);
  void list(SocketSlot& slot);
  void serve_watched(LoopHandler& handler);
  void serve_interfaces(LoopHandler& handler);
  void serve_sockets(LoopHandler& handler);
  void serve_error(SocketSlot& slot, LoopHandler& handler);
  void read_socket(SocketSlot& slot, LoopHandler& handler);
  std::size_t hand_over(SocketSlot& slot, std::size_t most, LoopHandler& handler);
  void drop_interface(PeerId peer, LoopHandler& handler);
  void settle(SocketSlot& slot, const SendQueue::Group& group, std::size_t first, std::size_t end,
              LoopHandler& handler);

  UringRing ring_;
  InterfaceTable interfaces_;
  SocketTable<SocketSlot> sockets_;
  std::vector<Poll> interface_polls_;  // Index: PeerId.
  std::vector<Poll> watched_polls_;
  std::vector<PeerId> readable_;   // Interfaces that have, or may have, more to read.
  std::vector<PeerId> reading_;    // Those of them whose turn it is.
  std::vector<SocketId> busy_;     // Sockets with something to hand over.
  std::vector<SocketId> serving_;  // Those of them whose turn it is.
  bool poll_missing_ = false;  // Of a watched descriptor: no room for the request.
  std::uint64_t waits_ = 0;

  SendQueue queue_;
  SendMessages messages_;
  std::array<int, send_batch_max> results_{};  // Of the messages: bytes, or -errno.
  std::size_t sending_ = 0;                    // Messages whose results are not in yet.
  std::size_t cancelling_ = 0;
  std::vector<ReceivedDatagram> datagrams_;  // Of one buffer.
};

}  // namespace mwtun
