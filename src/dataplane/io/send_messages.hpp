#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/bytes.hpp"

namespace mwtun {

/// Most datagrams one sendmmsg takes: twice what one message of usual datagrams can hold (GSO).
inline constexpr std::size_t send_batch_max = 88;

/// One datagram to go out.
struct SendItem {
  Address local;  // Server sockets: the address to send from. None: let the kernel choose.
  Address remote;
  Bytes bytes;
  bool may_join = true;  // Leave as one with its neighbours.
};

/// Datagrams as the kernel takes them: several of one size and path are one message, which it cuts
/// (UDP_SEGMENT). At most send_batch_max items until clear().
class SendMessages {
 public:
  SendMessages() {}  // Fills nothing: all of it would be 20 KiB a call.

  /// Those items which are one message.
  struct Range {
    std::size_t first = 0;
    std::size_t count = 0;
  };

  /// Makes messages of the items from `begin` on; those before `single` go one by one.
  /// @param source  family of the socket that sends from each item's own address; none: it does not
  void add(std::span<const SendItem> items, std::size_t begin, std::size_t single, Family source);
  void clear() { count_ = pieces_used_ = 0; }

  std::size_t count() const { return count_; }
  /// Range of message `index` among the items given with it.
  const Range& operator[](std::size_t index) const { return ranges_[index]; }
  mmsghdr* headers() { return headers_.data(); }

 private:
  /// Room for the source address of a message and the size of its segments.
  struct Control {
    alignas(cmsghdr) std::uint8_t bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(2)];
  };

  std::size_t count_ = 0;
  std::size_t pieces_used_ = 0;
  std::array<mmsghdr, send_batch_max> headers_;
  std::array<Range, send_batch_max> ranges_;
  std::array<iovec, send_batch_max> pieces_;
  std::array<sockaddr_storage, send_batch_max> names_;
  std::array<Control, send_batch_max> controls_;
};

}  // namespace mwtun
