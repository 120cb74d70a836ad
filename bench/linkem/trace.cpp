#include "linkem/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace mwtun::linkem {

Result<TracePtr> Trace::parse(std::string_view text, std::string_view name) {
  auto trace = std::make_shared<Trace>();
  for (std::size_t line_number = 1; !text.empty(); ++line_number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    std::uint32_t stamp_ms = 0;
    const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), stamp_ms);
    if (error != std::errc{} || rest != line.data() + line.size()) {
      return Error{fmt::format("trace {}:{}: \"{}\" is not a millisecond stamp; a trace has one "
                               "whole number a line",
                               name, line_number, line.substr(0, 40)),
                   78};
    }
    if (!trace->stamps_ms_.empty() && stamp_ms < trace->stamps_ms_.back()) {
      return Error{fmt::format("trace {}:{}: stamp {} comes after {}; stamps must not fall", name,
                               line_number, stamp_ms, trace->stamps_ms_.back()),
                   78};
    }
    trace->stamps_ms_.push_back(stamp_ms);
  }
  if (trace->stamps_ms_.empty() || trace->stamps_ms_.back() == 0) {
    return Error{fmt::format("trace {}: needs at least one stamp above 0, since the last one is "
                             "its length",
                             name),
                 78};
  }
  return TracePtr{std::move(trace)};
}

std::size_t Trace::first_not_before(Duration time, std::size_t from) const {
  const auto at = std::lower_bound(
      stamps_ms_.begin() + static_cast<std::ptrdiff_t>(from), stamps_ms_.end(), time,
      [](std::uint32_t stamp_ms, Duration wanted) { return milliseconds(stamp_ms) < wanted; });
  return static_cast<std::size_t>(at - stamps_ms_.begin());
}

std::uint64_t Trace::average_bps() const {
  return stamps_ms_.size() * opportunity_bytes * 8 * 1000 / stamps_ms_.back();
}

TraceCursor::TraceCursor(const Trace& trace, Duration offset, Instant start)
    : cycle_start_(start - offset % trace.period()) {
  skip_to(trace, start);
}

void TraceCursor::skip_to(const Trace& trace, Instant time) {
  if (this->time(trace) >= time) return;
  const Duration ahead = time - cycle_start_;
  if (ahead > trace.period()) {
    // A stamp equal to the period and a 0 of the next round are the same moment, so the round that
    // ends exactly at `time` still counts.
    cycle_start_ += (ahead - Duration{1}) / trace.period() * trace.period();
    index_ = 0;
  }
  index_ = trace.first_not_before(time - cycle_start_, index_);
  MWTUN_ASSERT(index_ < trace.size());
}

void TraceCursor::next(const Trace& trace) {
  if (++index_ < trace.size()) return;
  index_ = 0;
  cycle_start_ += trace.period();
}

}  // namespace mwtun::linkem
