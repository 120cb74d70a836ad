// The part of TcpSender that measures round trips and waits: timeouts (RFC 6298) and tail probes
// (RFC 8985 §7).
#include <algorithm>

#include "support/tcp_sender.hpp"

namespace mwtun::test {
namespace {

constexpr Duration rto_min = milliseconds(200), rto_max = seconds(120);
constexpr Duration timer_grain = milliseconds(4);  // A kernel's tick.

}  // namespace

/// As Linux estimates it: the variation is kept four-fold, falls slowly and is never below 200 ms.
void TcpSender::measure_rtt(Duration rtt) {
  rtt = std::max<Duration>(rtt, microseconds(1));
  if (window_.srtt == Duration{}) {
    window_.srtt = rtt;
    mdev_ = 2 * rtt;
    rttvar_ = mdev_max_ = std::max(mdev_, rto_min);
    rttvar_round_ = window_.next;
  } else {
    Duration error = rtt - window_.srtt;
    window_.srtt += error / 8;
    if (error < Duration{}) {
      error = -error - mdev_ / 4;
      if (error > Duration{}) error /= 8;
    } else {
      error -= mdev_ / 4;
    }
    mdev_ += error;
    if (mdev_ > mdev_max_) {
      mdev_max_ = mdev_;
      rttvar_ = std::max(rttvar_, mdev_max_);
    }
    if (window_.una > rttvar_round_) {
      if (mdev_max_ < rttvar_) rttvar_ -= (rttvar_ - mdev_max_) / 4;
      rttvar_round_ = window_.next;
      mdev_max_ = rto_min;
    }
  }
  rto_ = std::min(window_.srtt + rttvar_, rto_max);
}

Instant TcpSender::due() const {
  return std::min({timer_at_, pacing_at_, application_at_});
}

void TcpSender::timeout(Instant now) {
  window_.now = now;
  if (timer_at_ <= now) {
    timer_at_ = never;
    switch (timer_) {
      case Timer::none: break;
      case Timer::syn: connect(now); break;
      case Timer::retransmit: retransmit_timeout(now); break;
      case Timer::probe: send_probe(now); break;
      case Timer::reorder: reorder_timeout(now); break;
    }
  }
  if (std::min(pacing_at_, application_at_) <= now) transmit(now);
}

void TcpSender::set_timer(Instant now) {
  if (!arm_probe(now)) arm_retransmit(now);
}

void TcpSender::arm_retransmit(Instant now) {
  if (window_.next == window_.una) {
    timer_ = Timer::none, timer_at_ = never;
    return;
  }
  const bool instead = timer_ == Timer::reorder || timer_ == Timer::probe;
  const Instant since = instead ? at(window_.una).sent : now;
  timer_ = Timer::retransmit;
  timer_at_ = std::max(since + rto_, now + microseconds(1));
}

bool TcpSender::arm_probe(Instant now) {
  if (window_.next == window_.una || probe_high_ != none) return false;
  if (window_.state != TcpState::open && window_.state != TcpState::cwr) return false;
  Duration wait = window_.srtt == Duration{} ? Duration(seconds(1)) : 2 * window_.srtt;
  wait += window_.next - window_.una == 1 ? rto_min : 2 * timer_grain;
  timer_ = Timer::probe;
  timer_at_ = std::min(now + wait, std::max(at(window_.una).sent + rto_, now + microseconds(1)));
  return true;
}

void TcpSender::send_probe(Instant now) {
  timer_ = Timer::retransmit;
  if (probe_high_ == none && window_.next > window_.una) {
    ++counters_.probes;
    const bool fresh =
        window_.next < available(now) && window_.next - window_.una < receive_window_;
    if (send_segment(fresh ? window_.next : window_.next - 1, now)) {
      probe_high_ = window_.next;
      probe_repeated_ = !fresh;
    }
  }
  timer_ = Timer::none;
  arm_retransmit(now);
}

}  // namespace mwtun::test
