#include "dataplane/frame_queue.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "dataplane/ecn.hpp"

namespace mwtun {

/// A sender that goes on in spite of marks is dropped from after all (RFC 3168, section 7; RFC
/// 7567, 4.2.1): once its frames wait this many intervals, marks have had time to work and did not.
static constexpr int marking_intervals_max = 4;

/// Searching the fattest flow is paid back by dropping more than one frame of it at once.
static constexpr std::uint32_t batch_segments_max = 64;

/// Of the sender's packets in it, about: the headers count as payload.
static std::uint32_t segments_of(const Frame& frame) {
  if (frame.offload.gso == Offload::Gso::none || frame.offload.gso_bytes == 0) return 1;
  return std::clamp<std::uint32_t>(frame.size / frame.offload.gso_bytes, 1, batch_segments_max);
}

FrameQueue::FrameQueue(const Limits& limits, std::uint32_t quantum_bytes)
    : limits_(limits), quantum_bytes_(quantum_bytes) {
  MWTUN_ASSERT(quantum_bytes > 0);
  codel_.exempt_bytes = quantum_bytes;
}

void FrameQueue::push(FlowIndex flow, Frame frame, Instant now, DropCounters& drops) {
  MWTUN_ASSERT(flow < limits_.flows && frame.size > 0);
  if (size_ == 0) {
    bring_back();
    next_flow();  // Flows that were emptied are new again.
  }
  if (flow >= flows_.size()) {
    flows_.resize(flow + std::size_t{1});
    bytes_of_.resize(flow + std::size_t{1});
  }
  const std::uint32_t index = free_slot();
  FlowQueue& queue = flows_[flow];
  bytes_ += frame.size;
  bytes_of_[flow] += frame.size;
  ++size_;
  ++queue.frames;
  slots_[index] = {std::move(frame), now, none};
  (queue.first == none ? queue.first : slots_[queue.last].next) = index;
  queue.last = index;
  if (!queue.listed) {
    queue.listed = queue.sparse = true;
    queue.deficit = quantum_bytes_;
    push_flow(new_, flow);
  }
  const std::uint64_t bytes_max = std::min<std::uint64_t>(bytes_max_, limits_.queue_bytes);
  while (bytes_ > bytes_max || size_ > limits_.queue_frames) drop_from_fattest(drops);
}

/// Up to half of its bytes, and no more packets than a batch has (RFC 8290, 5.2.8).
void FrameQueue::drop_from_fattest(DropCounters& drops) {
  const auto fattest = std::max_element(bytes_of_.begin(), bytes_of_.end());
  const auto index = static_cast<FlowIndex>(fattest - bytes_of_.begin());
  const std::uint64_t keep = *fattest - *fattest / 2;
  std::uint32_t segments = 0;
  do {
    segments += segments_of(pop_head(index));
    drops.add(Drop::queue_full);
  } while (*fattest > keep && segments < batch_segments_max);
}

/// The flow that is due, which then is first in list_in_turn(). On the way to it, flows whose turn
/// is over go to the end, and those without frames go (RFC 8290, 4.2).
FlowIndex FrameQueue::next_flow() {
  while (true) {
    FlowList& list = list_in_turn();
    if (list.first == none) return none;
    FlowQueue& flow = flows_[list.first];
    if (flow.deficit > 0 && flow.frames > 0) return list.first;
    const FlowIndex index = pop_flow(list);
    const bool over = flow.deficit <= 0;
    if (over) {
      flow.deficit += quantum_bytes_;
      turns_.push_back(index);
    }
    if (flow.frames == 0) flow.codel.emptied();
    if (over || flow.sparse) {
      // Also when it is empty: else, frame by frame, it could be new each time.
      flow.sparse = false;
      push_flow(old_, index);
    } else {
      flow.listed = false;
    }
  }
}

/// The head of the flow that is due, or nothing when CoDel dropped it.
std::optional<FrameQueue::Taken> FrameQueue::serve(FlowIndex index, Instant now,
                                                   DropCounters& drops) {
  FlowQueue& flow = flows_[index];
  Slot& head = slots_[flow.first];
  const Duration sojourn = now - head.arrived;
  bool marked = false;
  if (flow.codel.due(codel_, sojourn, bytes_of_[index] - head.frame.size, now)) {
    marked = sojourn <= marking_intervals_max * codel_.interval &&
             mark_congestion(head.frame.mutable_bytes());
    // A mark is one signal to the sender, however many segments carry it.
    flow.codel.signalled(codel_, marked ? 1 : segments_of(head.frame), now);
    if (!marked) {
      pop_head(index);
      drops.add(Drop::aqm);
      return std::nullopt;
    }
  }
  flow.deficit -= head.frame.size;
  return Taken{index, pop_head(index), flow.sparse, marked, sojourn};
}

Frame FrameQueue::pop_head(FlowIndex index) {
  FlowQueue& flow = flows_[index];
  const std::uint32_t at = flow.first;
  Slot& slot = slots_[at];
  Frame frame = std::exchange(slot.frame, Frame{});
  flow.first = std::exchange(slot.next, std::exchange(free_, at));
  if (flow.first == none) flow.last = none;
  --flow.frames;
  bytes_of_[index] -= frame.size;
  bytes_ -= frame.size;
  --size_;
  return frame;
}

std::uint32_t FrameQueue::free_slot() {
  if (free_ == none) {
    slots_.emplace_back();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  return std::exchange(free_, slots_[free_].next);
}

FlowIndex FrameQueue::pop_flow(FlowList& list) {
  const FlowIndex index = list.first;
  list.first = std::exchange(flows_[index].next, none);
  if (list.first == none) list.last = none;
  return index;
}

void FrameQueue::push_flow(FlowList& list, FlowIndex index) {
  (list.first == none ? list.first : flows_[list.last].next) = index;
  list.last = index;
}

void FrameQueue::put_before(FlowList& first, FlowList& rest) {
  if (first.first == none) return;
  flows_[first.last].next = rest.first;
  if (rest.first == none) rest.last = first.last;
  rest.first = first.first;
  first = {};
}

/// Nobody sent, so no time has passed: what a flow owes for a super-frame stays. Else each look at
/// the queue while no link is ready would pay it off, and who sends super-frames would have nearly
/// all.
void FrameQueue::take_back_turns() {
  for (const FlowIndex index : turns_) flows_[index].deficit -= quantum_bytes_;
  turns_.clear();
}

void FrameQueue::set_aside() {
  const bool from_new = new_.first != none;
  push_flow(from_new ? aside_new_ : aside_old_, pop_flow(list_in_turn()));
}

void FrameQueue::bring_back() {
  put_before(aside_new_, new_);
  put_before(aside_old_, old_);
}

void FrameQueue::clear(Drop reason, DropCounters& drops) {
  for (FlowIndex index = 0; index < flows_.size(); ++index) {
    while (flows_[index].frames > 0) {
      pop_head(index);
      drops.add(reason);
    }
    flows_[index] = {};
  }
  new_ = old_ = aside_new_ = aside_old_ = {};
}

}  // namespace mwtun
