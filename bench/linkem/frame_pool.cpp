#include "linkem/frame_pool.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace mwtun::linkem {

Result<FramePool> FramePool::create(std::uint32_t slots) {
  void* const memory = mmap(nullptr, (slots + std::size_t{1}) * slot_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Error{fmt::format("cannot reserve {} frame buffers: {}; use fewer with --frames", slots,
                             std::strerror(errno)),
                 71};
  }
  return FramePool(static_cast<std::uint8_t*>(memory), slots);
}

FramePool::FramePool(std::uint8_t* memory, std::uint32_t slots)
    : memory_(memory), slots_(slots + std::size_t{1}) {
  free_.reserve(slots);
  for (Token token = slots; token > 0; --token) free_.push_back(token - 1);
}

FramePool::FramePool(FramePool&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      slots_(std::move(other.slots_)),
      free_(std::move(other.free_)) {}

FramePool::~FramePool() {
  if (memory_ != nullptr) munmap(memory_, slots_.size() * slot_bytes);
}

MutableBytes FramePool::next() {
  const std::size_t slot = free_.empty() ? slots_.size() - 1 : free_.back();
  return {memory_ + slot * slot_bytes, slot_bytes};
}

Token FramePool::take(std::size_t frame_bytes, unsigned holders) {
  MWTUN_ASSERT(!free_.empty() && frame_bytes <= slot_bytes && holders > 0);
  const Token token = free_.back();
  free_.pop_back();
  slots_[token] = {static_cast<std::uint32_t>(frame_bytes), static_cast<std::uint8_t>(holders)};
  return token;
}

MutableBytes FramePool::frame(Token token) {
  MWTUN_ASSERT(slots_[token].holders > 0);
  return {memory_ + token * slot_bytes, slots_[token].frame_bytes};
}

void FramePool::release(Token token) {
  MWTUN_ASSERT(slots_[token].holders > 0);
  if (--slots_[token].holders == 0) free_.push_back(token);
}

}  // namespace mwtun::linkem
