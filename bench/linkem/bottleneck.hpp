#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hpp"
#include "linkem/line_options.hpp"

namespace mwtun::linkem {

class LineDirection;

/// The caller's name for a frame; the model never looks at frames.
using Token = std::uint32_t;

/// A frame that waits for the wire; it may not start before `ready`.
struct Waiting {
  Instant ready;
  std::uint64_t order = 0;
  Instant arrival;
  std::uint64_t corrupt_seed = 0;
  Token token = 0;
  std::uint32_t ip_bytes = 0;
};

/// Serialises the frames of one direction, or of several that share it, first come first served.
/// The frames wait in their directions; this holds the moment the wire is free again.
///
/// Rate:      end = max(ready, previous end) + bytes * 8 / rate, kept exact by carrying the rest of
///            the division. It depends on the model's times only, never on when somebody looked.
/// Trace:     every opportunity carries 1500 bytes of one or several frames; a frame that does not
///            fit continues in the next one; what no frame uses is lost (as in Mahimahi).
/// Unlimited: end = max(ready, previous end).
class Bottleneck {
 public:
  Bottleneck(BottleneckOptions options, Instant start);
  Bottleneck(const Bottleneck&) = delete;
  Bottleneck& operator=(const Bottleneck&) = delete;

  /// New options from `now` on; of a frame on the wire the bits sent so far stay sent.
  void configure(const BottleneckOptions& options, Instant now);
  /// Gives every frame that ends by `now` back to its direction.
  void advance(Instant now);
  /// No frame ends before this.
  Instant next_end() const;

  /// Whether `bytes` more may wait. An empty queue takes any frame.
  bool has_room(std::uint64_t bytes) const {
    return queue_bytes_ == 0 || queue_bytes_ + bytes <= queue_bytes_max_;
  }
  std::uint64_t queue_bytes() const { return queue_bytes_; }
  std::uint64_t queue_bytes_max() const { return queue_bytes_max_; }
  const BottleneckOptions& options() const { return options_; }

 private:
  friend class LineDirection;
  void attach(LineDirection& direction);
  void detach(LineDirection& direction);
  std::uint64_t next_order() { return order_++; }
  void queued(std::uint64_t bytes) { queue_bytes_ += bytes; }
  void left(std::uint64_t bytes) { queue_bytes_ -= bytes; }
  /// The frame on the wire was thrown away.
  void forget_head() { bits_sent_ = 0; }

  LineDirection* first_in_line() const;
  /// Of the first frame in line, what still has to go over the wire.
  std::uint64_t bits_left(const Waiting& head) const;
  void advance_rate(Instant now);
  void advance_trace(Instant now);
  Duration wire_time(std::uint64_t bits, Instant start);

  BottleneckOptions options_;
  std::uint64_t queue_bytes_max_;
  std::optional<TraceCursor> cursor_;
  std::vector<LineDirection*> users_;
  std::uint64_t queue_bytes_ = 0;
  std::uint64_t order_ = 0;
  Instant free_at_;
  std::uint64_t bits_sent_ = 0;  // of the first frame in line, before free_at_
  std::uint64_t carry_ = 0;      // rest of the last division, in bit nanoseconds
};

}  // namespace mwtun::linkem
