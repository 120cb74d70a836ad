#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/bytes.hpp"

namespace mwtun {

class SlabPool;

/// A receive buffer. One worker owns it: the count is not atomic.
struct Slab {
  SlabPool* pool = nullptr;
  Slab* next_free = nullptr;
  std::uint32_t references = 0;
  std::uint32_t capacity = 0;
  std::uint8_t* data = nullptr;
};

/// Counted reference to a slab; the last one gives it back to its pool.
class SlabRef {
 public:
  SlabRef() = default;
  /// Takes over one reference that is already counted.
  static SlabRef adopt(Slab* slab) { return SlabRef(slab); }
  SlabRef(const SlabRef& other) : slab_(other.slab_) {
    if (slab_ != nullptr) ++slab_->references;
  }
  SlabRef(SlabRef&& other) noexcept : slab_(std::exchange(other.slab_, nullptr)) {}
  SlabRef& operator=(SlabRef other) noexcept {
    std::swap(slab_, other.slab_);
    return *this;
  }
  ~SlabRef() { reset(); }
  void reset();

  explicit operator bool() const { return slab_ != nullptr; }
  std::uint8_t* data() const { return slab_->data; }
  std::uint32_t capacity() const { return slab_->capacity; }

 private:
  explicit SlabRef(Slab* slab) : slab_(slab) {}
  Slab* slab_ = nullptr;
};

/// Slabs of one size, at most `count_max` of them. Grows a block at a time up to that bound and
/// keeps what it grew, so the steady state allocates nothing.
class SlabPool {
 public:
  /// @param slab_bytes  usable bytes a slab
  /// @param count_max   most slabs alive at once
  SlabPool(std::uint32_t slab_bytes, std::size_t count_max);
  ~SlabPool();
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  /// Empty when the bound is reached: the caller counts a drop.
  [[nodiscard]] SlabRef take();
  /// One that holds `bytes`. What is too long for this pool comes from the next larger ones, as
  /// long as they have any; what is not never does. Empty also when no slab is large enough.
  [[nodiscard]] SlabRef take(std::size_t bytes);
  /// The pool with the next larger slabs, which must live longer than this.
  void set_larger(SlabPool& larger) { larger_ = &larger; }
  /// Of the largest slabs that take(bytes) gives.
  std::uint32_t slab_bytes_max() const {
    return larger_ != nullptr ? larger_->slab_bytes_max() : slab_bytes_;
  }
  std::size_t in_use() const { return in_use_; }
  std::size_t grown() const { return grown_; }
  std::uint32_t slab_bytes() const { return slab_bytes_; }

 private:
  friend class SlabRef;
  struct Block;
  SlabRef take_here_or_larger(std::size_t bytes);
  void grow();
  void give_back(Slab* slab);

  std::uint32_t slab_bytes_;
  std::size_t count_max_;
  std::size_t grown_ = 0;
  std::size_t in_use_ = 0;
  Slab* free_ = nullptr;
  Block* blocks_ = nullptr;
  SlabPool* larger_ = nullptr;
};

/// What the kernel's virtio_net_hdr says of a frame, in our own terms. Zero: an ordinary frame.
struct Offload {
  enum class Gso : std::uint8_t { none = 0, tcp4 = 1, tcp6 = 2, udp = 3 };
  Gso gso = Gso::none;
  bool checksum_partial = false;  // The transport checksum covers the pseudo-header only.
  std::uint16_t gso_bytes = 0;    // Payload of one segment.
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;

  bool operator==(const Offload&) const = default;
  bool plain() const { return *this == Offload{}; }
};

/// One Ethernet frame (or, with offload data, a super-frame): a slice of a slab.
struct Frame {
  SlabRef slab;
  std::uint32_t offset = 0;
  std::uint32_t size = 0;
  Offload offload;

  Bytes bytes() const { return {slab.data() + offset, size}; }
  MutableBytes mutable_bytes() { return {slab.data() + offset, size}; }
};

}  // namespace mwtun
