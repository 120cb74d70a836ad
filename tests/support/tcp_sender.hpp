#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "support/sim_net.hpp"
#include "support/tcp_congestion.hpp"
#include "support/tcp_receiver.hpp"

namespace mwtun::test {

struct TcpOptions {
  TcpKind congestion = TcpKind::cubic;
  bool ecn = false;
  std::uint32_t mss = 1448;
  std::uint32_t window_bytes = 6 << 20;  ///< What the receiver offers, as Linux grows it to.
  std::uint64_t rate_bps = 0;            ///< Payload the application has to send; 0: no end of it.
  Duration start{};                      ///< Connects so long after the simulation began.
  std::uint64_t seed = 1;
};

/// The sending end: loss detection by time with tail probes (RFC 8985), proportional rate reduction
/// (RFC 6937), timeouts (RFC 6298 with Linux's 200 ms), spurious reductions taken back (RFC 3708,
/// 3522, 5682), with any congestion control. Segments are all of one size.
class TcpSender {
 public:
  struct Counters {
    std::uint64_t segments = 0;  ///< All that were sent.
    std::uint64_t retransmitted = 0;
    std::uint64_t recoveries = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t probes = 0;
    std::uint64_t undone = 0;
    std::uint64_t marks = 0;  ///< Reductions for ECN.
    std::uint64_t refused = 0;
  };

  TcpSender(FrameNet& net, Side at, std::uint16_t flow, TcpNumbers numbers,
            const TcpOptions& options, Instant start);
  ~TcpSender();

  void acknowledgement(const TcpFields& fields, Instant now);
  void timeout(Instant now);
  Instant due() const;
  void set_rate(std::uint64_t payload_bps, Instant now);

  const Counters& counters() const { return counters_; }
  const TcpWindow& window() const { return window_; }
  const TcpCongestion& congestion() const { return *congestion_; }
  /// Reordering was seen, and so far, in segments.
  std::uint32_t reordering() const { return reordering_; }

 private:
  static constexpr std::uint64_t none = UINT64_MAX;
  struct Segment {
    Instant sent{};        // Last.
    Instant first_sent{};  // Of the sample's interval, and the delivery state when it was sent.
    Instant delivered_at{};
    std::uint64_t delivered = 0;
    std::uint64_t before = none, after = none;  // In order of sending.
    bool listed = false;
    bool sacked = false;
    bool lost = false;
    bool repeated = false;  // The repetition is in flight.
    bool ever_repeated = false;
    bool app_limited = false;
    bool sampled = false;
  };
  enum class Timer : std::uint8_t { none, syn, retransmit, probe, reorder };
  /// What one acknowledgement changed.
  struct Progress {
    std::uint64_t prior_una = 0;
    std::uint64_t prior_delivered = 0;
    std::uint64_t prior_lost = 0;
    std::uint32_t prior_in_flight = 0;
    std::uint64_t prior_highest = 0;
    bool una_advanced = false;
    bool data_acked = false;  // Cumulatively.
    bool data_sacked = false;
    bool original_delivered = false;  // Never repeated, of before the timeout.
    bool duplicate_seen = false;
    bool mark = false;
    bool repeated_acked = false;
    bool keep_timer = false;
    std::uint64_t reordered_from = none;
    Instant first_acked{}, last_acked{}, first_sacked{}, last_sacked{};
    std::uint64_t sample_delivered = none;
    Instant sample_at{}, sample_sent{};
    Duration sample_send_interval{};
    bool sample_app_limited = false;
  };

  Segment& at(std::uint64_t number) { return segments_[number & (segments_.size() - 1)]; }
  std::uint32_t in_flight() const {
    return static_cast<std::uint32_t>(window_.next - window_.una) + repeated_out_ -
           (sacked_out_ + lost_out_);
  }
  bool reducing() const {
    return window_.state == TcpState::cwr || window_.state == TcpState::recovery;
  }

  // tcp_sender.cpp and tcp_timers.cpp: sending, acknowledgements, timers.
  void connect(Instant now);
  void connected(const TcpFields& fields, Instant now);
  std::uint64_t available(Instant now) const;
  void transmit(Instant now);
  bool pacing_allows(Instant now);
  bool send_segment(std::uint64_t number, Instant now);
  void list(std::uint64_t number);
  void unlist(std::uint64_t number);
  void apply_blocks(const TcpFields& fields, std::uint64_t acked, Progress& progress, Instant now);
  void sack(std::uint64_t number, Progress& progress, Instant now);
  void acknowledge_up_to(std::uint64_t number, Progress& progress, Instant now);
  void sample_rate(Segment& segment, Progress& progress);
  RateSample finish_sample(const Progress& progress, Duration rtt, Instant now);
  void measure_rtt(Duration rtt);
  void set_timer(Instant now);
  void arm_retransmit(Instant now);
  bool arm_probe(Instant now);
  void send_probe(Instant now);
  void note_cwnd_use(bool limited);
  void restart_after_idle(Instant now);

  // tcp_recovery.cpp: what is lost, and what follows from it.
  void rack_advance(const Segment& segment, std::uint64_t number, Instant now);
  Duration rack_window() const;
  Duration rack_detect(Instant now);
  bool rack_mark_lost(Instant now);
  void rack_adapt(const Progress& progress);
  void note_reordering(std::uint64_t from, std::uint64_t highest);
  void mark_lost(std::uint64_t number);
  void judge(Progress& progress, Instant now);
  void judge_timeout_state(const Progress& progress);
  void process_probe_answer(std::uint64_t acked, const Progress& progress);
  void set_state(TcpState state);
  void enter_reduction(TcpState state);
  void end_reduction(bool was_cwr);
  void enter_recovery();
  void leave_recovery();
  void enter_loss();
  std::uint32_t current_ssthresh() const;
  void begin_undo();
  bool undo_by_duplicates();
  void reduce(std::uint32_t newly_delivered, std::uint32_t newly_lost, bool una_advanced);
  bool may_undo() const;
  bool stamped_before_repetition() const;
  void undo_reduction(bool unmark_losses);
  void try_to_open(bool mark);
  void retransmit_timeout(Instant now);
  void reorder_timeout(Instant now);

  FrameNet& net_;
  Side at_;
  std::uint16_t flow_;
  TcpNumbers numbers_;
  TcpOptions options_;
  std::unique_ptr<TcpCongestion> congestion_;
  TcpWindow window_;
  Counters counters_;

  std::vector<Segment> segments_;  // Ring, by number.
  std::uint64_t oldest_sent_ = none, newest_sent_ = none;
  std::uint64_t highest_sacked_ = 0;  // Plus one.
  std::array<SegmentRange, 3> blocks_seen_{};
  std::uint32_t sacked_out_ = 0, lost_out_ = 0, repeated_out_ = 0;
  std::uint64_t repeat_hint_ = 0;  // Nothing below it waits to be repeated.
  std::uint64_t receive_window_ = 0;
  Instant sample_began_{};

  bool established_ = false;
  bool ecn_on_ = false;
  bool tell_reduced_ = false;
  Timer timer_ = Timer::none;
  Instant timer_at_ = never;
  Instant application_at_ = never;  // More from the application.
  Instant pacing_at_ = never;
  Duration rttvar_{}, mdev_{}, mdev_max_{};
  std::uint64_t rttvar_round_ = 0;
  Duration rto_ = seconds(1);
  unsigned backoff_ = 0;
  std::uint32_t stamp_echoed_ = 0;
  Instant sent_last_{};

  std::uint64_t rate_bps_ = 0;
  Instant rate_since_{};
  std::uint64_t rate_from_ = 0;

  std::uint64_t max_out_ = 0, cwnd_use_until_ = 0;
  bool cwnd_limited_ = false;
  Duration pacing_credit_{};
  std::int64_t burst_left_ = 0;

  // Recovery.
  std::uint64_t high_ = 0;  // `next` when it began.
  std::uint32_t prior_ssthresh_ = 0, prior_cwnd_ = 0;
  std::uint32_t prr_delivered_ = 0, prr_out_ = 0;
  std::uint64_t undo_from_ = none;
  std::int64_t undo_repeats_ = 0;
  std::uint32_t repeat_stamp_ = 0;
  bool frto_ = false;
  std::uint32_t reordering_ = 3;
  bool reordering_seen_ = false;
  std::uint64_t probe_high_ = none;
  bool probe_repeated_ = false;

  Instant rack_sent_{};
  std::uint64_t rack_number_ = 0;
  Duration rack_rtt_{};
  bool rack_advanced_ = false;
  unsigned rack_steps_ = 1;
  unsigned rack_persist_ = 0;
  std::uint64_t rack_last_delivered_ = 0;
  bool rack_duplicate_ = false;
};

}  // namespace mwtun::test
