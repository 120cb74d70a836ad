#include "dataplane/flow_table.hpp"

#include <algorithm>
#include <bit>

#include "dataplane/wire.hpp"

namespace mwtun {

/// Below this many frames a second, order is worth less than not waiting for it.
static constexpr std::uint32_t slow_frames_per_second = 20;

/// What slow start may have sent when it fills 150 Mbit/s at a round trip of 50 ms.
static constexpr std::uint64_t young_bytes = 2 * 1024 * 1024;

FlowTable::FlowTable(const Limits& limits, OutLanes& lanes, std::uint64_t hash_seed)
    : limits_(limits),
      lanes_(lanes),
      seed_(hash_seed),
      buckets_(std::bit_ceil(std::size_t{limits.flows} * 2), none) {}

FlowTable::Assignment FlowTable::assign(FlowIndex index, std::uint32_t frame_bytes, Instant now) {
  Entry& entry = entries_[index];
  if (now - entry.window_began >= seconds(1)) {
    entry.bytes_before = now - entry.window_began < seconds(2) ? entry.bytes_in_window : 0;
    entry.window_began = now;
    entry.frames_in_window = 0;
    entry.bytes_in_window = 0;
  }
  ++entry.frames_in_window;
  entry.bytes_in_window += frame_bytes;
  entry.bytes += frame_bytes;
  if (!entry.ordered && entry.kind == FlowKind::other &&
      entry.frames_in_window > slow_frames_per_second) {
    // The frames in the old lane went by one link; until they have arrived, so do the new lane's.
    if (!entry.shared) entry.lane_before = entry.lane;
    give_lane(entry, true, hash_flow(entry.key, seed_));
  }
  if (entry.lane_before && lanes_.idle(*entry.lane_before)) {
    lanes_.retire(*entry.lane_before);
    entry.lane_before.reset();
    entry.pin.reset();
  }
  return look(index);
}

FlowTable::Assignment FlowTable::look(FlowIndex index) const {
  const Entry& entry = entries_[index];
  Assignment assignment;
  assignment.lane = entry.lane;
  assignment.pinned = (!entry.ordered && entry.kind == FlowKind::other) || entry.lane_before;
  assignment.pin = entry.pin;
  assignment.entry = index;
  assignment.bps = std::max(entry.bytes_before, entry.bytes_in_window) * 8;
  assignment.young = entry.kind == FlowKind::stream && entry.bytes <= young_bytes;
  return assignment;
}

FlowIndex FlowTable::find(const InnerFlow& flow, FrameQueue& queue, Instant now) {
  const std::uint64_t hash = hash_flow(flow.key, seed_);
  std::uint32_t* bucket = &buckets_[hash & (buckets_.size() - 1)];
  for (std::uint32_t at = *bucket; at != none; at = entries_[at].next_in_bucket) {
    if (entries_[at].key == flow.key) {
      touch(at);
      return at;
    }
  }
  std::uint32_t index = static_cast<std::uint32_t>(entries_.size());
  if (used_ == limits_.flows) {
    index = evictable(queue);
    if (index == none) return static_cast<FlowIndex>(hash % used_);
    evict(index);
    queue.forget(index);
  } else {
    entries_.emplace_back();
  }
  Entry& entry = entries_[index];
  entry = Entry{};
  entry.key = flow.key;
  entry.kind = flow.kind;
  entry.window_began = now;
  entry.next_in_bucket = *bucket;
  *bucket = index;
  entry.older = newest_;
  (newest_ == none ? oldest_ : entries_[newest_].newer) = index;
  newest_ = index;
  ++used_;
  give_lane(entry, flow.kind == FlowKind::stream, hash);
  return index;
}

void FlowTable::give_lane(Entry& entry, bool ordered, std::uint64_t hash) {
  entry.ordered = ordered;
  const std::optional<LaneId> own = lanes_.take(ordered);
  entry.shared = !own.has_value();
  const std::uint16_t count = ordered ? limits_.ordered_lanes : limits_.unordered_lanes;
  const std::uint16_t from = ordered ? 0 : wire::unordered_lanes_from;
  entry.lane = own ? *own : LaneId{static_cast<std::uint16_t>(from + hash % count)};
}

/// The least recently used of those without frames that wait; the oldest few are asked.
FlowIndex FlowTable::evictable(const FrameQueue& queue) const {
  FlowIndex index = oldest_;
  for (int tries = 0; tries < 16 && index != none; ++tries, index = entries_[index].newer) {
    if (queue.frames_of(index) == 0) return index;
  }
  return none;
}

void FlowTable::evict(FlowIndex index) {
  Entry& entry = entries_[index];
  if (!entry.shared) lanes_.retire(entry.lane);
  if (entry.lane_before) lanes_.retire(*entry.lane_before);
  std::uint32_t* link = &buckets_[hash_flow(entry.key, seed_) & (buckets_.size() - 1)];
  while (*link != index) link = &entries_[*link].next_in_bucket;
  *link = entry.next_in_bucket;
  unlink_age(index);
  --used_;
}

void FlowTable::touch(std::uint32_t index) {
  if (index == newest_) return;
  unlink_age(index);
  entries_[index].older = newest_;
  entries_[index].newer = none;
  entries_[newest_].newer = index;
  newest_ = index;
}

void FlowTable::unlink_age(std::uint32_t index) {
  const Entry& entry = entries_[index];
  (entry.older == none ? oldest_ : entries_[entry.older].newer) = entry.newer;
  (entry.newer == none ? newest_ : entries_[entry.newer].older) = entry.older;
}

}  // namespace mwtun
