#include "dataplane/sent_log.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/prefetch.hpp"

namespace mwtun {

std::uint32_t ContentPool::add(const Content& content, std::uint32_t next) {
  std::uint32_t index = free_;
  if (index == none) {
    index = static_cast<std::uint32_t>(items_.size());
    items_.emplace_back();
  } else {
    free_ = items_[index].next;
    if (free_ != none) prefetch(items_[free_]);
  }
  items_[index] = content;
  items_[index].next = next;
  return index;
}

void ContentPool::free(std::uint32_t index) {
  items_[index].next = free_;
  free_ = index;
}

SentDatagram& SentLog::append() {
  MWTUN_ASSERT(!full());
  if (next_ - base_ == ring_.size()) {
    std::vector<SentDatagram> larger(std::max<std::size_t>(64, ring_.size() * 2));
    for (std::uint64_t i = base_; i < next_; ++i) {
      larger[i & (larger.size() - 1)] = ring_[i & (ring_.size() - 1)];
    }
    ring_ = std::move(larger);
  }
  SentDatagram& sent = (*this)[next_++];
  sent = SentDatagram{};
  sent.fate = SentDatagram::Fate::in_flight;
  return sent;
}

}  // namespace mwtun
