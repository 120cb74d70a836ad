#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/time.hpp"

namespace mwtun {

/// What CoDel aims at; the same for all flows of a queue.
struct CodelSettings {
  /// Delay that may stand. Not less than a few frames take at the rate there is.
  Duration target = milliseconds(5);
  /// How long a delay has to stand before it is a queue: about the longest usual round trip, since
  /// no sender can react any sooner.
  Duration interval = milliseconds(100);
  /// With no more than this behind the frame there is no queue to shorten: one MTU.
  std::uint32_t exempt_bytes = 1514;
};

/// Controlled delay (RFC 8289, section 5) for the frames of one flow, as a judge of the frame at
/// the head: the queue itself, the clock and the choice between a drop and a mark are outside.
class Codel {
 public:
  /// Whether the sender has to be told about its queue by the frame that is about to go. Asked
  /// once for each frame at the head; when the answer is yes, signalled() must follow.
  /// @param sojourn       how long the frame has been queued
  /// @param bytes_behind  what the flow has queued without this frame
  bool due(const CodelSettings& settings, Duration sojourn, std::uint64_t bytes_behind,
           Instant now) {
    if (sojourn < settings.target || bytes_behind <= settings.exempt_bytes) {
      emptied();
      return false;
    }
    if (first_above_ == never) first_above_ = now + settings.interval;
    if (now < first_above_) {
      signalling_ = false;
      return false;
    }
    return !signalling_ || now >= next_;
  }

  /// The frame was dropped or marked.
  /// @param segments  how many of the sender's packets that was (at least 1). A super-frame goes
  ///                  as a whole; the schedule then moves on by as many steps as if its segments
  ///                  had been dropped one after another, so the share that is lost is the same.
  void signalled(const CodelSettings& settings, std::uint32_t segments, Instant now) {
    if (!signalling_) {
      signalling_ = true;
      // A queue that is soon back goes on where the last one was brought under control.
      const std::uint32_t needed = count_ - count_at_begin_;
      const bool soon = now - next_ < 16 * settings.interval;
      count_ = needed > 1 && soon ? needed : 1;
      count_at_begin_ = count_;
      next_ = now + spacing(settings);
      --segments;
    }
    for (; segments > 0; --segments) {
      ++count_;
      next_ += spacing(settings);
    }
    // Not in the RFC: what is behind because nothing could be sent is forgotten but for one
    // interval. After an outage of all links, a queue is old for no fault of its sender.
    next_ = std::max(next_, now - settings.interval);
  }

  /// The flow has nothing queued, or no more than is fine.
  void emptied() {
    first_above_ = never;
    signalling_ = false;
  }

 private:
  Duration spacing(const CodelSettings& settings) const {
    return Duration(static_cast<Duration::rep>(static_cast<double>(settings.interval.count()) /
                                               std::sqrt(static_cast<double>(count_))));
  }

  Instant first_above_ = never;  // When the delay will have stood for an interval.
  Instant next_{};               // When the next signal is due.
  std::uint32_t count_ = 0;      // Signals since the delay began to stand,
  std::uint32_t count_at_begin_ = 0;
  bool signalling_ = false;
};

}  // namespace mwtun
