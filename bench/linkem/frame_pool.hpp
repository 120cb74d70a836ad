#pragma once
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "linkem/line_model.hpp"

namespace mwtun::linkem {

/// A fixed number of frame buffers, mapped once; a Token is a buffer's number. The last buffer
/// given back is the next one taken, so only as much memory is touched as was ever in use at a
/// time.
class FramePool {
 public:
  static constexpr std::size_t slot_bytes = 10'240;  // a jumbo frame and some

  static Result<FramePool> create(std::uint32_t slots);
  FramePool(FramePool&& other) noexcept;
  FramePool& operator=(FramePool&&) = delete;
  ~FramePool();

  bool empty() const { return free_.empty(); }
  /// The buffer take() will give next (of the last one taken, when the pool is empty: a frame is
  /// read into it only to be thrown away).
  MutableBytes next();
  /// The token of next(), unless the pool is empty.
  Token next_token() const { return free_.back(); }
  /// Keeps the first `frame_bytes` of next() until it was released `holders` times.
  Token take(std::size_t frame_bytes, unsigned holders);
  MutableBytes frame(Token token);
  void release(Token token);

 private:
  struct Slot {
    std::uint32_t frame_bytes = 0;
    std::uint8_t holders = 0;
  };

  FramePool(std::uint8_t* memory, std::uint32_t slots);
  std::uint8_t* memory_;
  std::vector<Slot> slots_;  // the pool's, and one more as the waste buffer
  std::vector<Token> free_;
};

}  // namespace mwtun::linkem
