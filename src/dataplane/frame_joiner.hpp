#pragma once
#include <array>
#include <cstdint>

#include "base/packet.hpp"
#include "base/ring.hpp"
#include "dataplane/inner_headers.hpp"

namespace mwtun {

/// Makes super-frames of TCP frames that came one by one and follow on each other, as a network
/// card with GRO does: the interface is written to and its kernel looks through its tables once for
/// many. Nothing is lost by it. Who cuts the super-frame has the very frames again, byte for byte,
/// and what would not come out so is not joined.
///
/// Give it the frames of one interface in their order with add(), and flush() when no more are
/// there; take all that is ready() after each. Frames of a flow keep their order. A frame that
/// nothing follows is never copied.
class FrameJoiner {
 public:
  /// Flows that are held open at once; one more closes the oldest.
  static constexpr std::size_t flows_max = 8;

  struct Counters {
    std::uint64_t frames = 0;  // That went into super-frames.
    std::uint64_t super_frames = 0;
  };

  /// @param slabs  with slabs of super_frame_bytes_max behind it; while those are all in use,
  /// frames
  ///               leave as they came
  explicit FrameJoiner(SlabPool& slabs) : slabs_(slabs) {}

  /// Takes the frame, whose offload data its headers bear out (rebuild_offload). False: it is not
  /// taken, and may leave ahead of all that is held.
  [[nodiscard]] bool add(Frame& frame);
  /// All that is held becomes ready.
  void flush();
  bool ready() const { return !ready_.empty(); }
  Frame take_ready() { return ready_.pop_front(); }
  const Counters& counters() const { return counters_; }

 private:
  /// A frame, or the beginning of a super-frame, that waits for what follows on it.
  struct Held {
    Frame frame;
    InnerHeaders at;
    std::uint16_t segment_bytes = 0;  // Payload of the first.
    std::uint16_t frames = 1;
    bool partial = false;  // Their checksums were.
  };
  std::size_t find(const Frame& frame, const InnerHeaders& at) const;
  void hold(Frame& frame, const InnerHeaders& at);
  bool append(Held& held, const Frame& frame, const InnerHeaders& at);
  void release(std::size_t index);

  SlabPool& slabs_;
  std::array<Held, flows_max> held_;  // The first held_count_, oldest first.
  std::size_t held_count_ = 0;
  Ring<Frame> ready_;
  Counters counters_;
};

}  // namespace mwtun
