#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/io/udp_socket.hpp"
#include "dataplane/node.hpp"

namespace mwtun {

/// Datagrams that wait for a loop's next flush. They lie end to end, so that equal ones can leave
/// as one GSO buffer.
class SendQueue {
 public:
  /// Those of one path. They stand side by side, which GSO needs: a server has all links on one
  /// socket.
  struct Group {
    Path path;
    std::span<const SendItem> items;
    std::span<const DatagramTag> tags;  // One an item.
  };

  SendQueue() : arena_(new std::uint8_t[arena_bytes]) {}
  /// Room for the next datagram (at least datagram_bytes_max). Empty: no more fit.
  MutableBytes room();
  /// What stands at the front of room().
  void add(const OutgoingDatagram& datagram);
  bool empty() const { return count_ == 0; }
  /// All of them by path, in the order of their first datagrams; good until clear().
  std::span<const Group> arrange();
  void clear();

 private:
  static constexpr std::size_t arena_bytes = send_batch_max * 1536 + datagram_bytes_max;
  std::unique_ptr<std::uint8_t[]> arena_;
  std::size_t arena_used_ = 0;
  std::array<OutgoingDatagram, send_batch_max> queued_;
  std::array<std::size_t, send_batch_max> queued_at_{};  // Offsets into arena_.
  std::size_t count_ = 0;

  std::array<Group, send_batch_max> groups_;
  std::array<SendItem, send_batch_max> items_;
  std::array<DatagramTag, send_batch_max> tags_;
};

}  // namespace mwtun
