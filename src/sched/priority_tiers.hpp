#pragma once
#include <cstdint>
#include <span>

#include "base/time.hpp"
#include "sched/link_view.hpp"

namespace mwtun {

/// Which links may be used now, by their `priority`: those of the lowest number, and those of the
/// next number only while all better ones are full or dead. Full is a tier that is sent on as fast
/// as it was measured to carry, or before which the queue stands although it is well used. A worse
/// tier is left when what all of them carry would have fitted the better ones for some time; so
/// what it carries itself is no reason to leave it, and the links do not flap.
///
/// Only links of the best LinkTier take part: one that is suspect or lossy counts as dead while a
/// healthy one is there, whatever its priority, and a backup is no overflow. Pure.
class PriorityTiers {
 public:
  /// A queue that stands so long,
  static constexpr Duration queue_long = milliseconds(20);
  /// for this time, opens the next tier.
  static constexpr Duration open_after = milliseconds(200);
  /// The better ones must have had room for so long before a worse one is left.
  static constexpr Duration close_after = seconds(2);

  /// To be called when a link's tier or priority may have changed, and every few milliseconds while
  /// frames are sent. Between calls nothing changes: an idle tunnel needs no timer for it.
  /// @param queue_delay  how long the last frame of a bulk flow waited for its link; zero when the
  ///                     queue is empty
  LinkSet update(std::span<const LinkView> links, Duration queue_delay, Instant now);
  LinkSet allowed() const { return allowed_; }
  /// So many bytes went out, on whichever link.
  void sent(std::uint32_t bytes) { bytes_ += bytes; }

 private:
  static constexpr Duration window = milliseconds(100);
  void restart(Instant now);
  void judge(std::span<const LinkView> links, Instant now);

  LinkSet candidates_, allowed_;
  std::uint8_t open_ = 0;  // Links of this priority and better may be used.
  Instant began_{};        // Of the window that runs.
  std::uint64_t bytes_ = 0;
  bool queue_stood_ = true;  // All through the window.
  Duration full_for_{};      // Windows in a row in which what is allowed was full,
  Duration room_for_{};      // and in which the better ones would have had room.
};

}  // namespace mwtun
