#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "base/prng.hpp"
#include "base/time.hpp"

namespace mwtun::test {

/// Where a sender stands, as Linux names it: nothing odd; selective acknowledgements but no loss so
/// far; reducing for a congestion mark; repairing losses; after a timeout.
enum class TcpState : std::uint8_t { open, disorder, cwr, recovery, loss };

/// What a congestion control knows of its connection and what it may set. Counts are segments.
struct TcpWindow {
  static constexpr std::uint32_t unlimited = 0x7fffffff;

  Instant now{};
  TcpState state = TcpState::open;
  std::uint32_t mss = 1448;
  std::uint64_t una = 0;   ///< First that is not acknowledged.
  std::uint64_t next = 0;  ///< First that was never sent.
  std::uint64_t delivered = 0;
  std::uint64_t lost = 0;
  Instant delivered_at{};
  std::uint32_t in_flight = 0;
  std::uint64_t app_limited =
      0;  ///< Samples are limited by the application up to this `delivered`.
  bool cwnd_limited = false;
  Duration srtt{};  ///< Zero: never measured.
  Duration rtt_min = Duration::max();
  Instant next_send{};  ///< Pacing lets nothing go before.

  std::uint32_t cwnd = 10;
  std::uint32_t ssthresh = unlimited;
  std::uint32_t cwnd_count = 0;
  double pacing_rate = 0;  ///< Bytes a second; 0: not paced.

  bool slow_start() const { return cwnd < ssthresh; }
};

/// A delivery rate sample (draft-cheng-iccrg-delivery-rate-estimation).
struct RateSample {
  std::int64_t delivered = -1;  ///< Segments over `interval`; negative: no sample.
  std::uint64_t prior_delivered = 0;
  Duration interval{};
  std::optional<Duration> rtt;
  std::uint32_t losses = 0;           ///< Marked lost by this acknowledgement,
  std::uint32_t newly_delivered = 0;  ///< and what it acknowledged or sacked.
  std::uint32_t prior_in_flight = 0;
  bool app_limited = false;
  bool ack_delayed = false;
};

class TcpCongestion {
 public:
  virtual ~TcpCongestion() = default;
  virtual void start(TcpWindow&) {}
  /// After a loss or mark: what the threshold becomes.
  virtual std::uint32_t ssthresh(TcpWindow& window) = 0;
  /// What the window returns to when a reduction was a mistake.
  virtual std::uint32_t undo(const TcpWindow& window) = 0;
  virtual void state_changes(TcpWindow&, TcpState) {}
  /// Something was acknowledged; `rtt` of a segment that was sent once.
  virtual void acked(TcpWindow&, Duration) {}
  /// The window may grow for so many segments.
  virtual void grow(TcpWindow&, std::uint32_t) {}
  /// Sends again after a pause.
  virtual void transmission_starts(TcpWindow&) {}
  /// Decides the window at all times, also in recovery, in control().
  virtual bool decides_alone() const { return false; }
  virtual void control(TcpWindow&, const RateSample&) {}
};

enum class TcpKind : std::uint8_t { cubic, bbr };
const char* to_string(TcpKind kind);
std::unique_ptr<TcpCongestion> make_congestion(TcpKind kind, std::uint64_t seed);

}  // namespace mwtun::test
