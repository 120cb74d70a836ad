#include "support/tcp_receiver.hpp"

#include <algorithm>

namespace mwtun::test {
namespace {

constexpr Duration delayed_ack = milliseconds(40);
constexpr unsigned odd_acks_before_thinning = 3;
constexpr unsigned thinned_max = 44;
constexpr Duration thinning = milliseconds(1);
constexpr std::size_t recent_max = 4;

}  // namespace

std::uint32_t tcp_clock_ms(Instant now) {
  return static_cast<std::uint32_t>(now.time_since_epoch() / milliseconds(1));
}

std::uint64_t tcp_mark(std::uint16_t flow, std::uint64_t segment) {
  return (segment << 16 | flow) * 0x9e3779b97f4a7c15;
}

TcpReceiver::TcpReceiver(FrameNet& net, Side at, std::uint16_t flow, TcpNumbers numbers,
                         std::uint32_t window_bytes, bool ecn)
    : net_(net), at_(at), flow_(flow), numbers_(numbers), window_bytes_(window_bytes), ecn_(ecn) {}

void TcpReceiver::segment(const TcpFields& f, Instant now) {
  if (f.syn) {
    stamp_recent_ = f.stamp;
    established_ = true, progress_ = now;
    TcpFields answer;
    answer.flow = flow_, answer.from = at_;
    answer.syn = answer.ack = true;
    answer.ece = ecn_ && f.ece && f.cwr;
    answer.acknowledged = f.sequence + 1;
    answer.window = 0xffff;
    answer.stamp = tcp_clock_ms(now), answer.stamp_echo = stamp_recent_;
    const MutableBytes room = net_.room(at_);
    if (!room.empty()) net_.send(at_, put_tcp(answer, room));
    return;
  }
  if (!established_ || f.payload_bytes == 0) return;
  ++counters_.segments;
  const std::uint64_t number = numbers_.segment(f.sequence, next_);
  if (f.mark != tcp_mark(flow_, number)) ++counters_.broken;
  if (number + 1 < highest_) ++counters_.late;
  highest_ = std::max(highest_, number + 1);
  if (f.cwr) echo_congestion_ = false;
  bool at_once = false;
  if (f.congestion_experienced) {
    ++counters_.marked;
    at_once = !echo_congestion_;
    echo_congestion_ = true;
  }
  if (number <= acked_) stamp_recent_ = f.stamp;
  const bool missing_before = !beyond_.empty();
  const std::uint64_t next_before = next_;
  store(number);
  if (next_ != next_before) {
    longest_gap_ = std::max(longest_gap_, now - progress_);
    progress_ = now;
  }
  ++unacked_;
  if (duplicate_ != none) return send_ack(now);
  if (number != next_before) {  // Out of order: beyond a hole.
    ++counters_.out_of_order;
    if (odd_acks_ < odd_acks_before_thinning) {
      ++odd_acks_;
      return send_ack(now);
    }
    if (++thinned_ >= thinned_max) return send_ack(now);
    if (thinned_until_ == never) thinned_until_ = now + thinning;
    return;
  }
  if (beyond_.empty()) odd_acks_ = 0;
  if (at_once || missing_before || unacked_ >= 2 || quick_ > 0) return send_ack(now);
  if (delayed_until_ == never) delayed_until_ = now + delayed_ack;
}

void TcpReceiver::store(std::uint64_t number) {
  if (number < next_) {
    duplicate_ = number, ++counters_.duplicates;
    return;
  }
  if (number == next_) {
    ++next_;
    if (!beyond_.empty() && beyond_.front().begin == next_) {
      next_ = beyond_.front().end;
      beyond_.erase(beyond_.begin());
    }
    return;
  }
  const auto after =
      std::upper_bound(beyond_.begin(), beyond_.end(), number,
                       [](std::uint64_t n, const SegmentRange& range) { return n < range.begin; });
  const bool has_before = after != beyond_.begin();
  if (has_before && number < std::prev(after)->end) {
    duplicate_ = number, ++counters_.duplicates;
    return;
  }
  const bool joins_before = has_before && std::prev(after)->end == number;
  const bool joins_after = after != beyond_.end() && after->begin == number + 1;
  if (joins_before && joins_after) {
    std::prev(after)->end = after->end;
    beyond_.erase(after);
  } else if (joins_before) {
    std::prev(after)->end = number + 1;
  } else if (joins_after) {
    after->begin = number;
  } else {
    beyond_.insert(after, {number, number + 1});
  }
  const SegmentRange* const range = range_of(number);
  std::erase_if(recent_, [&](std::uint64_t n) { return n >= range->begin && n < range->end; });
  if (recent_.size() == recent_max) recent_.pop_back();
  recent_.insert(recent_.begin(), number);
}

/// The stretch beyond a hole that this segment is in.
const SegmentRange* TcpReceiver::range_of(std::uint64_t number) const {
  const auto after =
      std::upper_bound(beyond_.begin(), beyond_.end(), number,
                       [](std::uint64_t n, const SegmentRange& range) { return n < range.begin; });
  if (after == beyond_.begin() || number >= std::prev(after)->end) return nullptr;
  return &*std::prev(after);
}

void TcpReceiver::fill_blocks(TcpFields& ack) const {
  const auto add = [&](std::uint64_t begin, std::uint64_t end) {
    ack.blocks[ack.block_count++] = {numbers_.on_wire(begin), numbers_.on_wire(end)};
  };
  if (duplicate_ != none) {
    add(duplicate_, duplicate_ + 1);
    // The block that holds the duplicate says that it is one (RFC 2883 §4.1.2).
    if (const SegmentRange* const range = range_of(duplicate_)) add(range->begin, range->end);
  }
  const SegmentRange* const shown = duplicate_ == none ? nullptr : range_of(duplicate_);
  for (const std::uint64_t number : recent_) {
    if (ack.block_count >= ack.blocks.size()) break;
    const SegmentRange* const range = range_of(number);
    if (range != nullptr && range != shown) add(range->begin, range->end);
  }
}

void TcpReceiver::send_ack(Instant now) {
  TcpFields ack;
  ack.flow = flow_, ack.from = at_;
  ack.ack = true;
  ack.ece = echo_congestion_;
  ack.sequence = 1;
  ack.acknowledged = numbers_.on_wire(next_);
  ack.window = static_cast<std::uint16_t>(
      std::min<std::uint32_t>(window_bytes_ >> tcp_window_shift, 0xffff));
  ack.stamp = tcp_clock_ms(now), ack.stamp_echo = stamp_recent_;
  if (beyond_.empty()) recent_.clear();
  fill_blocks(ack);
  duplicate_ = none;
  acked_ = next_;
  unacked_ = 0, thinned_ = 0;
  if (quick_ > 0) --quick_;
  delayed_until_ = thinned_until_ = never;
  ++counters_.acks;
  const MutableBytes room = net_.room(at_);
  if (!room.empty()) net_.send(at_, put_tcp(ack, room));
}

void TcpReceiver::timeout(Instant now) {
  if (due() <= now) send_ack(now);
}

Duration TcpReceiver::take_longest_gap(Instant now) {
  const Duration longest = std::max(longest_gap_, now - progress_);
  longest_gap_ = {};
  return longest;
}

}  // namespace mwtun::test
