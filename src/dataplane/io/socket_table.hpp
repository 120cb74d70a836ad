#pragma once
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "dataplane/io/event_loop.hpp"
#include "dataplane/io/send_queue.hpp"

namespace mwtun {

/// What every loop keeps of a socket.
struct LoopSocket {
  LoopSocket(SocketId number, UdpSocket opened) : id(number), socket(std::move(opened)) {}
  SocketId id;
  UdpSocket socket;
  Instant retry_at = never;  // After ENOBUFS, which no event ends.
  unsigned errors_in_a_row = 0;
};

/// Errors of receiving without one success between them after which a socket is given up.
inline constexpr unsigned errors_in_a_row_max = 1000;

/// True when there was one.
bool tell_icmp_error(LoopSocket& slot, LoopHandler& handler);
/// Sends, and tells of what was refused. `buffer_full` of the outcome is left to the loop: it waits
/// until the socket is writable.
/// @param slot  null: no such socket, so all is refused
SendOutcome send_by_call(LoopSocket* slot, std::span<const SendItem> items,
                         std::span<const DatagramTag> tags, LoopHandler& handler);
SocketReport report_of(const LoopSocket& slot);

/// A loop's sockets by number. Slot is a LoopSocket and what the loop needs beside it.
template <typename Slot>
class SocketTable {
 public:
  Slot* find(SocketId id) const {
    return index_of(id) < slots_.size() ? slots_[index_of(id)].get() : nullptr;
  }
  Slot& put(SocketId id, UdpSocket socket) {
    if (slots_.size() <= index_of(id)) slots_.resize(index_of(id) + 1);
    slots_[index_of(id)] = std::make_unique<Slot>(id, std::move(socket));
    return *slots_[index_of(id)];
  }
  void drop(SocketId id) {
    if (index_of(id) < slots_.size()) slots_[index_of(id)].reset();
  }
  template <typename Use>
  void each(Use use) const {
    for (const auto& slot : slots_) {
      if (slot != nullptr) use(*slot);
    }
  }

  /// send_by_call() found the interface's queue full.
  void retry_later(const Slot& slot) { retry_at_ = std::min(retry_at_, slot.retry_at); }
  /// When tell_retries() is due.
  Instant retry_at() const { return retry_at_; }
  /// Sockets that may be tried again count as writable.
  void tell_retries(LoopHandler& handler, Instant now) {
    if (retry_at_ > now) return;
    retry_at_ = never;
    each([&](Slot& slot) {
      if (slot.retry_at <= now) {
        slot.retry_at = never;
        handler.on_writable(slot.id, now);
      }
      retry_later(slot);
    });
  }

 private:
  std::vector<std::unique_ptr<Slot>> slots_;  // Index: SocketId.
  Instant retry_at_ = never;                  // Soonest of all.
};

}  // namespace mwtun
