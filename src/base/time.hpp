#pragma once
#include <chrono>
#include <cstdint>

namespace mwtun {

using Duration = std::chrono::nanoseconds;

/// The time line of the core. It has no now(): an Instant comes in as an argument, from the event
/// loop's monotonic clock or from a simulation, so the core cannot read a clock even by accident.
struct Timeline {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<Timeline, Duration>;
  static constexpr bool is_steady = true;
};
using Instant = Timeline::time_point;

/// Later than everything: a timer that is not armed.
inline constexpr Instant never = Instant::max();

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

}  // namespace mwtun
