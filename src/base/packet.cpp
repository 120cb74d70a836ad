#include "base/packet.hpp"

#include <algorithm>
#include <memory>

#include "base/prefetch.hpp"

namespace mwtun {

/// Slabs are grown together: their headers and their bytes in one piece each.
struct SlabPool::Block {
  Block* next;
  std::unique_ptr<Slab[]> slabs;
  std::unique_ptr<std::uint8_t[]> bytes;
};

static constexpr std::size_t block_bytes = 256 * 1024;

void SlabRef::reset() {
  Slab* slab = std::exchange(slab_, nullptr);
  if (slab == nullptr) return;
  MWTUN_ASSERT(slab->references > 0);
  if (--slab->references == 0) slab->pool->give_back(slab);
}

SlabPool::SlabPool(std::uint32_t slab_bytes, std::size_t count_max)
    : slab_bytes_(slab_bytes), count_max_(count_max) {
  MWTUN_ASSERT(slab_bytes > 0 && count_max > 0);
}

SlabPool::~SlabPool() {
  MWTUN_ASSERT(in_use_ == 0);
  while (blocks_ != nullptr) {
    const std::unique_ptr<Block> block(blocks_);
    blocks_ = block->next;
  }
}

void SlabPool::grow() {
  const std::size_t fit = std::max<std::size_t>(1, block_bytes / slab_bytes_);
  const std::size_t count = std::min(count_max_ - grown_, fit);
  if (count == 0) return;
  auto block = std::make_unique<Block>();
  block->slabs = std::make_unique<Slab[]>(count);
  block->bytes.reset(new std::uint8_t[count * slab_bytes_]);
  for (std::size_t i = 0; i < count; ++i) {
    Slab& slab = block->slabs[i];
    slab.pool = this;
    slab.capacity = slab_bytes_;
    slab.data = block->bytes.get() + i * slab_bytes_;
    slab.next_free = std::exchange(free_, &slab);
  }
  grown_ += count;
  block->next = blocks_;
  blocks_ = block.release();
}

SlabRef SlabPool::take() {
  if (free_ == nullptr) grow();
  if (free_ == nullptr) return {};
  Slab* slab = std::exchange(free_, free_->next_free);
  if (free_ != nullptr) prefetch(*free_);
  slab->references = 1;
  ++in_use_;
  return SlabRef::adopt(slab);
}

SlabRef SlabPool::take(std::size_t bytes) {
  if (bytes <= slab_bytes_) return take();
  return larger_ != nullptr ? larger_->take_here_or_larger(bytes) : SlabRef{};
}

SlabRef SlabPool::take_here_or_larger(std::size_t bytes) {
  SlabRef slab = bytes <= slab_bytes_ ? take() : SlabRef{};
  if (slab || larger_ == nullptr) return slab;
  return larger_->take_here_or_larger(bytes);
}

void SlabPool::give_back(Slab* slab) {
  slab->next_free = std::exchange(free_, slab);
  --in_use_;
}

}  // namespace mwtun
