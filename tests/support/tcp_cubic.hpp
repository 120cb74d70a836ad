#pragma once
#include "support/tcp_congestion.hpp"

namespace mwtun::test {

/// CUBIC (RFC 9438) with HyStart (Ha and Rhee, 2011: ack train and delay increase), with Linux's
/// constants.
class TcpCubic final : public TcpCongestion {
 public:
  static constexpr double beta = 717.0 / 1024;
  static constexpr double c = 0.4;

  void start(TcpWindow& window) override;
  std::uint32_t ssthresh(TcpWindow& window) override;
  std::uint32_t undo(const TcpWindow& window) override;
  void state_changes(TcpWindow& window, TcpState state) override;
  void acked(TcpWindow& window, Duration rtt) override;
  void grow(TcpWindow& window, std::uint32_t acked) override;
  void transmission_starts(TcpWindow& window) override;

 private:
  void begin_round(const TcpWindow& window);
  void hystart(TcpWindow& window, Duration rtt);
  double acks_per_segment(const TcpWindow& window, std::uint32_t acked);

  // The curve.
  double w_max_ = 0;
  double origin_ = 0;
  double k_s_ = 0;
  Instant epoch_ = never;  // never: none.
  Duration delay_min_ = Duration::max();
  double acks_per_segment_ = 0;
  std::uint32_t cwnd_then_ = 0;
  Instant updated_{};
  // What Reno with the same decrease would have by now (RFC 9438 §4.3).
  double reno_acks_ = 0;
  double reno_cwnd_ = 0;
  Instant sent_last_{};
  std::uint32_t cwnd_at_loss_ = 0;
  // HyStart.
  bool found_ = false;
  std::uint64_t round_end_ = 0;
  Instant round_began_{};
  Instant train_{};
  Duration round_rtt_ = Duration::max();
  unsigned round_samples_ = 0;
};

}  // namespace mwtun::test
