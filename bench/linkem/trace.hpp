#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"

namespace mwtun::linkem {

/// Delivery opportunities in Mahimahi's format: one millisecond stamp a line, never falling; at
/// each one `opportunity_bytes` may leave. The trace repeats after its last stamp.
class Trace {
 public:
  static constexpr std::uint32_t opportunity_bytes = 1500;

  /// `name` is what errors call it. Blank lines and lines starting with # are skipped.
  static Result<std::shared_ptr<const Trace>> parse(std::string_view text, std::string_view name);

  Duration period() const { return milliseconds(stamps_ms_.back()); }
  std::size_t size() const { return stamps_ms_.size(); }
  Duration stamp(std::size_t index) const { return milliseconds(stamps_ms_[index]); }
  /// First index from `from` on whose stamp is not before `time`; size() if there is none.
  std::size_t first_not_before(Duration time, std::size_t from) const;
  /// Bits per second over one whole period.
  std::uint64_t average_bps() const;

 private:
  std::vector<std::uint32_t> stamps_ms_;
};

using TracePtr = std::shared_ptr<const Trace>;

/// Walks a trace's opportunities in order; each is taken at most once.
class TraceCursor {
 public:
  TraceCursor(const Trace& trace, Duration offset, Instant start);
  Instant time(const Trace& trace) const { return cycle_start_ + trace.stamp(index_); }
  /// Passes over the opportunities before `time`: nobody was there to use them.
  void skip_to(const Trace& trace, Instant time);
  void next(const Trace& trace);

 private:
  Instant cycle_start_;
  std::size_t index_ = 0;
};

}  // namespace mwtun::linkem
