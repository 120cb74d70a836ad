#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hpp"
#include "dataplane/frame_queue.hpp"
#include "dataplane/inner_flow.hpp"
#include "dataplane/out_lanes.hpp"

namespace mwtun {

/// Which lane each inner flow has. Exact match over at most Limits::flows entries, least recently
/// used goes first; only when no lane is free do flows share one, by hash.
class FlowTable {
 public:
  FlowTable(const Limits& limits, OutLanes& lanes, std::uint64_t hash_seed);

  struct Assignment {
    LaneId lane{};
    /// Order is not kept by the lane for now, so the flow's frames all take the link they took
    /// before.
    bool pinned = false;
    std::optional<LinkId> pin;
    FlowIndex entry = 0;
    std::uint64_t bps = 0;  // Of the flow's frames, over the last second or so.
    bool young = false;     // A stream of which not much has gone so far.
  };
  /// The flow's entry, a new one if need be. An entry with frames in `queue` is not given away;
  /// when all are such, flows share them by hash.
  FlowIndex find(const InnerFlow& flow, FrameQueue& queue, Instant now);
  /// The lane for the next frame of this flow. Counts the frame for the flow's rate.
  Assignment assign(FlowIndex entry, std::uint32_t frame_bytes, Instant now);
  /// What assign() would say, if nothing has changed.
  Assignment look(FlowIndex entry) const;
  const FlowKey& key(FlowIndex entry) const { return entries_[entry].key; }
  /// The link the pinned flow's frames take from now on.
  void pin(FlowIndex entry, LinkId link) { entries_[entry].pin = link; }
  std::size_t size() const { return used_; }

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  struct Entry {
    FlowKey key;
    FlowKind kind = FlowKind::other;
    LaneId lane{};
    bool shared = false;  // The lane is another flow's too: not ours to give back.
    bool ordered = false;
    std::optional<LaneId> lane_before;  // Unordered lane that this flow left, still not empty.
    std::optional<LinkId> pin;
    std::uint32_t frames_in_window = 0;
    std::uint64_t bytes_in_window = 0, bytes_before = 0, bytes = 0;
    Instant window_began{};
    std::uint32_t next_in_bucket = none;
    std::uint32_t newer = none, older = none;
  };
  void give_lane(Entry& entry, bool ordered, std::uint64_t hash);
  FlowIndex evictable(const FrameQueue& queue) const;
  void evict(FlowIndex index);
  void touch(std::uint32_t index);
  void unlink_age(std::uint32_t index);

  const Limits limits_;
  OutLanes& lanes_;
  std::uint64_t seed_;
  std::vector<std::uint32_t> buckets_;
  std::vector<Entry> entries_;
  std::size_t used_ = 0;
  std::uint32_t newest_ = none, oldest_ = none;
};

}  // namespace mwtun
