#include "dataplane/io/uring_loop.hpp"

#include <algorithm>
#include <cerrno>

namespace mwtun {

MutableBytes UringLoop::send_room() {
  return queue_.room();
}

void UringLoop::queue(const OutgoingDatagram& datagram) {
  queue_.add(datagram);
}

void UringLoop::flush(LoopHandler& handler) {
  if (queue_.empty()) return;
  start();
  messages_.clear();
  ring_.make_room(send_batch_max);  // A chain goes in with one call.
  const std::span<const SendQueue::Group> groups = queue_.arrange();
  std::array<std::size_t, send_batch_max + 1> first{};  // Messages of each group.
  for (std::size_t g = 0; g < groups.size(); ++g) {
    first[g] = messages_.count();
    if (SocketSlot* slot = sockets_.find(groups[g].path.socket)) {
      slot->socket.count_send_call();
      slot->socket.add_messages(groups[g].items, 0, 0, messages_);
      std::fill(results_.begin() + first[g], results_.begin() + messages_.count(), -ECANCELED);
      for (std::size_t m = first[g]; m < messages_.count(); ++m) {
        io_uring_sqe* entry = ring_.next();
        if (entry == nullptr) break;  // Those behind it neither.
        ++sending_;
        const int fd = slot->registered ? static_cast<int>(index_of(slot->id)) : slot->socket.fd();
        // Done, or refused, within submit(): the kernel never waits with one of these.
        io_uring_prep_sendmsg(entry, fd, &messages_.headers()[m].msg_hdr, MSG_DONTWAIT);
        if (slot->registered) entry->flags |= IOSQE_FIXED_FILE;
        // Each waits for the one before it. Once one is refused those behind it are cancelled, and
        // do not overtake it.
        if (m + 1 < messages_.count()) entry->flags |= IOSQE_IO_LINK;
        mark(*entry, Source::send, m);
      }
    }
    first[g + 1] = messages_.count();
  }
  // Without chains all is done within submit().
  const bool chained = messages_.count() > groups.size();
  bool taken = true;
  if (sending_ > 0) {
    taken = chained ? ring_.wait(static_cast<unsigned>(sending_)) : ring_.submit();
  }
  if (!taken) {
    ring_.withdraw(user_data(Source::nothing, 0), [this](std::uint64_t data) {
      if (source_of(data) != Source::send) return false;
      --sending_;
      return true;
    });
  }
  harvest();
  while (sending_ > 0) {
    ring_.wait(static_cast<unsigned>(sending_));
    harvest();
  }
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (SocketSlot* slot = sockets_.find(groups[g].path.socket)) {
      settle(*slot, groups[g], first[g], first[g + 1], handler);
    } else {
      send_by_call(nullptr, groups[g].items, groups[g].tags, handler);
    }
  }
  queue_.clear();
}

/// What the ring could not send goes by an ordinary call, which knows what to do about each error
/// and about messages that the kernel does not cut.
void UringLoop::settle(SocketSlot& slot, const SendQueue::Group& group, std::size_t first,
                       std::size_t end, LoopHandler& handler) {
  std::array<SendItem, send_batch_max> items;
  std::array<DatagramTag, send_batch_max> tags;
  std::size_t count = 0;
  bool doubtful = false;
  for (std::size_t m = first; m < end; ++m) {
    const SendMessages::Range& range = messages_[m];
    if (results_[m] >= 0) {
      slot.socket.count_sent(group.items.subspan(range.first, range.count));
      continue;
    }
    // For one that was refused, or for the kernel to take requests.
    const bool waited = results_[m] == -ECANCELED;
    doubtful = doubtful || (!waited && to_send_error(-results_[m]) != SendError::would_block);
    for (std::size_t i = range.first; i < range.first + range.count; ++i, ++count) {
      items[count] = group.items[i];
      tags[count] = group.tags[i];
    }
  }
  if (count == 0) return;
  // An ICMP error is told to whichever message comes next, and now it is gone from the socket.
  if (doubtful && !slot.socket.server()) tell_icmp_error(slot, handler);
  const SendOutcome outcome =
      send_by_call(&slot, {items.data(), count}, {tags.data(), count}, handler);
  if (outcome.buffer_full) poll_out(slot);
  if (outcome.queue_full) sockets_.retry_later(slot);
}

}  // namespace mwtun
