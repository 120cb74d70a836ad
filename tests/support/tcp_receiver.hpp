#pragma once
#include <cstdint>
#include <vector>

#include "support/sim_net.hpp"

namespace mwtun::test {

/// Numbers the bytes of a connection as its segments, all of one size, the first data being 0.
/// Sequence numbers on the wire wrap; these do not.
struct TcpNumbers {
  std::uint32_t first = 0;  ///< Of the first data byte.
  std::uint32_t mss = 1448;

  std::uint32_t on_wire(std::uint64_t segment) const {
    return first + static_cast<std::uint32_t>(segment * mss);
  }
  /// The segment that begins there, nearest to `about`.
  std::uint64_t segment(std::uint32_t sequence, std::uint64_t about) const {
    const auto apart = static_cast<std::int32_t>(sequence - on_wire(about));
    return about + static_cast<std::uint64_t>(static_cast<std::int64_t>(apart) / mss);
  }
};

/// A stretch of segments, [begin, end).
struct SegmentRange {
  std::uint64_t begin = 0, end = 0;
};

/// The timestamp option's clock.
std::uint32_t tcp_clock_ms(Instant now);
/// What the payload of a segment carries, so that a mix-up shows.
std::uint64_t tcp_mark(std::uint16_t flow, std::uint64_t segment);

/// The receiving end: cumulative and selective acknowledgements with duplicates reported (RFC 2018,
/// 2883), delayed for every second segment or 40 ms, at once when something is out of order
/// (thinned out as Linux does once three have gone), ECN echo (RFC 3168), timestamps (RFC 7323).
class TcpReceiver {
 public:
  struct Counters {
    std::uint64_t segments = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t out_of_order = 0;  ///< Came before something older.
    std::uint64_t late = 0;          ///< Of a sequence below one that came before.
    std::uint64_t acks = 0;
    std::uint64_t marked = 0;  ///< Congestion experienced.
    std::uint64_t broken = 0;  ///< Another segment's payload.
  };

  TcpReceiver(FrameNet& net, Side at, std::uint16_t flow, TcpNumbers numbers,
              std::uint32_t window_bytes, bool ecn);
  void segment(const TcpFields& fields, Instant now);
  void timeout(Instant now);
  Instant due() const { return delayed_until_ < thinned_until_ ? delayed_until_ : thinned_until_; }

  std::uint64_t delivered_bytes() const { return next_ * numbers_.mss; }
  const Counters& counters() const { return counters_; }
  /// Longest time without anything new for the application since this was last called.
  Duration take_longest_gap(Instant now);

 private:
  void store(std::uint64_t segment);
  void send_ack(Instant now);
  void fill_blocks(TcpFields& ack) const;
  const SegmentRange* range_of(std::uint64_t number) const;

  FrameNet& net_;
  Side at_;
  std::uint16_t flow_;
  TcpNumbers numbers_;
  std::uint32_t window_bytes_;
  bool ecn_;
  bool established_ = false;

  std::uint64_t next_ = 0;
  std::vector<SegmentRange> beyond_;   // Sorted, apart from one another.
  std::vector<std::uint64_t> recent_;  // Newest first: segments whose range goes into a block.
  std::uint64_t duplicate_ = none;     // To be reported in the next acknowledgement.
  static constexpr std::uint64_t none = UINT64_MAX;
  std::uint32_t stamp_recent_ = 0;
  std::uint64_t acked_ = 0;  // Told last.
  unsigned unacked_ = 0;     // Segments since.
  unsigned quick_ = 16;      // So many acknowledgements are not delayed, for slow start's sake.
  bool echo_congestion_ = false;
  unsigned odd_acks_ = 0;  // Sent one by one while something is missing.
  Instant delayed_until_ = never, thinned_until_ = never;
  unsigned thinned_ = 0;
  Instant progress_{};
  Duration longest_gap_{};
  std::uint64_t highest_ = 0;
  Counters counters_;
};

}  // namespace mwtun::test
