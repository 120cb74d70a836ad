#pragma once
#include <cstdint>

#include "base/time.hpp"

namespace mwtun {

/// CLOCK_BOOTTIME: never goes back, and goes on while the machine sleeps, so that the age of keys
/// and sessions is the age the peer sees too.
Instant monotonic_now();

/// Real time, since 1970.
std::uint64_t wall_clock_ns();

/// Puts the kernel's receive times (SO_TIMESTAMPNS, real time) on the monotonic time line. Real
/// time may be set at any moment, so the distance of the two clocks is sampled with every batch.
class ReceiveClock {
 public:
  /// Nothing waits in a socket longer than this unless our clock was set meanwhile.
  static constexpr Duration age_max = seconds(1);

  ReceiveClock(Instant now, std::uint64_t wall_ns) : now_(now), wall_ns_(wall_ns) {}
  static ReceiveClock sample() { return {monotonic_now(), wall_clock_ns()}; }

  /// Never after now(). A time ahead of the clock, or more than age_max old, says that the clock
  /// was set in between: then now() is the answer, since a delay measured too large does less harm
  /// than one too small. 0 means the kernel gave none.
  Instant convert(std::uint64_t kernel_ns) const {
    if (kernel_ns == 0 || kernel_ns >= wall_ns_) return now_;
    const std::uint64_t age = wall_ns_ - kernel_ns;
    if (age > static_cast<std::uint64_t>(age_max.count())) return now_;
    return now_ - Duration(static_cast<Duration::rep>(age));
  }
  Instant now() const { return now_; }

 private:
  Instant now_;
  std::uint64_t wall_ns_;
};

}  // namespace mwtun
