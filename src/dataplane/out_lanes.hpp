#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.hpp"
#include "base/packet.hpp"
#include "base/time.hpp"
#include "dataplane/config.hpp"
#include "dataplane/lane_table.hpp"

namespace mwtun {

/// Index of an OutChunk in its OutLanes.
using ChunkIndex = std::uint32_t;
inline constexpr ChunkIndex no_chunk = UINT32_MAX;

/// A frame, or a piece of one, that was given a lane sequence and is not acknowledged so far. It
/// holds its slab, so that it can go again without a copy.
struct OutChunk {
  SlabRef slab;
  std::uint32_t offset = 0;
  std::uint16_t size = 0;
  bool first = false;
  bool last = false;
  LaneId lane{};
  LinkId link{};              // Where it went last.
  std::uint8_t attempts = 0;  // Times it was put into a datagram.
  bool resolved = false;      // Acknowledged or given up.
  bool queued = false;        // Waiting to go again.
  bool free_repair = false;   // Not the network lost it: outside the repair budget.
  bool of_super_frame = false;
  bool hole = false;          // Given up by itself: the peer is told how long it was.
  std::uint16_t flights = 0;  // Datagrams that carry it and are neither acknowledged nor lost.
  std::uint16_t holders = 0;  // Those, the log entries of lost ones, and the repair queue.
  Offload offload;
  std::uint64_t sequence = 0;
  std::uint64_t frame_sequence = 0;  // Of the first piece of its frame.
  Instant first_sent{};
  ChunkIndex lane_before = no_chunk, lane_after = no_chunk;  // Unresolved ones, in sequence.
  ChunkIndex older = no_chunk, newer = no_chunk;             // Unresolved ones, in order of birth.
};

/// The sender's side of the lanes: who has which, what is unacknowledged in each, and what the
/// receiver must be told will not come any more. Bounded by Limits::chunks_unacknowledged.
class OutLanes {
 public:
  explicit OutLanes(const Limits& limits);

  /// A free lane; none when all are taken or still being given back.
  std::optional<LaneId> take(bool ordered);
  /// The flow of this lane is gone: the lane becomes free when the receiver knows its floor.
  void retire(LaneId lane);

  /// As many unacknowledged as there may be: give up the oldest first.
  bool full() const { return unresolved_ >= limit_; }
  /// Settled ones that the logs still hold fill the rest: nothing may be added until they go.
  bool exhausted() const { return live_ >= 2 * limit_; }
  /// Gives the next sequence of the lane to a slice of `frame`.
  ChunkIndex add(LaneId lane, const Frame& frame, std::uint32_t offset, std::uint32_t size,
                 Instant now);
  OutChunk& operator[](ChunkIndex index) { return chunks_[index]; }
  const OutChunk& operator[](ChunkIndex index) const { return chunks_[index]; }

  void hold(ChunkIndex index) { ++chunks_[index].holders; }
  /// Frees the chunk when it is resolved and nothing holds it any more.
  void release(ChunkIndex index);
  void acknowledge(ChunkIndex index);
  /// The frame of this chunk will not arrive: none of its pieces goes again. True when the rest of
  /// it is still being cut and must be dropped too.
  bool give_up_frame(ChunkIndex index);
  /// Longest unacknowledged; no_chunk when there is none.
  ChunkIndex oldest() const { return oldest_; }
  std::size_t unresolved() const { return unresolved_; }
  /// Nothing of the lane is on its way.
  bool idle(LaneId lane) const {
    const Lane* found = lanes_.find(lane);
    return found == nullptr || found->front == no_chunk;
  }

  struct Floor {
    LaneId lane{};
    std::uint64_t sequence = 0;
  };
  /// The next floor the receiver must hear of, marked as told.
  std::optional<Floor> next_floor();
  bool floors_due() const { return !floors_due_.empty(); }
  void floor_acknowledged(const Floor& floor);
  void floor_lost(const Floor& floor);

  /// Plants the fault of giving sequences to frames that the queue drops; nothing else calls it.
  void skip_sequence(LaneId lane) { ++lanes_[lane].next; }
  /// Gives everything up; returns how many frames it belonged to.
  std::uint64_t abandon_all();

 private:
  enum class Use : std::uint8_t { free, taken, retiring };
  struct Lane {
    std::uint64_t next = 0;
    std::uint64_t frame_sequence = 0;  // Of the first piece of the newest frame.
    bool frame_open = false;           // Of which there is more to come.
    std::uint64_t given_up = 0;        // One above the last given up: the receiver may wait for it.
    std::uint64_t floor_told = 0;
    std::uint64_t floor_known = 0;  // Acknowledged.
    ChunkIndex front = no_chunk, back = no_chunk;
    Use use = Use::free;
    bool floor_queued = false;
  };
  std::uint64_t floor_of(const Lane& lane) const;
  void consider_floor(LaneId lane);
  void consider_reuse(LaneId lane);
  void resolve(ChunkIndex index);

  std::size_t limit_;
  LaneTable<Lane> lanes_;
  std::vector<OutChunk> chunks_;
  std::vector<ChunkIndex> free_chunks_;
  std::vector<LaneId> free_ordered_, free_unordered_;  // Taken from the back.
  std::vector<LaneId> floors_due_;
  std::size_t live_ = 0;  // Chunks that are not free.
  std::size_t unresolved_ = 0;
  ChunkIndex oldest_ = no_chunk, newest_ = no_chunk;
};

}  // namespace mwtun
