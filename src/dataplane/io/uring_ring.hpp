#pragma once
#include <liburing.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace mwtun {

/// One io_uring: set up with what this kernel has, made by one thread and used by another.
class UringRing {
 public:
  static constexpr unsigned submissions_max = 256;
  static constexpr unsigned completions_max = 2048;
  /// Descriptors of sockets with lower numbers are registered; those of others go as they are.
  static constexpr unsigned files_max = 256;

  UringRing() = default;
  ~UringRing() { close(); }
  UringRing(const UringRing&) = delete;
  UringRing& operator=(const UringRing&) = delete;

  /// An error says why this kernel, or whoever guards it, has no io_uring that does for us.
  Result<void> open();
  void close();

  /// From here on all calls come from the calling thread.
  void start();
  bool started() const { return user_ != std::thread::id(); }
  /// False also when the thread of start() is another one, whose end has ended all requests.
  bool usable_here() const { return user_ == std::this_thread::get_id(); }

  /// One to fill in; goes to the kernel with the next submit() or wait(). Null: they are all in
  /// use, and the kernel takes none now.
  io_uring_sqe* next();
  /// The next so many go in together.
  void make_room(unsigned submissions);
  /// False, as of wait(): the kernel did not take all, by lack of memory. They stay.
  bool submit();
  /// Submits, and waits for a completion until `deadline`. A past one: only looks.
  bool wait(Instant deadline, Instant now);
  /// Submits, and waits for so many completions, however long that takes.
  bool wait(unsigned completions);
  /// Takes back those which the kernel has not taken and of whose user data `take` says true.
  template <typename Take>
  void withdraw(std::uint64_t instead, Take take) {
    for (unsigned at = *ring_.sq.khead; at != ring_.sq.sqe_tail; ++at) {
      io_uring_sqe& entry = ring_.sq.sqes[at & ring_.sq.ring_mask];
      if (!take(entry.user_data)) continue;
      io_uring_prep_nop(&entry);
      io_uring_sqe_set_data64(&entry, instead);
    }
  }
  /// Hands over all completions there are; gives their number.
  template <typename Take>
  unsigned harvest(Take take) {
    unsigned head = 0, count = 0;
    const io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&ring_, head, entry) {
      take(*entry);
      ++count;
    }
    io_uring_cq_advance(&ring_, count);
    return count;
  }

  /// Registers a descriptor under a number below files_max, in place of what was there; -1: none.
  /// False: the number is too large, or the kernel did not take it.
  bool put_file(unsigned number, int fd);
  void forget_files();

 private:
  friend class UringBuffers;
  bool taken();
  io_uring ring_{};
  bool open_ = false;
  bool files_ = false;
  std::thread::id user_;
};

/// Buffers out of which the kernel takes one for each message it received. Whoever has one gives
/// it back.
class UringBuffers {
 public:
  /// A power of two. More would be more memory to walk through: they are used in turn.
  static constexpr unsigned count = 16;

  UringBuffers() = default;
  ~UringBuffers() { drop(); }
  UringBuffers(const UringBuffers&) = delete;
  UringBuffers& operator=(const UringBuffers&) = delete;

  /// 0, or the errno.
  int open(UringRing& ring, unsigned group, std::size_t buffer_bytes);
  /// No request that uses them may be under way.
  void close(UringRing& ring);

  MutableBytes operator[](unsigned number) const {
    return {memory_ + ring_bytes + number * stride_, buffer_bytes_};
  }
  void give_back(unsigned number);

 private:
  static constexpr std::size_t ring_bytes = 4096;  // A page, so that what follows is aligned.
  void drop();
  io_uring_buf_ring* ring() const { return reinterpret_cast<io_uring_buf_ring*>(memory_); }

  std::uint8_t* memory_ = nullptr;  // The ring of descriptors, then the buffers.
  std::size_t memory_bytes_ = 0;
  std::size_t buffer_bytes_ = 0;
  std::size_t stride_ = 0;
  unsigned group_ = 0;
};

}  // namespace mwtun
