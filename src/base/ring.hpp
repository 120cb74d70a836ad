#pragma once
#include <cstddef>
#include <utility>
#include <vector>

#include "base/assert.hpp"

namespace mwtun {

/// First in, first out, in one piece of memory that grows by doubling and is kept: no allocation
/// once it is as large as it gets. Its user bounds it.
template <typename T>
class Ring {
 public:
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  T& front() { return at(0); }
  T& back() { return at(count_ - 1); }
  /// The i-th from the front.
  T& at(std::size_t i) {
    MWTUN_ASSERT(i < count_);
    return items_[(first_ + i) & (items_.size() - 1)];
  }
  void push_back(T item) {
    if (count_ == items_.size()) grow();
    items_[(first_ + count_++) & (items_.size() - 1)] = std::move(item);
  }
  T pop_front() {
    T item = std::exchange(front(), T{});
    first_ = (first_ + 1) & (items_.size() - 1);
    --count_;
    return item;
  }
  void clear() {
    while (!empty()) pop_front();
  }

 private:
  void grow() {
    std::vector<T> larger(items_.empty() ? 16 : items_.size() * 2);
    for (std::size_t i = 0; i < count_; ++i) larger[i] = std::move(at(i));
    items_ = std::move(larger);
    first_ = 0;
  }
  std::vector<T> items_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace mwtun
