#include "dataplane/io/send_queue.hpp"

#include "base/assert.hpp"

namespace mwtun {

MutableBytes SendQueue::room() {
  if (count_ == send_batch_max || arena_bytes - arena_used_ < datagram_bytes_max) return {};
  return {arena_.get() + arena_used_, arena_bytes - arena_used_};
}

void SendQueue::add(const OutgoingDatagram& datagram) {
  MWTUN_ASSERT(count_ < send_batch_max && datagram.size <= arena_bytes - arena_used_);
  queued_[count_] = datagram;
  queued_at_[count_++] = arena_used_;
  arena_used_ += datagram.size;
}

std::span<const SendQueue::Group> SendQueue::arrange() {
  // Few paths, so looking through all datagrams for each costs less than sorting.
  std::array<bool, send_batch_max> done{};
  std::size_t group = 0, item = 0;
  for (std::size_t first = 0; first < count_; ++first) {
    if (done[first]) continue;
    const std::size_t begin = item;
    const Path& path = queued_[first].path;
    for (std::size_t i = first; i < count_; ++i) {
      const OutgoingDatagram& datagram = queued_[i];
      if (done[i] || datagram.path != path) continue;
      done[i] = true;
      SendItem& into = items_[item];
      into.local = path.local;
      into.remote = path.remote;
      into.bytes = {arena_.get() + queued_at_[i], datagram.size};
      into.may_join = datagram.may_join;
      tags_[item++] = datagram.tag;
    }
    groups_[group++] = {
        path, {items_.data() + begin, item - begin}, {tags_.data() + begin, item - begin}};
  }
  return {groups_.data(), group};
}

void SendQueue::clear() {
  count_ = 0;
  arena_used_ = 0;
}

}  // namespace mwtun
