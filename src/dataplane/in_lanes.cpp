#include "dataplane/in_lanes.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/planted.hpp"
#include "dataplane/super_frame.hpp"
#include "dataplane/wire.hpp"

namespace mwtun {

static constexpr std::size_t ring_slots_min = 16;

InLanes::InLanes(const Limits& limits, SlabPool& slabs, DropCounters& drops)
    : limits_(limits),
      held_max_(std::min<std::size_t>(limits.held_chunks, limits.held_bytes / slabs.slab_bytes())),
      slabs_(slabs),
      drops_(drops) {}

void InLanes::insert(LaneId id, std::uint32_t sequence_low, InChunk&& chunk) {
  Lane& lane = lanes_[id];
  std::uint64_t sequence = wire::expand(lane.beyond, sequence_low, 24);
  if (sequence < lane.next) {
    if (!planted(Fault::old_fragment_accepted) || (chunk.first && chunk.last)) {
      drops_.add(Drop::chunk_too_old);
      return;
    }
    sequence = lane.next;
  }
  if (chunk.first && chunk.last && sequence == lane.next && sequence == lane.beyond) {
    lane.next = ++lane.beyond;  // Whole, in order, nothing waiting: the usual case needs no ring.
    deliver_whole(chunk);
    return;
  }
  if (!make_room(id, lane, sequence)) {
    drops_.add(Drop::lane_overrun);
    return;
  }
  Slot& place = slot(lane, sequence);
  if (place.state != Slot::State::empty) {
    drops_.add(Drop::chunk_duplicate);
    return;
  }
  place.state = Slot::State::held;
  held_frames_ += chunk.last ? 1 : 0;
  place.chunk = std::move(chunk);
  lane.beyond = std::max(lane.beyond, sequence + 1);
  ++lane.held;
  ++held_;
  if (!wire::lane_ordered(id)) deliver_around(lane, sequence);
  advance(id, lane);
  update_blocked(id, lane);
  if (held_ > held_max_) relieve();
  shrink(lane);
}

/// Rings are kept for the next hole, but not when they are what keeps other lanes from having one.
void InLanes::shrink(Lane& lane) {
  if (lane.next != lane.beyond || slots_ <= std::size_t{limits_.held_chunks} * 2) return;
  slots_ -= lane.ring.size();
  lane.ring = {};
}

/// Makes the ring reach `sequence`: by growing it, or by moving the lane forward over its holes.
bool InLanes::make_room(LaneId id, Lane& lane, std::uint64_t sequence) {
  const std::uint64_t span = sequence - lane.next + 1;
  if (span <= lane.ring.size()) return true;
  const std::size_t wanted = std::bit_ceil(
      std::max<std::uint64_t>(std::min<std::uint64_t>(span, limits_.lane_window), ring_slots_min));
  const std::size_t slots_max = std::size_t{limits_.held_chunks} * 4;
  if (wanted > lane.ring.size() && slots_ - lane.ring.size() + wanted <= slots_max) {
    std::vector<Slot> larger(wanted);
    for (std::uint64_t at = lane.next; at < lane.next + lane.ring.size(); ++at) {
      larger[at & (wanted - 1)] = std::move(slot(lane, at));
    }
    slots_ += wanted - lane.ring.size();
    lane.ring = std::move(larger);
  }
  if (lane.ring.empty()) return false;
  if (span > lane.ring.size()) {
    drops_.add(Drop::lane_overrun);
    advance_to(id, lane, sequence - lane.ring.size() + 1, Passing::giving_up);
  }
  return true;
}

/// Passes everything below `sequence`: whole frames are delivered, pieces dropped. What is missing
/// was given up by the sender, who counted it, or is given up by us.
void InLanes::advance_to(LaneId id, Lane& lane, std::uint64_t sequence, Passing passing) {
  std::uint64_t missing = 0;
  while (lane.next < sequence) {
    if (lane.held == 0) {
      // Only holes and delivered ones: forget them at once, at most a ring of them.
      const std::uint64_t end = std::min(sequence, lane.next + lane.ring.size());
      for (std::uint64_t at = lane.next; at < end; ++at) {
        missing += slot(lane, at).state == Slot::State::empty ? 1u : 0u;
        slot(lane, at).state = Slot::State::empty;
      }
      missing += sequence - end;
      lane.next = sequence;
      break;
    }
    const std::uint64_t before = lane.next;
    advance(id, lane);
    if (lane.next != before) continue;
    if (slot(lane, lane.next).state == Slot::State::held) {
      drop_slot(lane, lane.next);
    } else {
      ++missing;
    }
    ++lane.next;
  }
  if (passing == Passing::giving_up) drops_.add(Drop::hole_given_up, missing);
  lane.beyond = std::max(lane.beyond, lane.next);
}

/// Delivers what is complete from the front on, and passes it.
void InLanes::advance(LaneId, Lane& lane) {
  const std::uint64_t end = lane.next + lane.ring.size();
  while (lane.next < end) {
    Slot& front = slot(lane, lane.next);
    if (front.state == Slot::State::empty) return;
    if (front.state == Slot::State::done) {
      front.state = Slot::State::empty;
      ++lane.next;
      continue;
    }
    if (!front.chunk.first) {  // Its beginning was passed over.
      drop_slot(lane, lane.next++);
      continue;
    }
    // Begins where the last look ended: each piece is looked at once, however many a frame has.
    std::uint64_t at = std::max(lane.next, lane.scanned);
    for (; at < end && slot(lane, at).state == Slot::State::held; ++at) {
      const InChunk& piece = slot(lane, at).chunk;
      if (piece.last || (piece.first && at > lane.next)) break;
    }
    lane.scanned = at;
    if (at >= end || slot(lane, at).state != Slot::State::held) return;  // Incomplete.
    if (at > lane.next && slot(lane, at).chunk.first) {                  // A frame without an end.
      while (lane.next < at) drop_slot(lane, lane.next++);
      continue;
    }
    deliver_run(lane, lane.next, at);
    for (; lane.next <= at; ++lane.next) empty_slot(lane, lane.next, Slot::State::empty);
  }
}

/// Unordered lanes: delivers the frame that the chunk at `sequence` completes, if it does.
void InLanes::deliver_around(Lane& lane, std::uint64_t sequence) {
  std::uint64_t from = sequence;
  std::uint64_t to = sequence;
  bool begun = slot(lane, from).chunk.first;
  bool ended = slot(lane, to).chunk.last;
  // Both ways in step: what a piece costs is the shorter side, so pieces without end cost little.
  while (!begun || !ended) {
    if (!begun) {
      if (from == lane.next || slot(lane, from - 1).state != Slot::State::held ||
          slot(lane, from - 1).chunk.last) {
        return;
      }
      begun = slot(lane, --from).chunk.first;
    }
    if (!ended) {
      if (to + 1 >= lane.beyond || slot(lane, to + 1).state != Slot::State::held ||
          slot(lane, to + 1).chunk.first) {
        return;
      }
      ended = slot(lane, ++to).chunk.last;
    }
  }
  deliver_run(lane, from, to);
  for (std::uint64_t at = from; at <= to; ++at) empty_slot(lane, at, Slot::State::done);
}

void InLanes::deliver_whole(InChunk& chunk) {
  if (chunk.hole) return;  // Nothing of it is there; its sender counted it.
  Frame frame;
  frame.slab = std::move(chunk.slab);
  frame.offset = chunk.offset;
  frame.size = chunk.size;
  frame.offload = chunk.offload;
  ready_.push_back(std::move(frame));
}

bool InLanes::deliver_run(Lane& lane, std::uint64_t from, std::uint64_t to) {
  InChunk& first = slot(lane, from).chunk;
  if (from == to) {
    deliver_whole(first);
    return true;
  }
  Frame frame;
  frame.offload = first.offload;
  std::size_t size = 0;
  for (std::uint64_t at = from; at <= to; ++at) size += slot(lane, at).chunk.size;
  if (size > slabs_.slab_bytes_max()) {
    drops_.add(Drop::reassembly_full);
    return false;
  }
  frame.slab = slabs_.take(size);
  if (!frame.slab) {
    drops_.add(Drop::out_of_slabs);
    return false;
  }
  gaps_.clear();
  for (std::uint64_t at = from; at <= to; ++at) {
    const InChunk& piece = slot(lane, at).chunk;
    const std::uint16_t here = piece.hole ? piece.header_bytes : piece.size;
    if (here > 0) {
      std::memcpy(frame.slab.data() + frame.size, piece.slab.data() + piece.offset, here);
    }
    if (piece.hole) gaps_.push_back({frame.size + here, frame.size + piece.size});
    frame.size += piece.size;
  }
  if (!gaps_.empty()) return deliver_ranges(std::move(frame));
  ready_.push_back(std::move(frame));
  return true;
}

/// Of a super-frame with gaps: what is there, each stretch as a frame of its own.
bool InLanes::deliver_ranges(Frame whole) {
  if (gaps_.front().from < whole.size && rebuild_offload(whole) &&
      whole.offload.gso != Offload::Gso::none) {
    const SuperFrameCutter cutter(whole, 0);
    const std::uint32_t segment = whole.offload.gso_bytes;
    const bool datagrams = whole.offload.gso == Offload::Gso::udp;
    gaps_.push_back({whole.size, whole.size});
    std::uint32_t at = cutter.payload_at();
    bool any = false;
    if (gaps_.front().from >= at) {
      for (const Gap& gap : gaps_) {
        std::uint32_t from = at - cutter.payload_at(), to = gap.from - cutter.payload_at();
        at = gap.to;
        if (datagrams) {
          from = (from + segment - 1) / segment * segment;
          if (to < cutter.payload_bytes()) to = to / segment * segment;
        }
        if (from >= to) continue;
        std::optional<Frame> range = cutter.range(from, to, slabs_);
        if (!range) {
          drops_.add(Drop::out_of_slabs);
          continue;
        }
        ready_.push_back(std::move(*range));
        any = true;
      }
    }
    if (any) return true;
  }
  drops_.add(Drop::reassembly_broken);
  return false;
}

void InLanes::empty_slot(Lane& lane, std::uint64_t sequence, Slot::State state) {
  Slot& place = slot(lane, sequence);
  held_frames_ -= place.chunk.last ? 1 : 0;
  place.state = state;
  place.chunk.slab.reset();
  --lane.held;
  --held_;
}

void InLanes::drop_slot(Lane& lane, std::uint64_t sequence) {
  drops_.add(Drop::reassembly_broken);
  empty_slot(lane, sequence, Slot::State::empty);
}

void InLanes::update_blocked(LaneId id, Lane& lane) {
  const bool blocks = lane.held > 0;
  if (blocks && lane.blocked && lane.blocked_at == lane.next) return;
  if (blocks) {
    std::uint64_t at = lane.next;
    // A frame may be half here: what it lacks is behind its first pieces.
    while (at < lane.beyond && slot(lane, at).state != Slot::State::empty) ++at;
    std::uint64_t behind = at;
    while (behind < lane.beyond && slot(lane, behind).state != Slot::State::held) ++behind;
    const Slot& blocker = behind < lane.beyond ? slot(lane, behind) : slot(lane, at - 1);
    lane.blocked_at = lane.next;
    lane.blocker_stamp = blocker.chunk.stamp;
    lane.blocked_since = blocker.chunk.arrived;
    lane.excused = Duration{0};
    lane.proven = false;
  }
  if (blocks == lane.blocked) return;
  lane.blocked = blocks;
  if (blocks) {
    blocked_.push_back(id);
  } else {
    blocked_.erase(std::find(blocked_.begin(), blocked_.end(), id));
  }
}

void InLanes::floor(LaneId id, std::uint32_t sequence_low) {
  Lane& lane = lanes_[id];
  const std::uint64_t sequence = wire::expand(lane.beyond, sequence_low, 24);
  if (sequence <= lane.next) return;
  advance_to(id, lane, sequence, Passing::by_floor);
  advance(id, lane);
  update_blocked(id, lane);
  shrink(lane);
}

/// Moves the lane over the hole it waits for, up to the next chunk that is there.
void InLanes::release_hole(LaneId id) {
  Lane& lane = lanes_[id];
  std::uint64_t at = lane.next;
  while (at < lane.beyond && slot(lane, at).state != Slot::State::empty) ++at;
  while (at < lane.beyond && slot(lane, at).state != Slot::State::held) ++at;
  advance_to(id, lane, at, Passing::giving_up);
  advance(id, lane);
  update_blocked(id, lane);
  shrink(lane);
}

void InLanes::excuse(Duration silence, Duration most) {
  for (const LaneId id : blocked_) {
    Lane& lane = lanes_[id];
    const Duration more = std::min(silence, most - lane.excused);
    lane.blocked_since += more;
    lane.excused += more;
  }
}

void InLanes::expire(Instant now, Duration backstop) {
  for (std::size_t i = 0; i < blocked_.size();) {
    const LaneId id = blocked_[i];
    if (lanes_[id].blocked_since + backstop > now) {
      ++i;
      continue;
    }
    release_hole(id);
    if (i < blocked_.size() && blocked_[i] == id && lanes_[id].blocked_since + backstop > now) {
      ++i;
    }
  }
}

Instant InLanes::deadline(Duration backstop) const {
  Instant first = never;
  for (const LaneId id : blocked_) {
    first = std::min(first, lanes_.find(id)->blocked_since + backstop);
  }
  return first;
}

bool InLanes::prove(std::uint64_t clear_units) {
  bool any = false;
  for (std::size_t i = 0; i < blocked_.size(); ++i) {
    Lane& lane = lanes_[blocked_[i]];
    if (lane.proven || lane.blocker_stamp >= clear_units) continue;
    lane.proven = true;
    any = true;
    if (planted(Fault::lane_released_at_proof)) {
      release_hole(blocked_[i]);
      return true;
    }
  }
  return any;
}

/// Too much is held: the lane that has waited longest gives up its hole.
void InLanes::relieve() {
  while (held_ > held_max_ && !blocked_.empty()) {
    const auto longest = std::min_element(
        blocked_.begin(), blocked_.end(),
        [&](LaneId a, LaneId b) { return lanes_[a].blocked_since < lanes_[b].blocked_since; });
    drops_.add(Drop::lane_overrun);
    release_hole(*longest);
  }
}

}  // namespace mwtun
