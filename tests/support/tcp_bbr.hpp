#pragma once
#include <array>

#include "support/tcp_congestion.hpp"

namespace mwtun::test {

/// BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00) with what Linux has beyond it:
/// the allowance for aggregated acknowledgements and the long-term rate of a policed path.
class TcpBbr final : public TcpCongestion {
 public:
  enum class Mode : std::uint8_t { startup, drain, probe_bw, probe_rtt };

  explicit TcpBbr(std::uint64_t seed) : chance_(seed) {}
  void start(TcpWindow& window) override;
  std::uint32_t ssthresh(TcpWindow& window) override;
  std::uint32_t undo(const TcpWindow& window) override;
  void state_changes(TcpWindow& window, TcpState state) override;
  void transmission_starts(TcpWindow& window) override;
  bool decides_alone() const override { return true; }
  void control(TcpWindow& window, const RateSample& sample) override;

  Mode mode() const { return mode_; }
  /// Segments a second.
  double bandwidth() const { return long_term_in_use_ ? long_term_ : bandwidth_max(); }
  Duration rtt_min() const { return rtt_min_; }

 private:
  static constexpr std::size_t cycle_phases = 8;
  static constexpr std::size_t bandwidth_rounds = cycle_phases + 2;

  /// Over the last rounds that had a sample: what the application limits does not age it.
  double bandwidth_max() const { return sample_count_ == 0 ? 0 : samples_[0].bandwidth; }
  void take_bandwidth(double bandwidth);
  double bdp(double bandwidth, double gain) const;
  double inflight(const TcpWindow& window, double bandwidth, double gain) const;
  double quantized(const TcpWindow& window, double cwnd) const;
  double in_net_at_next_send(const TcpWindow& window, std::uint32_t in_flight) const;
  void set_pacing_rate(TcpWindow& window, double bandwidth, double gain);
  void save_cwnd(const TcpWindow& window);
  void update_bandwidth(TcpWindow& window, const RateSample& sample);
  void sample_long_term(const TcpWindow& window, const RateSample& sample);
  void begin_long_term_interval(const TcpWindow& window);
  void forget_long_term(const TcpWindow& window);
  void update_aggregation(const TcpWindow& window, const RateSample& sample);
  void update_cycle(const TcpWindow& window, const RateSample& sample);
  void check_full_pipe(const RateSample& sample);
  void check_drain(TcpWindow& window);
  void update_rtt_min(TcpWindow& window, const RateSample& sample);
  void check_probe_rtt_done(TcpWindow& window);
  void update_gains();
  void set_cwnd(TcpWindow& window, const RateSample& sample);
  bool recover_or_restore(TcpWindow& window, const RateSample& sample, std::uint32_t& cwnd);
  void enter_probe_bw(const TcpWindow& window);
  void leave_probe_rtt(const TcpWindow& window);

  Prng chance_;
  Mode mode_ = Mode::startup;
  TcpState state_before_ = TcpState::open;
  double pacing_gain_ = 1, cwnd_gain_ = 1;

  struct BandwidthSample {
    std::uint64_t round = 0;
    double bandwidth = 0;
  };
  std::array<BandwidthSample, bandwidth_rounds + 2> samples_{};  // Falling; one a round at most.
  std::size_t sample_count_ = 0;
  std::uint64_t rounds_ = 0;
  std::uint64_t round_end_ = 0;  // In `delivered`.
  bool round_begins_ = false;
  bool rtt_seen_ = false;

  Duration rtt_min_ = Duration::max();
  Instant rtt_min_at_{};
  Instant probe_rtt_until_ = never;
  bool probe_rtt_round_done_ = false;
  bool idle_restart_ = false;

  std::size_t phase_ = 0;
  Instant phase_began_{};
  double full_bandwidth_ = 0;
  unsigned full_rounds_ = 0;
  bool full_ = false;

  std::uint32_t prior_cwnd_ = 0;
  bool conserving_ = false;

  bool long_term_sampling_ = false, long_term_in_use_ = false;
  double long_term_ = 0;
  unsigned long_term_rounds_ = 0;
  std::uint64_t long_term_delivered_ = 0, long_term_lost_ = 0;
  Instant long_term_began_{};

  Instant epoch_began_{};
  double epoch_acked_ = 0;
  std::array<double, 2> extra_acked_{};
  std::size_t extra_window_ = 0;
  unsigned extra_rounds_ = 0;
};

}  // namespace mwtun::test
