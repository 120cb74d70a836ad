#include "linkem/bottleneck.hpp"

#include <algorithm>

#include "linkem/line_model.hpp"

namespace mwtun::linkem {
namespace {

constexpr std::uint64_t ns_per_s = 1'000'000'000;

}  // namespace

Bottleneck::Bottleneck(BottleneckOptions options, Instant start)
    : options_(std::move(options)), queue_bytes_max_(options_.queue_bytes_max()), free_at_(start) {
  if (options_.trace) cursor_.emplace(*options_.trace, options_.trace_offset, start);
}

void Bottleneck::attach(LineDirection& direction) {
  users_.push_back(&direction);
}

void Bottleneck::detach(LineDirection& direction) {
  users_.erase(std::remove(users_.begin(), users_.end(), &direction), users_.end());
  bits_sent_ = 0;
}

void Bottleneck::configure(const BottleneckOptions& options, Instant now) {
  advance(now);
  const LineDirection* const first = first_in_line();
  if (first != nullptr && !options_.trace && options_.rate_bps > 0) {
    const Instant start = std::max(free_at_, first->waiting_.front().ready);
    if (start < now) {
      __extension__ using Wide = unsigned __int128;
      const auto elapsed = static_cast<std::uint64_t>((now - start).count());
      bits_sent_ += static_cast<std::uint64_t>(Wide{elapsed} * options_.rate_bps / ns_per_s);
    }
  }
  if (first != nullptr) free_at_ = std::max(free_at_, now);
  carry_ = 0;
  const bool new_trace =
      options.trace != options_.trace || options.trace_offset != options_.trace_offset;
  options_ = options;
  queue_bytes_max_ = options_.queue_bytes_max();
  if (!options_.trace) {
    cursor_.reset();
  } else if (new_trace) {
    cursor_.emplace(*options_.trace, options_.trace_offset, now);
  }
  advance(now);
}

LineDirection* Bottleneck::first_in_line() const {
  LineDirection* first = nullptr;
  for (LineDirection* const user : users_) {
    if (user->waiting_.empty()) continue;
    if (first == nullptr) {
      first = user;
      continue;
    }
    const auto& best = first->waiting_.front();
    const auto& other = user->waiting_.front();
    if (other.ready < best.ready || (other.ready == best.ready && other.order < best.order)) {
      first = user;
    }
  }
  return first;
}

std::uint64_t Bottleneck::bits_left(const Waiting& head) const {
  const std::uint64_t bits = head.ip_bytes * std::uint64_t{8};
  return bits - std::min(bits, bits_sent_);
}

void Bottleneck::advance(Instant now) {
  if (options_.trace) {
    advance_trace(now);
  } else {
    advance_rate(now);
  }
}

void Bottleneck::advance_rate(Instant now) {
  while (LineDirection* const first = first_in_line()) {
    const Waiting& head = first->waiting_.front();
    const Instant start = std::max(free_at_, head.ready);
    if (start > now) return;
    const std::uint64_t carry = carry_;
    const Instant end = start + wire_time(bits_left(head), start);
    if (end > now) {
      carry_ = carry;
      return;
    }
    free_at_ = end;
    bits_sent_ = 0;
    first->finished_head(end);
  }
}

Duration Bottleneck::wire_time(std::uint64_t bits, Instant start) {
  if (options_.rate_bps == 0) return Duration{0};
  if (start != free_at_) carry_ = 0;  // the wire was idle: nothing to carry
  const std::uint64_t bit_ns = bits * ns_per_s + carry_;
  carry_ = bit_ns % options_.rate_bps;
  return Duration{static_cast<Duration::rep>(bit_ns / options_.rate_bps)};
}

void Bottleneck::advance_trace(Instant now) {
  LineDirection* first = first_in_line();
  while (first != nullptr) {
    cursor_->skip_to(*options_.trace, std::max(free_at_, first->waiting_.front().ready));
    const Instant at = cursor_->time(*options_.trace);
    if (at > now) return;
    cursor_->next(*options_.trace);
    std::uint64_t room_bits = Trace::opportunity_bytes * 8;
    while (first != nullptr && room_bits > 0) {
      const Waiting& head = first->waiting_.front();
      if (head.ready > at) break;
      const std::uint64_t sent = std::min(bits_left(head), room_bits);
      room_bits -= sent;
      bits_sent_ += sent;
      if (bits_left(head) > 0) break;
      bits_sent_ = 0;
      first->finished_head(at);
      first = first_in_line();
    }
  }
}

Instant Bottleneck::next_end() const {
  const LineDirection* const first = first_in_line();
  if (first == nullptr) return never;
  const Waiting& head = first->waiting_.front();
  const Instant start = std::max(free_at_, head.ready);
  if (options_.trace) {
    TraceCursor cursor = *cursor_;
    cursor.skip_to(*options_.trace, start);
    return cursor.time(*options_.trace);
  }
  if (options_.rate_bps == 0) return start;
  const std::uint64_t carry = start == free_at_ ? carry_ : 0;
  const std::uint64_t bit_ns = bits_left(head) * ns_per_s + carry;
  return start + Duration{static_cast<Duration::rep>(bit_ns / options_.rate_bps)};
}

}  // namespace mwtun::linkem
