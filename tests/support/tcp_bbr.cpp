#include "support/tcp_bbr.hpp"

#include <algorithm>
#include <cmath>

#include "support/tcp_cubic.hpp"

namespace mwtun::test {
namespace {

constexpr double high_gain = 2885.0 / 1000;
constexpr double drain_gain = 1000.0 / 2885;
constexpr std::array<double, 8> cycle_gains{1.25, 0.75, 1, 1, 1, 1, 1, 1};
constexpr double pacing_share = 0.99;
constexpr std::uint32_t cwnd_min = 4, cwnd_initial = 10;
constexpr Duration rtt_min_window = seconds(10);
constexpr Duration probe_rtt_time = milliseconds(200);
constexpr double full_growth = 1.25;
constexpr unsigned full_rounds = 3;
constexpr unsigned long_term_rounds_min = 4, long_term_rounds_max = 48;
constexpr double long_term_loss = 50.0 / 256;
constexpr double long_term_likeness = 1.0 / 8;
constexpr double long_term_likeness_bytes = 500;  // a second
constexpr unsigned extra_acked_rounds = 5;
constexpr double extra_acked_s = 0.1;

double in_s(Duration time) {
  return std::chrono::duration<double>(time).count();
}

/// Segments that leave in one burst: a millisecond's worth at the pacing rate.
double burst_segments(const TcpWindow& window) {
  const double bytes = std::min(window.pacing_rate / 1024, 65535.0 - 320);
  const double least = window.pacing_rate < 150'000 ? 1 : 2;
  return std::min(std::max(std::floor(bytes / window.mss), least), 127.0);
}

}  // namespace

const char* to_string(TcpKind kind) {
  return kind == TcpKind::cubic ? "cubic" : "bbr";
}

std::unique_ptr<TcpCongestion> make_congestion(TcpKind kind, std::uint64_t seed) {
  if (kind == TcpKind::cubic) return std::make_unique<TcpCubic>();
  return std::make_unique<TcpBbr>(seed);
}

void TcpBbr::start(TcpWindow& window) {
  rtt_min_ = window.rtt_min;
  rtt_min_at_ = phase_began_ = epoch_began_ = window.now;
  round_end_ = window.delivered;
  pacing_gain_ = cwnd_gain_ = high_gain;
  begin_long_term_interval(window);
  rtt_seen_ = window.srtt != Duration{};
  const double rtt_s = rtt_seen_ ? in_s(window.srtt) : 1e-3;
  window.pacing_rate = high_gain * window.cwnd * window.mss / rtt_s * pacing_share;
}

std::uint32_t TcpBbr::ssthresh(TcpWindow& window) {
  save_cwnd(window);
  return window.ssthresh;
}

std::uint32_t TcpBbr::undo(const TcpWindow& window) {
  // A spurious slowdown must not make startup end early.
  full_bandwidth_ = 0, full_rounds_ = 0;
  forget_long_term(window);
  return window.cwnd;
}

void TcpBbr::state_changes(TcpWindow& window, TcpState state) {
  if (state != TcpState::loss) return;
  state_before_ = TcpState::loss;
  full_bandwidth_ = 0;
  round_begins_ = true;
  RateSample sample;
  sample.losses = 1;
  sample_long_term(window, sample);
}

void TcpBbr::transmission_starts(TcpWindow& window) {
  if (window.app_limited == 0) return;
  idle_restart_ = true;
  epoch_began_ = window.now, epoch_acked_ = 0;
  if (mode_ == Mode::probe_bw) {
    set_pacing_rate(window, bandwidth(), 1);
  } else if (mode_ == Mode::probe_rtt) {
    check_probe_rtt_done(window);
  }
}

void TcpBbr::save_cwnd(const TcpWindow& window) {
  const bool good = state_before_ < TcpState::recovery && mode_ != Mode::probe_rtt;
  prior_cwnd_ = good ? window.cwnd : std::max(prior_cwnd_, window.cwnd);
}

void TcpBbr::set_pacing_rate(TcpWindow& window, double bandwidth, double gain) {
  if (!rtt_seen_ && window.srtt != Duration{}) {
    rtt_seen_ = true;
    window.pacing_rate = high_gain * window.cwnd * window.mss / in_s(window.srtt) * pacing_share;
  }
  const double rate = bandwidth * gain * window.mss * pacing_share;
  if (full_ || rate > window.pacing_rate) window.pacing_rate = std::max(rate, 1.0 * window.mss);
}

double TcpBbr::bdp(double bandwidth, double gain) const {
  if (rtt_min_ == Duration::max()) return cwnd_initial;
  return std::ceil(bandwidth * in_s(rtt_min_) * gain);
}

double TcpBbr::quantized(const TcpWindow& window, double cwnd) const {
  cwnd += 3 * burst_segments(window);
  cwnd = 2 * std::ceil(cwnd / 2);
  if (mode_ == Mode::probe_bw && phase_ == 0) cwnd += 2;
  return cwnd;
}

double TcpBbr::inflight(const TcpWindow& window, double bandwidth, double gain) const {
  return quantized(window, bdp(bandwidth, gain));
}

/// What is in the network when pacing lets the next segment go.
double TcpBbr::in_net_at_next_send(const TcpWindow& window, std::uint32_t in_flight) const {
  double then = in_flight;
  if (pacing_gain_ > 1) then += burst_segments(window);
  const double wait_s = in_s(std::max(window.next_send, window.now) - window.now);
  return std::max(then - bandwidth() * wait_s, 0.0);
}

void TcpBbr::control(TcpWindow& window, const RateSample& sample) {
  update_bandwidth(window, sample);
  update_aggregation(window, sample);
  update_cycle(window, sample);
  check_full_pipe(sample);
  check_drain(window);
  update_rtt_min(window, sample);
  update_gains();
  set_pacing_rate(window, bandwidth(), pacing_gain_);
  set_cwnd(window, sample);
}

void TcpBbr::update_bandwidth(TcpWindow& window, const RateSample& sample) {
  round_begins_ = false;
  if (sample.delivered < 0 || sample.interval <= Duration{}) return;
  if (sample.prior_delivered >= round_end_) {
    round_end_ = window.delivered;
    ++rounds_;
    round_begins_ = true;
    conserving_ = false;
  }
  sample_long_term(window, sample);
  const double measured = static_cast<double>(sample.delivered) / in_s(sample.interval);
  if (!sample.app_limited || measured >= bandwidth_max()) take_bandwidth(measured);
}

void TcpBbr::take_bandwidth(double bandwidth) {
  while (sample_count_ > 0 && samples_[sample_count_ - 1].bandwidth <= bandwidth) --sample_count_;
  if (sample_count_ == 0 || samples_[sample_count_ - 1].round != rounds_) {
    samples_[sample_count_++] = {rounds_, bandwidth};
  }
  std::size_t old = 0;
  while (samples_[old].round + bandwidth_rounds < rounds_) ++old;
  std::copy(samples_.begin() + static_cast<std::ptrdiff_t>(old), samples_.end(), samples_.begin());
  sample_count_ -= old;
}

void TcpBbr::begin_long_term_interval(const TcpWindow& window) {
  long_term_began_ = window.delivered_at;
  long_term_delivered_ = window.delivered;
  long_term_lost_ = window.lost;
  long_term_rounds_ = 0;
}

void TcpBbr::forget_long_term(const TcpWindow& window) {
  long_term_ = 0;
  long_term_in_use_ = long_term_sampling_ = false;
  begin_long_term_interval(window);
}

/// Two intervals that both lose a fifth and both deliver as much are a policer's doing.
void TcpBbr::sample_long_term(const TcpWindow& window, const RateSample& sample) {
  if (long_term_in_use_) {
    if (mode_ == Mode::probe_bw && round_begins_ && ++long_term_rounds_ >= long_term_rounds_max) {
      forget_long_term(window);
      enter_probe_bw(window);
    }
    return;
  }
  if (!long_term_sampling_) {
    if (sample.losses == 0) return;
    begin_long_term_interval(window);
    long_term_sampling_ = true;
  }
  if (sample.app_limited) return forget_long_term(window);
  if (round_begins_) ++long_term_rounds_;
  if (long_term_rounds_ < long_term_rounds_min) return;
  if (long_term_rounds_ > 4 * long_term_rounds_min) return forget_long_term(window);
  if (sample.losses == 0) return;
  const auto lost = static_cast<double>(window.lost - long_term_lost_);
  const auto delivered = static_cast<double>(window.delivered - long_term_delivered_);
  if (delivered <= 0 || lost / delivered < long_term_loss) return;
  const Duration time = window.delivered_at - long_term_began_;
  if (time < milliseconds(1)) return;
  const double measured = delivered / in_s(time);
  if (long_term_ > 0) {
    const double apart = std::abs(measured - long_term_);
    if (apart <= long_term_likeness * long_term_ ||
        apart * window.mss <= long_term_likeness_bytes) {
      long_term_ = (measured + long_term_) / 2;
      long_term_in_use_ = true;
      pacing_gain_ = 1;
      long_term_rounds_ = 0;
      return;
    }
  }
  long_term_ = measured;
  begin_long_term_interval(window);
}

/// How many more are acknowledged at once than the bandwidth explains.
void TcpBbr::update_aggregation(const TcpWindow& window, const RateSample& sample) {
  if (sample.newly_delivered == 0 || sample.delivered < 0 || sample.interval <= Duration{}) return;
  if (round_begins_ && ++extra_rounds_ >= extra_acked_rounds) {
    extra_rounds_ = 0;
    extra_window_ ^= 1;
    extra_acked_[extra_window_] = 0;
  }
  double expected = bandwidth() * in_s(window.delivered_at - epoch_began_);
  if (epoch_acked_ <= expected || epoch_acked_ + sample.newly_delivered >= 1 << 20) {
    epoch_acked_ = 0, expected = 0;
    epoch_began_ = window.delivered_at;
  }
  epoch_acked_ += sample.newly_delivered;
  const double extra = std::min<double>(epoch_acked_ - expected, window.cwnd);
  extra_acked_[extra_window_] = std::max(extra_acked_[extra_window_], extra);
}

void TcpBbr::enter_probe_bw(const TcpWindow& window) {
  mode_ = Mode::probe_bw;
  // Any phase but the one that drains.
  phase_ = cycle_phases - 1 - chance_.below(cycle_phases - 1);
  phase_ = (phase_ + 1) % cycle_phases;
  phase_began_ = window.delivered_at;
}

void TcpBbr::update_cycle(const TcpWindow& window, const RateSample& sample) {
  if (mode_ != Mode::probe_bw) return;
  const bool full_length = window.delivered_at - phase_began_ > rtt_min_;
  bool next = full_length;
  const double in_net = in_net_at_next_send(window, sample.prior_in_flight);
  if (pacing_gain_ > 1) {
    next = full_length &&
           (sample.losses > 0 || in_net >= inflight(window, bandwidth_max(), pacing_gain_));
  } else if (pacing_gain_ < 1) {
    next = full_length || in_net <= inflight(window, bandwidth_max(), 1);
  }
  if (!next) return;
  phase_ = (phase_ + 1) % cycle_phases;
  phase_began_ = window.delivered_at;
}

void TcpBbr::check_full_pipe(const RateSample& sample) {
  if (full_ || !round_begins_ || sample.app_limited) return;
  if (bandwidth_max() >= full_bandwidth_ * full_growth) {
    full_bandwidth_ = bandwidth_max();
    full_rounds_ = 0;
    return;
  }
  full_ = ++full_rounds_ >= full_rounds;
}

void TcpBbr::check_drain(TcpWindow& window) {
  if (mode_ == Mode::startup && full_) {
    mode_ = Mode::drain;
    window.ssthresh = static_cast<std::uint32_t>(inflight(window, bandwidth_max(), 1));
  }
  if (mode_ == Mode::drain &&
      in_net_at_next_send(window, window.in_flight) <= inflight(window, bandwidth_max(), 1)) {
    enter_probe_bw(window);
  }
}

void TcpBbr::update_rtt_min(TcpWindow& window, const RateSample& sample) {
  const bool expired = window.now > rtt_min_at_ + rtt_min_window;
  if (sample.rtt && (*sample.rtt < rtt_min_ || (expired && !sample.ack_delayed))) {
    rtt_min_ = *sample.rtt;
    rtt_min_at_ = window.now;
  }
  if (expired && !idle_restart_ && mode_ != Mode::probe_rtt) {
    mode_ = Mode::probe_rtt;
    save_cwnd(window);
    probe_rtt_until_ = never;
  }
  if (mode_ == Mode::probe_rtt) {
    window.app_limited = std::max<std::uint64_t>(window.delivered + window.in_flight, 1);
    if (probe_rtt_until_ == never && window.in_flight <= cwnd_min) {
      probe_rtt_until_ = window.now + probe_rtt_time;
      probe_rtt_round_done_ = false;
      round_end_ = window.delivered;
    } else if (probe_rtt_until_ != never) {
      if (round_begins_) probe_rtt_round_done_ = true;
      if (probe_rtt_round_done_) check_probe_rtt_done(window);
    }
  }
  if (sample.delivered > 0) idle_restart_ = false;
}

void TcpBbr::check_probe_rtt_done(TcpWindow& window) {
  if (probe_rtt_until_ == never || window.now <= probe_rtt_until_) return;
  rtt_min_at_ = window.now;
  window.cwnd = std::max(window.cwnd, prior_cwnd_);
  leave_probe_rtt(window);
}

void TcpBbr::leave_probe_rtt(const TcpWindow& window) {
  if (full_) {
    enter_probe_bw(window);
  } else {
    mode_ = Mode::startup;
  }
}

void TcpBbr::update_gains() {
  switch (mode_) {
    case Mode::startup: pacing_gain_ = cwnd_gain_ = high_gain; break;
    case Mode::drain: pacing_gain_ = drain_gain, cwnd_gain_ = high_gain; break;
    case Mode::probe_bw:
      pacing_gain_ = long_term_in_use_ ? 1 : cycle_gains[phase_];
      cwnd_gain_ = 2;
      break;
    case Mode::probe_rtt: pacing_gain_ = cwnd_gain_ = 1; break;
  }
}

bool TcpBbr::recover_or_restore(TcpWindow& window, const RateSample& sample, std::uint32_t& cwnd) {
  const TcpState before = state_before_, now = window.state;
  if (sample.losses > 0) cwnd = cwnd > sample.losses ? cwnd - sample.losses : 1;
  if (now == TcpState::recovery && before != TcpState::recovery) {
    // The first round of a recovery sends what is delivered, no more.
    conserving_ = true;
    round_end_ = window.delivered;
    cwnd = window.in_flight + sample.newly_delivered;
  } else if (before >= TcpState::recovery && now < TcpState::recovery) {
    cwnd = std::max(cwnd, prior_cwnd_);
    conserving_ = false;
  }
  state_before_ = now;
  if (!conserving_) return false;
  cwnd = std::max(cwnd, window.in_flight + sample.newly_delivered);
  return true;
}

void TcpBbr::set_cwnd(TcpWindow& window, const RateSample& sample) {
  std::uint32_t cwnd = window.cwnd;
  const std::uint32_t acked = sample.newly_delivered;
  if (acked > 0 && !recover_or_restore(window, sample, cwnd)) {
    double target = bdp(bandwidth(), cwnd_gain_);
    if (full_) {
      target += std::ceil(
          std::min(std::max(extra_acked_[0], extra_acked_[1]), bandwidth() * extra_acked_s));
    }
    target = quantized(window, target);
    if (full_) {
      cwnd = std::min(cwnd + acked, static_cast<std::uint32_t>(target));
    } else if (cwnd < target || window.delivered < cwnd_initial) {
      cwnd += acked;
    }
    cwnd = std::max(cwnd, cwnd_min);
  }
  window.cwnd = mode_ == Mode::probe_rtt ? std::min(cwnd, cwnd_min) : cwnd;
}

}  // namespace mwtun::test
