#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/packet.hpp"
#include "base/time.hpp"
#include "dataplane/codel.hpp"
#include "dataplane/config.hpp"
#include "dataplane/counters.hpp"

namespace mwtun {

/// Which queue a frame stands in: the entry of its flow in the FlowTable, below Limits::flows.
using FlowIndex = std::uint32_t;

/// Frames waiting to be sent: FQ-CoDel (RFC 8290) with a queue for each inner flow. Flows take
/// turns by bytes, those that send little go first, and a flow whose frames wait too long is told
/// so by CoDel, with a mark where its sender understands one and else with a drop. It is the one
/// queue of the tunnel that may grow, and the bounds are its own: bytes and frames.
///
/// Offload: a super-frame counts with all its bytes, and the drops of CoDel and of the bounds
/// count it by its segments; the drop counters count it as the one frame it came in as.
class FrameQueue {
 public:
  /// @param quantum_bytes  what a flow may send in its turn, and what CoDel takes for one MTU: the
  ///                       largest ordinary frame
  explicit FrameQueue(const Limits& limits, std::uint32_t quantum_bytes = 1514);

  /// For the frames taken from now on. Cheap, so it may follow the round trip and the rate.
  void set_codel(Duration target, Duration interval) {
    codel_.target = target;
    codel_.interval = interval;
  }

  /// A bound of bytes below that of Limits, for the frames added from now on.
  void set_bytes_max(std::uint64_t bytes) { bytes_max_ = bytes; }

  /// Adds a frame, which must not be empty. If a bound is passed, the flow with most bytes pays
  /// (RFC 8290, 4.1) from its head until it holds: frames of any flow may be gone after this, see
  /// frames_of(). They are counted as Drop::queue_full.
  void push(FlowIndex flow, Frame frame, Instant now, DropCounters& drops);

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint32_t frames_of(FlowIndex flow) const {
    return flow < flows_.size() ? flows_[flow].frames : 0;
  }

  struct Taken {
    FlowIndex flow = 0;
    Frame frame;
    bool sparse = false;  // The flow has not used up its first turn.
    bool marked = false;  // CoDel marked the frame CE.
    Duration sojourn{};
  };
  /// The next frame, after CoDel, whose drops are counted as Drop::aqm.
  ///
  /// Asks `may_send(FlowIndex, const Frame& head, bool sparse) -> bool` for one flow after another
  /// in the order they are due. A flow that is refused keeps its place and what it may send. It is
  /// not asked again at the same `now`, unless no other flow is left: nothing is only given when
  /// every flow that has frames was refused in this very call. So that refusals do not cost once a
  /// frame but once an instant, all frames that go at one time should be taken with one `now`.
  ///
  /// After a yes CoDel may still drop that frame; then the flow's next one is asked about.
  /// may_send must not touch the queue.
  template <typename MaySend>
  std::optional<Taken> take(Instant now, MaySend&& may_send, DropCounters& drops) {
    while (true) {
      const FlowIndex index = due(now, may_send);
      if (index == none) {
        take_back_turns();
        return std::nullopt;
      }
      if (std::optional<Taken> taken = serve(index, now, drops)) return taken;
    }
  }
  /// Whether take() would now find a flow that may send.
  template <typename MaySend>
  bool any(Instant now, MaySend&& may_send) {
    const bool found = due(now, may_send) != none;
    take_back_turns();
    return found;
  }

  /// Another flow has this index from now on: what CoDel learnt was not about it.
  void forget(FlowIndex flow) {
    if (flow < flows_.size()) flows_[flow].codel = {};
  }

  /// Drops everything for this reason.
  void clear(Drop reason, DropCounters& drops);

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  struct Slot {
    Frame frame;
    Instant arrived{};
    std::uint32_t next = none;  // In the flow's queue, or free.
  };
  struct FlowQueue {
    Codel codel;
    std::int64_t deficit = 0;  // Bytes it may still send in this turn; super-frames run into debt.
    std::uint32_t first = none, last = none;
    std::uint32_t frames = 0;
    FlowIndex next = none;  // In the list the flow stands in.
    bool listed = false;
    bool sparse = false;  // In the list of new flows, not the old ones.
  };
  static_assert(sizeof(FlowQueue) <= 64);
  struct FlowList {
    FlowIndex first = none, last = none;
  };

  /// The first flow in turn that may send.
  template <typename MaySend>
  FlowIndex due(Instant now, MaySend& may_send) {
    if (now != aside_at_) {
      bring_back();
      aside_at_ = now;
    }
    turns_.clear();
    bool asked_all = aside_new_.first == none && aside_old_.first == none;
    while (true) {
      const FlowIndex index = next_flow();
      if (index == none) {
        bring_back();
        if (std::exchange(asked_all, true)) return none;
        continue;
      }
      const FlowQueue& flow = flows_[index];
      if (may_send(index, slots_[flow.first].frame, flow.sparse)) return index;
      set_aside();
    }
  }
  FlowIndex next_flow();
  std::optional<Taken> serve(FlowIndex index, Instant now, DropCounters& drops);
  void drop_from_fattest(DropCounters& drops);
  Frame pop_head(FlowIndex index);
  std::uint32_t free_slot();
  FlowList& list_in_turn() { return new_.first != none ? new_ : old_; }
  FlowIndex pop_flow(FlowList& list);
  void push_flow(FlowList& list, FlowIndex index);
  void put_before(FlowList& first, FlowList& rest);
  void set_aside();
  void take_back_turns();
  void bring_back();

  const Limits limits_;
  const std::uint32_t quantum_bytes_;
  std::uint64_t bytes_max_ = UINT64_MAX;
  CodelSettings codel_;
  std::vector<Slot> slots_;  // Grows to the bound of frames, and is kept.
  std::uint32_t free_ = none;
  std::vector<FlowQueue> flows_;  // Up to the largest index that was used,
  std::vector<std::uint64_t>
      bytes_of_;                    // with the bytes apart: the search for the fattest is long.
  FlowList new_, old_;              // In the order they are due.
  FlowList aside_new_, aside_old_;  // Refused at aside_at_; they stood before those.
  Instant aside_at_{};
  /// Who had his turn in the last due(), with what he owed growing less each time.
  std::vector<FlowIndex> turns_;
  std::size_t size_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace mwtun
