#include "dataplane/io/interface_table.hpp"

#include <cstring>
#include <optional>
#include <utility>

#include "dataplane/io/system_clock.hpp"
#include "dataplane/super_frame.hpp"

namespace mwtun {

void InterfaceTable::put(PeerId peer, Tap tap) {
  const std::size_t index = index_of(peer);
  if (slots_.size() <= index) slots_.resize(index + 1);
  slots_[index].reset(new Slot{peer, std::move(tap)});
}

void InterfaceTable::drop(PeerId peer) {
  if (index_of(peer) < slots_.size()) slots_[index_of(peer)].reset();
}

void InterfaceTable::set_carrier(PeerId peer, bool on) {
  if (Slot* slot = slot_of(peer)) slot->tap.set_carrier(on);
}

const Tap* InterfaceTable::find(PeerId peer) const {
  const Slot* slot = slot_of(peer);
  return slot != nullptr ? &slot->tap : nullptr;
}

InterfaceTable::Read InterfaceTable::read(PeerId peer, LoopHandler& handler) {
  MWTUN_ASSERT(slot_of(peer) != nullptr);
  Slot& slot = *slot_of(peer);
  Instant now = monotonic_now();
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < frames_per_read && bytes < frame_bytes_per_read; ++i) {
    if (i % 16 == 15) now = monotonic_now();
    Frame frame;
    frame.slab = slabs_.take();
    if (!frame.slab) {
      // Left in the kernel they would keep us awake, and grow old in a queue that is not ours.
      if (!slot.tap.discard()) return Read::emptied;
      ++slot.no_slab;
      continue;
    }
    // What is longer than a slab goes on in a large one, right behind where its beginning will be.
    MutableBytes more;
    if (slot.tap.offload() != TapOffload::none) {
      if (!large_) large_ = slabs_.take(super_frame_bytes_max);
      if (large_) {
        more = MutableBytes(large_.data(), large_.capacity()).subspan(frame.slab.capacity());
      }
    }
    TapFrame got;
    switch (slot.tap.read({frame.slab.data(), frame.slab.capacity()}, got, more)) {
      case Tap::Read::frame:
        frame.size = static_cast<std::uint32_t>(got.size);
        frame.offload = got.offload;
        bytes += got.size;
        if (got.size > frame.slab.capacity()) make_one_piece(frame);
        handler.on_frame(slot.peer, std::move(frame), now);
        break;
      case Tap::Read::skipped:
        if (slot.tap.offload() != TapOffload::none && !large_) ++slot.no_slab;
        break;
      case Tap::Read::empty: return Read::emptied;
      case Tap::Read::gone: return Read::gone;
    }
  }
  return Read::more;
}

/// The beginning of the frame is in its slab and the end in large_. Most of them are much shorter
/// than a large slab, which they would hold until they are acknowledged.
void InterfaceTable::make_one_piece(Frame& frame) {
  const std::uint32_t beginning = frame.slab.capacity();
  SlabRef fitting = slabs_.take(frame.size);
  if (fitting && fitting.capacity() < large_.capacity()) {
    std::memcpy(fitting.data() + beginning, large_.data() + beginning, frame.size - beginning);
  } else {
    fitting = std::move(large_);
  }
  std::memcpy(fitting.data(), frame.slab.data(), beginning);
  frame.slab = std::move(fitting);
}

bool InterfaceTable::write(PeerId peer, const Frame& frame) {
  MWTUN_ASSERT(slot_of(peer) != nullptr);
  Slot& slot = *slot_of(peer);
  const bool super = frame.offload.gso != Offload::Gso::none;
  const TapOffload able = slot.tap.offload();
  const bool takes = super ? able == TapOffload::tcp_and_udp ||
                                 (able == TapOffload::tcp && frame.offload.gso != Offload::Gso::udp)
                           : able != TapOffload::none || frame.offload.plain();
  Tap::Write outcome = Tap::Write::unfit;
  if (takes) {
    outcome = slot.tap.write(frame.bytes(), frame.offload);
  } else if (!super) {
    outcome = write_done(slot, frame);
  }
  if (outcome == Tap::Write::unfit) outcome = write_parts(slot, frame);
  return outcome != Tap::Write::gone;
}

/// Writes an ordinary frame, as much done as the interface needs.
Tap::Write InterfaceTable::write_done(Slot& slot, Frame frame) {
  if (slot.tap.offload() == TapOffload::none) complete_checksum(frame);
  return slot.tap.write(frame.bytes(), frame.offload);
}

/// For interfaces that do not take super-frames, and kernels that refuse some (6.6.44 and others).
Tap::Write InterfaceTable::write_parts(Slot& slot, const Frame& frame) {
  ++slot.super_frames_cut;
  const SuperFrameCutter cutter(frame, 0);
  for (std::uint32_t i = 0; i < cutter.parts(); ++i) {
    std::optional<Frame> part = cutter.part(i, slabs_);
    if (!part) {
      ++slot.no_slab;
      continue;
    }
    if (write_done(slot, std::move(*part)) == Tap::Write::gone) return Tap::Write::gone;
  }
  return Tap::Write::written;
}

void InterfaceTable::report(std::vector<InterfaceReport>& into) const {
  for (const auto& slot : slots_) {
    if (slot == nullptr) continue;
    into.push_back({slot->peer, slot->tap.name(), slot->tap.tun(), slot->tap.carrier(),
                    slot->no_slab, slot->super_frames_cut, slot->tap.offload(),
                    slot->tap.counters()});
  }
}

}  // namespace mwtun
