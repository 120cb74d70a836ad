#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "linkem/line_model.hpp"

namespace mwtun::linkem {

inline constexpr Instant start{seconds(1000)};

struct Arrival {
  Instant at;
  std::uint32_t ip_bytes = 1500;
};

/// `count` frames of one size, evenly spaced from `start` on.
inline std::vector<Arrival> evenly(std::size_t count, Duration gap, std::uint32_t ip_bytes = 1500) {
  std::vector<Arrival> arrivals;
  for (std::size_t i = 0; i < count; ++i) {
    arrivals.push_back({start + gap * static_cast<Duration::rep>(i), ip_bytes});
  }
  return arrivals;
}

inline TracePtr trace_of(const std::string& text) {
  Result<TracePtr> trace = Trace::parse(text, "test");
  MWTUN_ASSERT(trace.ok());
  return trace.take();
}

inline DirectionOptions at_rate(std::uint64_t rate_bps) {
  DirectionOptions options;
  options.own.rate_bps = rate_bps;
  options.own.queue.unit = QueueLimit::Unit::none;
  return options;
}

inline std::uint64_t dropped(const LineDirection& line, Drop reason) {
  return line.counters().drops[static_cast<std::size_t>(reason)];
}

inline std::uint64_t dropped_in_all(const LineDirection& line) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : line.counters().drops) sum += count;
  return sum;
}

/// Pops all that is due by `until`, at the moments the line asks for. A frame that came out later
/// than it was due means that next_release() had promised too late a moment.
inline void pop_until(LineDirection& line, Instant until, std::vector<Release>& released) {
  while (line.next_release() <= until) {
    const Instant at = line.next_release();
    while (const std::optional<Release> release = line.pop_released(at)) {
      MWTUN_ASSERT(release->due == at || release->due <= release->arrival);
      released.push_back(*release);
    }
  }
}

/// Runs the arrivals through the line (the token is the arrival's number) until it is empty.
inline std::vector<Release> carry(LineDirection& line, const std::vector<Arrival>& arrivals) {
  std::vector<Release> released;
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    pop_until(line, arrivals[i].at, released);
    line.offer(arrivals[i].ip_bytes, arrivals[i].at, static_cast<Token>(i));
  }
  pop_until(line, never - Duration{1}, released);
  return released;
}

inline double seconds_of(Duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace mwtun::linkem
