#include "dataplane/out_lanes.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/planted.hpp"
#include "base/prefetch.hpp"
#include "dataplane/wire.hpp"

namespace mwtun {

OutLanes::OutLanes(const Limits& limits) : limit_(limits.chunks_unacknowledged) {
  // Highest number at the bottom: low numbers are used first, and a freed lane again last but one.
  for (std::uint16_t i = limits.ordered_lanes; i-- > 0;) free_ordered_.push_back(LaneId{i});
  for (std::uint16_t i = limits.unordered_lanes; i-- > 0;) {
    free_unordered_.push_back(LaneId{static_cast<std::uint16_t>(wire::unordered_lanes_from + i)});
  }
}

std::optional<LaneId> OutLanes::take(bool ordered) {
  std::vector<LaneId>& free = ordered ? free_ordered_ : free_unordered_;
  if (free.empty()) return std::nullopt;
  const LaneId lane = free.back();
  free.pop_back();
  lanes_[lane].use = Use::taken;
  return lane;
}

void OutLanes::retire(LaneId id) {
  Lane& lane = lanes_[id];
  MWTUN_ASSERT(lane.use == Use::taken);
  lane.use = Use::retiring;
  if (planted(Fault::lane_reused_early)) {
    lane.use = Use::free;
    (wire::lane_ordered(id) ? free_ordered_ : free_unordered_).push_back(id);
    return;
  }
  consider_floor(id);
  consider_reuse(id);
}

std::uint64_t OutLanes::floor_of(const Lane& lane) const {
  return lane.front == no_chunk ? lane.next : chunks_[lane.front].sequence;
}

void OutLanes::consider_floor(LaneId id) {
  Lane& lane = lanes_[id];
  if (lane.floor_queued) return;
  const bool hole = lane.given_up > lane.floor_told && floor_of(lane) > lane.floor_told;
  // A retiring lane says its floor once, when nothing of it is on its way any more.
  const bool leaving =
      lane.use == Use::retiring && lane.front == no_chunk && lane.floor_told < lane.next;
  if (!hole && !leaving) return;
  lane.floor_queued = true;
  floors_due_.push_back(id);
}

void OutLanes::consider_reuse(LaneId id) {
  Lane& lane = lanes_[id];
  if (lane.use != Use::retiring || lane.front != no_chunk || lane.floor_known < lane.next) return;
  lane.use = Use::free;
  auto& free = wire::lane_ordered(id) ? free_ordered_ : free_unordered_;
  // At the bottom: the lane that was free for longest goes out first.
  free.insert(free.begin(), id);
}

ChunkIndex OutLanes::add(LaneId lane_id, const Frame& frame, std::uint32_t offset,
                         std::uint32_t size, Instant now) {
  MWTUN_ASSERT(!exhausted() && size > 0 && offset + size <= frame.size);
  Lane& lane = lanes_[lane_id];
  ChunkIndex index;
  if (free_chunks_.empty()) {
    index = static_cast<ChunkIndex>(chunks_.size());
    chunks_.emplace_back();
  } else {
    index = free_chunks_.back();
    free_chunks_.pop_back();
    if (!free_chunks_.empty()) prefetch(chunks_[free_chunks_.back()]);
    chunks_[index] = OutChunk{};
  }
  OutChunk& chunk = chunks_[index];
  chunk.slab = frame.slab;
  chunk.offset = frame.offset + offset;
  chunk.size = static_cast<std::uint16_t>(size);
  chunk.first = offset == 0;
  chunk.last = offset + size == frame.size;
  chunk.lane = lane_id;
  if (chunk.first) chunk.offload = frame.offload;
  chunk.of_super_frame = frame.offload.gso != Offload::Gso::none;
  chunk.sequence = lane.next++;
  if (chunk.first) lane.frame_sequence = chunk.sequence;
  lane.frame_open = !chunk.last;
  chunk.frame_sequence = lane.frame_sequence;
  chunk.first_sent = now;
  chunk.lane_before = lane.back;
  (lane.back == no_chunk ? lane.front : chunks_[lane.back].lane_after) = index;
  lane.back = index;
  chunk.older = newest_;
  (newest_ == no_chunk ? oldest_ : chunks_[newest_].newer) = index;
  newest_ = index;
  ++live_, ++unresolved_;
  return index;
}

void OutLanes::resolve(ChunkIndex index) {
  OutChunk& chunk = chunks_[index];
  Lane& lane = lanes_[chunk.lane];
  chunk.resolved = true;
  chunk.slab.reset();
  (chunk.lane_before == no_chunk ? lane.front : chunks_[chunk.lane_before].lane_after) =
      chunk.lane_after;
  (chunk.lane_after == no_chunk ? lane.back : chunks_[chunk.lane_after].lane_before) =
      chunk.lane_before;
  (chunk.older == no_chunk ? oldest_ : chunks_[chunk.older].newer) = chunk.newer;
  (chunk.newer == no_chunk ? newest_ : chunks_[chunk.newer].older) = chunk.older;
  --unresolved_;
  const LaneId id = chunk.lane;
  if (chunk.holders == 0) {
    free_chunks_.push_back(index);
    --live_;
  }
  consider_floor(id);
  consider_reuse(id);
}

void OutLanes::release(ChunkIndex index) {
  OutChunk& chunk = chunks_[index];
  MWTUN_ASSERT(chunk.holders > 0);
  if (--chunk.holders > 0 || !chunk.resolved) return;
  free_chunks_.push_back(index);
  --live_;
}

void OutLanes::acknowledge(ChunkIndex index) {
  if (!chunks_[index].resolved) resolve(index);
}

bool OutLanes::give_up_frame(ChunkIndex index) {
  if (chunks_[index].resolved) return false;
  const auto give_up = [this](ChunkIndex at) {
    Lane& lane = lanes_[chunks_[at].lane];
    lane.given_up = std::max(lane.given_up, chunks_[at].sequence + 1);
    resolve(at);
  };
  const LaneId lane = chunks_[index].lane;
  const std::uint64_t frame = chunks_[index].frame_sequence;
  const auto of_frame = [&](ChunkIndex at) {
    return at != no_chunk && chunks_[at].frame_sequence == frame;
  };
  // Pieces that arrived are not in the list any more; those of one frame stand side by side in it.
  ChunkIndex at = index;
  while (of_frame(chunks_[at].lane_before)) at = chunks_[at].lane_before;
  while (of_frame(at)) {
    const ChunkIndex after = chunks_[at].lane_after;
    give_up(at);
    at = after;
  }
  return lanes_[lane].frame_open && lanes_[lane].frame_sequence == frame;
}

std::optional<OutLanes::Floor> OutLanes::next_floor() {
  if (floors_due_.empty()) return std::nullopt;
  const LaneId id = floors_due_.back();
  floors_due_.pop_back();
  Lane& lane = lanes_[id];
  lane.floor_queued = false;
  lane.floor_told = floor_of(lane);
  return Floor{id, lane.floor_told};
}

void OutLanes::floor_acknowledged(const Floor& floor) {
  Lane& lane = lanes_[floor.lane];
  lane.floor_known = std::max(lane.floor_known, floor.sequence);
  consider_reuse(floor.lane);
}

void OutLanes::floor_lost(const Floor& floor) {
  Lane& lane = lanes_[floor.lane];
  if (lane.floor_known >= floor.sequence) return;
  lane.floor_told = std::min(lane.floor_told, lane.floor_known);
  consider_floor(floor.lane);
}

std::uint64_t OutLanes::abandon_all() {
  std::uint64_t frames = 0;
  while (oldest_ != no_chunk) {
    give_up_frame(oldest_);
    ++frames;
  }
  return frames;
}

}  // namespace mwtun
