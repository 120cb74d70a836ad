#include "support/tcp_cubic.hpp"

#include <algorithm>
#include <cmath>

namespace mwtun::test {
namespace {

constexpr std::uint32_t hystart_window_min = 16;
constexpr unsigned hystart_samples = 8;
constexpr Duration hystart_ack_gap = milliseconds(2);

double in_s(Duration time) {
  return std::chrono::duration<double>(time).count();
}

/// How much an aggregating path may delay acknowledgements: what a 64 KiB burst, four times over,
/// takes at the rate of slow start, at most 1 ms.
Duration hystart_ack_delay(const TcpWindow& window) {
  if (window.srtt == Duration{}) return Duration{};
  const double rate = 2.0 * window.cwnd * window.mss / in_s(window.srtt);
  const double delay_s = std::min(1e-3, 4 * 65536 / rate);
  return Duration(static_cast<Duration::rep>(delay_s * 1e9));
}

}  // namespace

void TcpCubic::start(TcpWindow& window) {
  begin_round(window);
}

void TcpCubic::begin_round(const TcpWindow& window) {
  round_began_ = train_ = window.now;
  round_end_ = window.next;
  round_rtt_ = Duration::max();
  round_samples_ = 0;
}

std::uint32_t TcpCubic::ssthresh(TcpWindow& window) {
  epoch_ = never;
  cwnd_at_loss_ = window.cwnd;
  // Fast convergence (RFC 9438 §4.7): a flow that lost ground releases more.
  const double cwnd = window.cwnd;
  w_max_ = cwnd < w_max_ ? cwnd * (1 + beta) / 2 : cwnd;
  return std::max(static_cast<std::uint32_t>(cwnd * beta), 2u);
}

std::uint32_t TcpCubic::undo(const TcpWindow& window) {
  return std::max(window.cwnd, cwnd_at_loss_);
}

void TcpCubic::state_changes(TcpWindow& window, TcpState state) {
  if (state != TcpState::loss) return;
  const std::uint32_t kept = cwnd_at_loss_;
  *this = {};
  cwnd_at_loss_ = kept;
  begin_round(window);
}

void TcpCubic::transmission_starts(TcpWindow& window) {
  // The curve must not have grown while nothing was sent.
  const Duration idle = window.now - sent_last_;
  if (epoch_ != never && idle > Duration{}) epoch_ = std::min(epoch_ + idle, window.now);
}

void TcpCubic::acked(TcpWindow& window, Duration rtt) {
  sent_last_ = window.now;
  // Right after a recovery delays say little.
  if (epoch_ != never && window.now - epoch_ < seconds(1)) return;
  delay_min_ = std::min(delay_min_, std::max<Duration>(rtt, microseconds(1)));
  if (!found_ && window.slow_start() && window.cwnd >= hystart_window_min) hystart(window, rtt);
}

void TcpCubic::hystart(TcpWindow& window, Duration rtt) {
  if (window.una > round_end_) begin_round(window);
  if (window.now - train_ <= hystart_ack_gap) {
    train_ = window.now;
    // A train of acknowledgements as long as half the round trip fills the path one way.
    const Duration enough = (delay_min_ + hystart_ack_delay(window)) / 2;
    if (window.now - round_began_ > enough) found_ = true;
  }
  round_rtt_ = std::min(round_rtt_, rtt);
  if (round_samples_ < hystart_samples) {
    ++round_samples_;
  } else {
    const Duration margin = std::clamp<Duration>(delay_min_ / 8, milliseconds(4), milliseconds(16));
    if (round_rtt_ > delay_min_ + margin) found_ = true;
  }
  if (found_) window.ssthresh = window.cwnd;
}

void TcpCubic::grow(TcpWindow& window, std::uint32_t acked) {
  if (!window.cwnd_limited) return;
  if (window.slow_start()) {
    const std::uint32_t taken = std::min(acked, window.ssthresh - window.cwnd);
    window.cwnd += taken, acked -= taken;
    if (acked == 0) return;
  }
  const auto every =
      std::max<std::uint32_t>(1, static_cast<std::uint32_t>(acks_per_segment(window, acked)));
  if (window.cwnd_count >= every) window.cwnd_count = 0, ++window.cwnd;
  window.cwnd_count += acked;
  if (window.cwnd_count >= every) {
    window.cwnd += window.cwnd_count / every;
    window.cwnd_count %= every;
  }
}

/// How many segments have to be acknowledged for the window to grow by one.
double TcpCubic::acks_per_segment(const TcpWindow& window, std::uint32_t acked) {
  const double cwnd = window.cwnd;
  reno_acks_ += acked;
  const bool same = cwnd_then_ == window.cwnd && window.now - updated_ <= milliseconds(31);
  if (epoch_ != never && same) return acks_per_segment_;
  if (epoch_ == never || window.now - updated_ >= milliseconds(1)) {
    cwnd_then_ = window.cwnd, updated_ = window.now;
    if (epoch_ == never) {
      epoch_ = window.now;
      reno_acks_ = acked, reno_cwnd_ = cwnd;
      origin_ = std::max(w_max_, cwnd);
      k_s_ = std::cbrt((origin_ - cwnd) / c);
    }
    const Duration delay = delay_min_ == Duration::max() ? Duration{} : delay_min_;
    const double t = in_s(window.now - epoch_ + delay) - k_s_;
    const double target = origin_ + c * t * t * t;
    acks_per_segment_ = target > cwnd ? cwnd / (target - cwnd) : 100 * cwnd;
    // At first, when no maximum is known, grow by 5 % a round trip at least.
    if (w_max_ == 0) acks_per_segment_ = std::min(acks_per_segment_, 20.0);
  }
  const double reno_every = cwnd * std::floor(8 * (1 + beta) / 3 / (1 - beta)) / 8;
  while (reno_acks_ > reno_every) reno_acks_ -= reno_every, reno_cwnd_ += 1;
  if (reno_cwnd_ > cwnd)
    acks_per_segment_ = std::min(acks_per_segment_, cwnd / (reno_cwnd_ - cwnd));
  acks_per_segment_ = std::max(acks_per_segment_, 2.0);
  return acks_per_segment_;
}

}  // namespace mwtun::test
