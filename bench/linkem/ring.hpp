#pragma once
#include <cstddef>
#include <utility>
#include <vector>

#include "base/assert.hpp"

namespace mwtun::linkem {

/// First-in first-out in one block of memory that doubles when it is full: no allocation an entry,
/// as std::deque has one every few entries.
template <typename T>
class Ring {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  T& front() {
    MWTUN_ASSERT(size_ > 0);
    return slots_[head_];
  }
  const T& front() const {
    MWTUN_ASSERT(size_ > 0);
    return slots_[head_];
  }
  void push(T value) {
    if (size_ == slots_.size()) grow();
    slots_[(head_ + size_) & (slots_.size() - 1)] = std::move(value);
    ++size_;
  }
  T pop() {
    MWTUN_ASSERT(size_ > 0);
    T value = std::move(slots_[head_]);
    head_ = (head_ + 1) & (slots_.size() - 1);
    --size_;
    return value;
  }

 private:
  void grow() {
    std::vector<T> larger(slots_.empty() ? 256 : slots_.size() * 2);
    for (std::size_t i = 0; i < size_; ++i) {
      larger[i] = std::move(slots_[(head_ + i) & (slots_.size() - 1)]);
    }
    slots_ = std::move(larger);
    head_ = 0;
  }

  std::vector<T> slots_;  // a power of two, or none
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace mwtun::linkem
