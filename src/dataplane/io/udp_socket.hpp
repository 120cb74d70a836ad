#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"
#include "dataplane/io/fd.hpp"
#include "dataplane/io/send_messages.hpp"
#include "dataplane/node.hpp"

namespace mwtun {

/// Most buffers one recvmmsg fills: each with a datagram, or with several that came as one (GRO).
inline constexpr std::size_t receive_batch_max = 16;

struct UdpSocketOptions {
  /// The family is needed. Any-address and port 0: the kernel chooses when it sends.
  Address bind;
  /// Interface to bind to; empty: none.
  std::string device;
  /// Many peers send to this socket: each datagram tells which of our addresses it came to, and
  /// answers leave from that one. ICMP errors, which anybody can forge and which name no datagram,
  /// are not listened to. Without: one peer, and ICMP errors are told for the log.
  bool server = false;
  /// Joins the sockets of this address whose share_port() was called.
  bool join_port = false;
  std::uint32_t receive_buffer_bytes = 4 << 20;
  std::uint32_t send_buffer_bytes = 2 << 20;
  /// Datagrams of one size to one address go to the kernel as one piece (UDP_SEGMENT, Linux 4.18),
  /// and come from it so (UDP_GRO, used from Linux 5.12 on), where it can.
  bool offload = true;
};

/// One datagram that came in; `bytes` is good until the next receive into the same batch.
struct ReceivedDatagram {
  Address local;  // Ours. None where the socket has no address of its own and is not a server's.
  Address remote;
  Bytes bytes;
  std::uint64_t kernel_ns = 0;  // Real time of its arrival; 0: unknown.
  bool truncated = false;       // Longer than datagram_bytes_max.
};

/// Address of ours (v6), time stamp and size of a segment: what the kernel tells of a buffer.
inline constexpr std::size_t inbound_control_bytes = 160;
/// What the kernel joins is never longer. A shorter buffer would lose the end without a word.
inline constexpr std::size_t inbound_buffer_bytes = 65'536;

/// Buffers for recvmmsg; one a loop, shared by its sockets.
class ReceiveBatch {
 public:
  ReceiveBatch();
  std::span<const ReceivedDatagram> datagrams() const { return datagrams_; }
  /// Every buffer was filled: more may wait.
  bool full() const { return count_ == receive_batch_max; }

 private:
  friend class UdpSocket;
  static constexpr std::size_t control_bytes = inbound_control_bytes;
  static constexpr std::size_t buffer_bytes = inbound_buffer_bytes;
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::array<mmsghdr, receive_batch_max> headers_{};
  std::array<iovec, receive_batch_max> pieces_{};
  std::array<sockaddr_storage, receive_batch_max> names_{};
  alignas(cmsghdr) std::array<std::uint8_t, receive_batch_max * control_bytes> control_{};
  std::vector<ReceivedDatagram> datagrams_;
  std::size_t count_ = 0;  // Buffers filled.
};

struct SendFailure {
  std::size_t index;  // Into the items.
  SendError error;
};
struct SendOutcome {
  std::size_t failures = 0;
  bool buffer_full = false;  // EAGAIN: the socket says when it is writable.
  bool queue_full = false;  // ENOBUFS: the interface's queue dropped; nobody says when it has room.
};

/// An ICMP error that came back to a socket. Anybody can forge one, so it is for the log alone.
struct IcmpError {
  SendError error{};
  int os_error = 0;
  Address remote;    // Where our datagram was going.
  Address reporter;  // Who says so; family none: unknown.
};

struct UdpCounters {
  std::uint64_t datagrams_in = 0;
  std::uint64_t datagrams_joined = 0;  // Of those, came with others as one (GRO).
  std::uint64_t bytes_in = 0;
  std::uint64_t receive_calls = 0;
  std::uint64_t truncated = 0;
  std::uint64_t receive_errors = 0;
  std::uint64_t datagrams_out = 0;
  std::uint64_t datagrams_cut = 0;  // Of those, left with others as one (GSO).
  std::uint64_t bytes_out = 0;
  std::uint64_t send_calls = 0;
  std::uint64_t send_would_block = 0;
  std::uint64_t send_failed = 0;
  std::uint64_t icmp_errors = 0;
  std::uint64_t gso_refused = 0;  // Times the kernel would not cut what it takes piece by piece.
};

/// What the kernel's refusal means to the core.
SendError to_send_error(int os_error);

class UdpSocket;
/// What to tell a person when the kernel granted smaller buffers than asked for; else empty.
std::string buffer_warning(const UdpSocket& socket, std::uint32_t wanted_bytes);

/// A bound, non-blocking UDP socket with DF set, batches and receive times.
class UdpSocket {
 public:
  static Result<UdpSocket> open(const UdpSocketOptions& options);

  enum class Receive : std::uint8_t { some, empty, error };
  /// One recvmmsg. Every datagram counts as one, empty ones too.
  Receive receive(ReceiveBatch& into);

  /// From now on other sockets of this user may bind the same address (SO_REUSEPORT). Only now, so
  /// that a port that another program has was refused.
  Result<void> share_port();

  /// Sends all of the items it can, in order; what is refused is told in `failures` (as large as
  /// `items`, which are at most send_batch_max) and the rest goes on, except after EAGAIN or
  /// ENOBUFS: then all that is left is refused.
  SendOutcome send(std::span<const SendItem> items, std::span<SendFailure> failures);

  /// For who receives and sends by other means than a call, as a ring: the two halves of receive()
  /// and of send().
  /// Adds what is in one buffer: a datagram, or several of one size (the last may be shorter).
  /// @param header  name (a sockaddr_storage), control data and flags as the kernel filled them
  void describe(const msghdr& header, Bytes payload, std::vector<ReceivedDatagram>& into);
  /// Makes messages of the items from `begin` on; those before `single` go one by one.
  void add_messages(std::span<const SendItem> items, std::size_t begin, std::size_t single,
                    SendMessages& into) const;
  /// One message went out.
  void count_sent(std::span<const SendItem> message);
  void count_send_call() { ++counters_.send_calls; }
  void count_receive_call() { ++counters_.receive_calls; }
  void count_receive_error() { ++counters_.receive_errors; }

  /// Empties the error queue, so that EPOLLERR rests. The last ICMP error since the last call.
  std::optional<IcmpError> take_icmp_error();
  /// send() came across an ICMP error that nobody has taken.
  bool icmp_error_waiting() const { return icmp_error_.has_value(); }

  int fd() const { return fd_.get(); }
  /// Where it is bound; family none where the kernel chooses the address.
  const Address& local() const { return local_; }
  /// As local(), but with 0.0.0.0 or [::]: what to say to people.
  const Address& bound() const { return bound_; }
  const std::string& device() const { return device_; }
  bool server() const { return server_; }
  /// As the kernel granted them.
  std::uint32_t receive_buffer_bytes() const { return receive_buffer_bytes_; }
  std::uint32_t send_buffer_bytes() const { return send_buffer_bytes_; }
  /// Whether datagrams leave, and come in, several as one.
  bool gso() const { return gso_; }
  bool gro() const { return gro_; }
  const UdpCounters& counters() const { return counters_; }
  /// Datagrams the kernel dropped because the receive buffer was full.
  std::uint64_t receive_overruns() const;

 private:
  UdpSocket() = default;
  bool drain_error_queue();

  Fd fd_;
  Address local_;
  Address bound_;
  std::string device_;
  bool server_ = false;
  bool choose_source_ = false;  // A server's, bound to any address.
  bool gso_ = false;
  bool gro_ = false;
  std::uint32_t receive_buffer_bytes_ = 0;
  std::uint32_t send_buffer_bytes_ = 0;
  UdpCounters counters_;
  std::optional<IcmpError> icmp_error_;
};

}  // namespace mwtun
