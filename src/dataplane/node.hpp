#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/address.hpp"
#include "base/entropy.hpp"
#include "base/packet.hpp"
#include "base/time.hpp"
#include "crypto/handshake.hpp"
#include "dataplane/config.hpp"
#include "dataplane/report.hpp"

namespace mwtun {

/// The largest datagram the node writes or reads (a jumbo Ethernet frame's worth of UDP payload).
inline constexpr std::size_t datagram_bytes_max = 9216;

/// Which datagram of ours a send error is about. Handshake datagrams have no link.
struct DatagramTag {
  PeerId peer{};
  LinkId link{};
  std::uint8_t epoch = 0;
  bool data = false;
  std::uint64_t number = 0;
};

/// A datagram to send: `size` bytes of the room the caller gave.
struct OutgoingDatagram {
  Path path;
  std::size_t size = 0;
  DatagramTag tag;
  bool may_join = true;  // Leave as one with its neighbours (UDP GSO).
};

/// A frame for a peer's interface.
struct DeliveredFrame {
  PeerId peer{};
  Frame frame;
};

enum class SendError : std::uint8_t {
  would_block,  // EAGAIN, ENOBUFS: the queue below is full; try again soon.
  unreachable,  // ENETUNREACH, EHOSTUNREACH, ENETDOWN, ENODEV, EADDRNOTAVAIL, EINVAL: no way out.
  forbidden,    // EPERM, EACCES: a firewall says no.
  too_big,      // EMSGSIZE.
  refused,      // ECONNREFUSED: nobody listens there.
};

/// An initiation on its way between the nodes of a process.
struct ForwardedInitiation {
  enum class Kind : std::uint8_t {
    admitted,      // Within the bounds, and of a peer of `worker`.
    wants_cookie,  // To be answered with a cookie, by who can tell it again.
  };
  Kind kind{};
  unsigned worker = 0;  // Whom it is for.
  Path path;
  bool mac2_valid = false;
  std::array<std::uint8_t, initiation_bytes> bytes{};
};

/// The sans-I/O root: one identity, its peers, their sessions and links. It reads no clock and
/// opens nothing. Inputs are the handle_*() and set_*() calls; after any of them drain
/// poll_datagram(), poll_frame() and poll_event() until they are empty, in this order (and
/// poll_forward() where the process has several nodes), then arm poll_timeout().
class Node {
 public:
  /// @param slabs  where frames are put together; also what handle_frame()'s frames are slices of
  Node(NodeConfig config, Entropy& entropy, SlabPool& slabs, Instant now);
  ~Node();

  /// A frame from a peer's interface.
  void handle_frame(PeerId peer, Frame frame, Instant now);
  /// A datagram as it came in. `received` is the kernel's receive time, not after `now`. The bytes
  /// are read before this returns.
  void handle_datagram(const Path& path, Bytes datagram, Instant received, Instant now);
  /// What poll_forward() of another node of this process gave.
  void handle_forwarded(const ForwardedInitiation& initiation, Instant now);
  void handle_timeout(Instant now);
  /// A datagram from poll_datagram() that could not be sent. Its number is spent; its content is
  /// not.
  void handle_send_error(const DatagramTag& tag, SendError error, Instant now);
  /// The socket can take datagrams again after would_block.
  void handle_writable(SocketId socket, Instant now);

  /// Initiator: the link can be used over `path` (socket bound, endpoint resolved); `mtu` is the
  /// interface's. Called again when any of it changes; the link keeps its number and keys.
  void set_link_path(PeerId peer, LinkId link, const Path& path, std::uint32_t mtu, Instant now);
  /// The link has no way out any more (interface or address gone).
  void clear_link_path(PeerId peer, LinkId link, Instant now);
  /// Initiator: what the link is for changes, for both directions. The peer is told by a JOIN that
  /// is not repeated if it gets lost, so say it again now and then.
  void set_link_role(PeerId peer, LinkId link, LinkRole role, Instant now);
  /// Ends all sessions with a CLOSE; drain poll_datagram() once more, then destroy the node.
  void close(Instant now);

  /// Writes the next datagram into `room` (at least datagram_bytes_max). None: nothing to send now.
  [[nodiscard]] std::optional<OutgoingDatagram> poll_datagram(MutableBytes room, Instant now);
  [[nodiscard]] std::optional<DeliveredFrame> poll_frame();
  [[nodiscard]] std::optional<Event> poll_event();
  [[nodiscard]] std::optional<ForwardedInitiation> poll_forward();
  /// When handle_timeout() is due; always after the `now` of the last handle_timeout(). `never` if
  /// nothing waits.
  [[nodiscard]] Instant poll_timeout() const;

  [[nodiscard]] PeerReport report(PeerId peer, Instant now) const;
  [[nodiscard]] std::size_t peer_count() const;
  /// Drops that belong to no peer.
  [[nodiscard]] const DropCounters& drops() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mwtun
