#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/io/event_loop.hpp"

namespace mwtun {

/// A loop's interfaces, and the way of frames between them and slabs. When one can be read is the
/// loop's affair.
class InterfaceTable {
 public:
  /// Most that one read() hands over.
  static constexpr std::size_t frames_per_read = 256;
  /// As much as one sender has there by default (tcp_wmem): in our own queue others pass it, and in
  /// the interface's nobody does.
  static constexpr std::size_t frame_bytes_per_read = 4096 * 1024;

  /// @param slabs  what frames are read into
  explicit InterfaceTable(SlabPool& slabs) : slabs_(slabs) {}

  void put(PeerId peer, Tap tap);
  void drop(PeerId peer);
  void set_carrier(PeerId peer, bool on);
  /// Null: none, or it is gone.
  const Tap* find(PeerId peer) const;
  std::size_t size() const { return slots_.size(); }

  enum class Read : std::uint8_t { emptied, more, gone };
  /// Hands over a bounded amount of what waits. `gone`: somebody deleted the interface; the caller
  /// drops it.
  Read read(PeerId peer, LoopHandler& handler);
  /// A frame the interface refuses is counted and gone. False: so is the interface, and the caller
  /// drops it.
  bool write(PeerId peer, const Frame& frame);

  void report(std::vector<InterfaceReport>& into) const;

 private:
  struct Slot {
    PeerId peer;
    Tap tap;
    std::uint64_t no_slab = 0;
    std::uint64_t super_frames_cut = 0;
  };
  Slot* slot_of(PeerId peer) const {
    return index_of(peer) < slots_.size() ? slots_[index_of(peer)].get() : nullptr;
  }
  void make_one_piece(Frame& frame);
  Tap::Write write_done(Slot& slot, Frame frame);
  Tap::Write write_parts(Slot& slot, const Frame& frame);

  SlabPool& slabs_;
  SlabRef large_;                             // For the end of a super-frame that is being read.
  std::vector<std::unique_ptr<Slot>> slots_;  // Index: PeerId.
};

}  // namespace mwtun
