#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/packet.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "dataplane/io/listeners.hpp"
#include "dataplane/io/tap.hpp"
#include "dataplane/io/udp_socket.hpp"
#include "dataplane/node.hpp"

namespace mwtun {

/// What an event loop tells whoever runs it. All calls come from within EventLoop::run() and
/// flush().
class LoopHandler {
 public:
  virtual ~LoopHandler() = default;
  /// The bytes are good until this returns.
  virtual void on_datagram(const Path& path, Bytes datagram, Instant received, Instant now) = 0;
  virtual void on_frame(PeerId peer, Frame frame, Instant now) = 0;
  /// The socket, which refused with would_block, can take datagrams again.
  virtual void on_writable(SocketId socket, Instant now) = 0;
  virtual void on_send_error(const DatagramTag& tag, SendError error, Instant now) = 0;
  /// A watched descriptor is readable.
  virtual void on_watched() = 0;
  /// For the log alone.
  virtual void on_icmp_error(SocketId socket, const IcmpError& error) = 0;
  /// Somebody deleted the interface; the loop has let go of it.
  virtual void on_interface_gone(PeerId peer) = 0;
  /// The socket fails for good; the loop has let go of it.
  virtual void on_socket_gone(SocketId socket, int os_error) = 0;
};

struct SocketReport {
  SocketId id{};
  Address bound;
  std::string device;
  std::uint32_t receive_buffer_bytes = 0;
  std::uint32_t send_buffer_bytes = 0;
  std::uint64_t receive_overruns = 0;  // Dropped by the kernel: its receive buffer was full.
  bool gso = false;
  bool gro = false;
  UdpCounters counters;
};

struct InterfaceReport {
  PeerId peer{};
  std::string name;
  bool tun = false;
  bool carrier = false;
  std::uint64_t no_slab = 0;           // Frames thrown away because every slab was in use.
  std::uint64_t super_frames_cut = 0;  // By us, for an interface or a kernel that takes none.
  TapOffload offload = TapOffload::none;
  TapCounters counters;
};

struct LoopReport {
  std::string name;
  std::uint64_t waits = 0;  // Times run() asked the kernel.
  std::vector<SocketReport> sockets;
  std::vector<InterfaceReport> interfaces;
};

/// Moves datagrams and frames in batches between kernel and handler. It owns sockets and
/// interfaces, since how bytes get in and out (readiness and recvmmsg, or completions and rings of
/// buffers) is the loop's own affair. Single-threaded.
class EventLoop {
 public:
  virtual ~EventLoop() = default;

  /// Takes the place of a socket of the same number.
  virtual void put_socket(NumberedSocket socket) = 0;
  virtual void remove_socket(SocketId socket) = 0;
  virtual void put_interface(PeerId peer, Tap tap) = 0;
  virtual void set_carrier(PeerId peer, bool on) = 0;
  /// run() ends and on_watched() is called when this descriptor becomes readable.
  virtual void watch(int fd) = 0;

  /// Waits until something comes or `deadline` passes, then hands over what has come: a bounded
  /// amount, so that nothing starves. Gives the time of its end.
  virtual Instant run(Instant deadline, LoopHandler& handler) = 0;

  /// Room for the next datagram (at least datagram_bytes_max). Empty: flush() first.
  virtual MutableBytes send_room() = 0;
  /// What stands at the front of send_room() shall go out.
  virtual void queue(const OutgoingDatagram& datagram) = 0;
  /// Hands all queued datagrams to the kernel.
  virtual void flush(LoopHandler& handler) = 0;
  /// A frame the interface refuses is counted and gone.
  virtual void write_frame(PeerId peer, const Frame& frame, LoopHandler& handler) = 0;

  /// The thread that used the loop leaves it for good: only report() may follow. Sockets closed
  /// after this are closed at once.
  virtual void leave() = 0;

  virtual LoopReport report() const = 0;
};

}  // namespace mwtun
