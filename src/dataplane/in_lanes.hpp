#pragma once
#include <cstdint>
#include <vector>

#include "base/ids.hpp"
#include "base/packet.hpp"
#include "base/ring.hpp"
#include "base/time.hpp"
#include "dataplane/config.hpp"
#include "dataplane/counters.hpp"
#include "dataplane/lane_table.hpp"

namespace mwtun {

/// A frame chunk as it came in: a slice of the slab its datagram was opened into.
struct InChunk {
  SlabRef slab;
  std::uint32_t offset = 0;
  std::uint16_t size = 0;
  bool first = false;
  bool last = false;
  /// The bytes will not come; of the first chunk of a super-frame the headers are there.
  bool hole = false;
  std::uint16_t header_bytes = 0;  // Of a hole: what is there.
  Offload offload;
  std::uint64_t stamp = 0;  // Of its datagram, in units.
  Instant arrived{};
};

/// The receiver's side of the lanes: takes each chunk once, puts frames together and, in ordered
/// lanes, in order. A hole holds up its own lane only, until the missing chunk comes, the sender
/// says that it will not (floor), the backstop ends, or the lane runs a window ahead of it. Memory:
/// at most Limits::held_chunks chunks, and rings of at most four times as many slots.
class InLanes {
 public:
  InLanes(const Limits& limits, SlabPool& slabs, DropCounters& drops);

  /// A chunk with the low 24 bits of its sequence. Frames that this completes are ready() after.
  void insert(LaneId lane, std::uint32_t sequence_low, InChunk&& chunk);
  /// Nothing below the sequence will come in that lane.
  void floor(LaneId lane, std::uint32_t sequence_low);

  /// Nothing at all came for so long: no lane has waited meanwhile, each hole for `most` at most.
  void excuse(Duration silence, Duration most);
  /// Releases each lane whose hole has been waited for longer than `backstop`.
  void expire(Instant now, Duration backstop);
  /// When expire() has something to do; `never` when no lane waits.
  Instant deadline(Duration backstop) const;

  /// True when a lane waits for a hole that was not proven until now, and every link has delivered
  /// past `clear_units`: what is missing was lost (design 5.4). Each hole is told once.
  bool prove(std::uint64_t clear_units);

  bool ready() const { return !ready_.empty(); }
  Frame take_ready() { return ready_.pop_front(); }
  std::size_t held() const { return held_; }
  std::size_t blocked_lanes() const { return blocked_.size(); }
  /// Frames begun or waiting, as far as can be told: chunks held that are a frame's last.
  std::size_t held_frames() const { return held_frames_; }

 private:
  struct Slot {
    enum class State : std::uint8_t { empty, held, done };
    State state = State::empty;
    InChunk chunk;
  };
  struct Lane {
    std::uint64_t next = 0;     // Lowest sequence not passed.
    std::uint64_t beyond = 0;   // One above the highest seen.
    std::uint64_t scanned = 0;  // The frame at `next` is known to be here up to this one.
    std::vector<Slot> ring;     // Power of two, or empty.
    std::uint32_t held = 0;
    bool blocked = false;
    bool proven = false;
    std::uint64_t blocked_at = 0;     // The missing sequence, and
    std::uint64_t blocker_stamp = 0;  // the stamp of the first chunk behind it.
    Instant blocked_since{};
    Duration excused{};  // Of the time since then; blocked_since was moved by it.
  };

  Slot& slot(Lane& lane, std::uint64_t sequence) {
    return lane.ring[sequence & (lane.ring.size() - 1)];
  }
  bool make_room(LaneId id, Lane& lane, std::uint64_t sequence);
  enum class Passing : std::uint8_t { by_floor, giving_up };
  void advance_to(LaneId id, Lane& lane, std::uint64_t sequence, Passing passing);
  void advance(LaneId id, Lane& lane);
  void deliver_whole(InChunk& chunk);
  bool deliver_run(Lane& lane, std::uint64_t from, std::uint64_t to);
  bool deliver_ranges(Frame whole);
  void deliver_around(Lane& lane, std::uint64_t sequence);
  void drop_slot(Lane& lane, std::uint64_t sequence);
  void empty_slot(Lane& lane, std::uint64_t sequence, Slot::State state);
  void update_blocked(LaneId id, Lane& lane);
  void shrink(Lane& lane);
  void release_hole(LaneId id);
  void relieve();

  const Limits limits_;
  const std::size_t held_max_;
  SlabPool& slabs_;
  DropCounters& drops_;
  LaneTable<Lane> lanes_;
  std::vector<LaneId> blocked_;
  Ring<Frame> ready_;
  struct Gap {
    std::uint32_t from = 0, to = 0;
  };
  std::vector<Gap> gaps_;  // Of the frame that is being put together, in order.
  std::size_t held_ = 0;
  std::size_t held_frames_ = 0;
  std::size_t slots_ = 0;
};

}  // namespace mwtun
