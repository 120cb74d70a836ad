// The half of TcpSender that decides what is lost and what follows from it.
#include <algorithm>

#include "support/tcp_sender.hpp"

namespace mwtun::test {
namespace {

constexpr std::uint32_t reordering_max = 300;
constexpr unsigned rack_steps_max = 255, rack_persist = 16;
constexpr Duration rto_most = seconds(120);

}  // namespace

void TcpSender::rack_advance(const Segment& segment, std::uint64_t number, Instant now) {
  const bool later =
      segment.sent > rack_sent_ || (segment.sent == rack_sent_ && number + 1 > rack_number_);
  if (rack_sent_ != Instant{} && !later) return;
  const Duration rtt = now - segment.sent;
  // Perhaps it was the first copy that arrived.
  if (segment.ever_repeated && rtt < window_.rtt_min) return;
  rack_rtt_ = rtt;
  rack_sent_ = segment.sent;
  rack_number_ = number + 1;
  rack_advanced_ = true;
}

Duration TcpSender::rack_window() const {
  if (!reordering_seen_ && (window_.state >= TcpState::recovery || sacked_out_ >= reordering_)) {
    return {};
  }
  if (window_.rtt_min == Duration::max()) return milliseconds(1);
  return std::min(window_.rtt_min / 4 * rack_steps_, window_.srtt);
}

/// Marks what is overdue; gives how long until all else of what was sent before the newest
/// delivered segment is.
Duration TcpSender::rack_detect(Instant now) {
  const Duration tolerance = rack_window();
  Duration longest{};
  for (std::uint64_t number = oldest_sent_; number != none;) {
    Segment& segment = at(number);
    const std::uint64_t after = segment.after;
    if (!segment.lost || segment.repeated) {
      const bool before_newest =
          rack_sent_ > segment.sent || (rack_sent_ == segment.sent && rack_number_ > number + 1);
      if (!before_newest) break;
      const Duration left = rack_rtt_ + tolerance - (now - segment.sent);
      if (left <= Duration{}) {
        mark_lost(number);
        unlist(number);
      } else {
        longest = std::max(longest, left);
      }
    }
    number = after;
  }
  return longest;
}

/// True when a timer is set to look again.
bool TcpSender::rack_mark_lost(Instant now) {
  if (!rack_advanced_) return false;
  rack_advanced_ = false;
  const Duration left = rack_detect(now);
  if (left == Duration{}) return false;
  timer_ = Timer::reorder;
  timer_at_ = now + left + milliseconds(2);
  return true;
}

void TcpSender::reorder_timeout(Instant now) {
  const std::uint32_t before = in_flight();
  const std::uint64_t lost_before = window_.lost;
  rack_detect(now);
  if (window_.lost != lost_before || before != in_flight()) {
    if (window_.state != TcpState::recovery) {
      enter_recovery();
      if (!congestion_->decides_alone()) reduce(1, 0, false);
    }
    transmit(now);
  }
  if (timer_ != Timer::retransmit) arm_retransmit(now);
}

/// Duplicates mean that the tolerance is too small; after 16 recoveries without any it starts anew.
void TcpSender::rack_adapt(const Progress& p) {
  if (p.sample_delivered != none && p.sample_delivered < rack_last_delivered_) {
    rack_duplicate_ = false;  // Not a round trip since the last change.
  }
  if (rack_duplicate_) {
    rack_steps_ = std::min(rack_steps_ + 1, rack_steps_max);
    rack_duplicate_ = false;
    rack_last_delivered_ = window_.delivered;
    rack_persist_ = rack_persist;
  } else if (rack_persist_ == 0) {
    rack_steps_ = 1;
  }
}

void TcpSender::note_reordering(std::uint64_t from, std::uint64_t highest) {
  if (from >= highest) return;
  const std::uint64_t distance = highest - from;
  if (distance > reordering_) {
    reordering_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(distance, reordering_max));
  }
  reordering_seen_ = true;
}

void TcpSender::mark_lost(std::uint64_t number) {
  Segment& segment = at(number);
  if (segment.sacked) return;
  repeat_hint_ = std::min(repeat_hint_, number);
  if (segment.lost && !segment.repeated) return;
  ++window_.lost;
  if (segment.lost) {
    --repeated_out_;  // The repetition, too.
    segment.repeated = false;
  } else {
    segment.lost = true;
    ++lost_out_;
  }
}

void TcpSender::set_state(TcpState state) {
  if (state <= TcpState::cwr) repeat_stamp_ = 0;
  congestion_->state_changes(window_, state);
  window_.state = state;
}

void TcpSender::begin_undo() {
  undo_from_ = window_.una;
  undo_repeats_ = repeated_out_ > 0 ? static_cast<std::int64_t>(repeated_out_) : -1;
}

void TcpSender::enter_reduction(TcpState state) {
  high_ = window_.next;
  probe_high_ = none;
  window_.cwnd_count = 0;
  prior_cwnd_ = window_.cwnd;
  prr_delivered_ = prr_out_ = 0;
  window_.ssthresh = congestion_->ssthresh(window_);
  tell_reduced_ = true;
  set_state(state);
}

void TcpSender::enter_recovery() {
  ++counters_.recoveries;
  repeat_stamp_ = 0;
  prior_ssthresh_ = 0;
  begin_undo();
  if (reducing()) return set_state(TcpState::recovery);
  prior_ssthresh_ = current_ssthresh();
  enter_reduction(TcpState::recovery);
}

std::uint32_t TcpSender::current_ssthresh() const {
  if (reducing()) return window_.ssthresh;
  return std::max(window_.ssthresh, window_.cwnd / 2 + window_.cwnd / 4);
}

void TcpSender::end_reduction(bool was_cwr) {
  if (congestion_->decides_alone()) return;
  if (window_.ssthresh < TcpWindow::unlimited && (was_cwr || undo_from_ != none)) {
    window_.cwnd = window_.ssthresh;
  }
}

void TcpSender::enter_loss() {
  const bool anew = window_.state < TcpState::recovery;
  if (anew) repeat_stamp_ = 0;
  for (std::uint64_t number = window_.una; number < window_.next; ++number) mark_lost(number);
  if (window_.state <= TcpState::disorder || high_ <= window_.una ||
      (window_.state == TcpState::loss && backoff_ == 0)) {
    prior_ssthresh_ = current_ssthresh();
    prior_cwnd_ = window_.cwnd;
    window_.ssthresh = congestion_->ssthresh(window_);
    begin_undo();
  }
  window_.cwnd = in_flight() + 1;
  window_.cwnd_count = 0;
  if (window_.state <= TcpState::disorder && sacked_out_ >= reordering_) {
    reordering_ = std::min(reordering_, 3u);
  }
  set_state(TcpState::loss);
  high_ = window_.next;
  probe_high_ = none;
  tell_reduced_ = true;
  frto_ = anew || backoff_ > 0;
}

void TcpSender::retransmit_timeout(Instant now) {
  if (window_.next == window_.una) {
    timer_ = Timer::none;
    return;
  }
  ++counters_.timeouts;
  enter_loss();
  ++backoff_;
  rto_ = std::min(2 * rto_, rto_most);
  timer_ = Timer::none;
  window_.next_send = std::min(window_.next_send, now);
  transmit(now);
  arm_retransmit(now);
}

/// RFC 6937 with the slow-start reduction bound, and Linux's extra segment when all goes well.
void TcpSender::reduce(std::uint32_t newly_delivered, std::uint32_t newly_lost, bool una_advanced) {
  if (newly_delivered == 0 || prior_cwnd_ == 0) return;
  prr_delivered_ += newly_delivered;
  const std::int64_t out = in_flight();
  const std::int64_t spare = static_cast<std::int64_t>(window_.ssthresh) - out;
  std::int64_t send = 0;
  if (spare < 0) {
    const std::uint64_t share =
        (std::uint64_t{window_.ssthresh} * prr_delivered_ + prior_cwnd_ - 1) / prior_cwnd_;
    send = static_cast<std::int64_t>(share) - prr_out_;
  } else {
    send = std::max<std::int64_t>(static_cast<std::int64_t>(prr_delivered_) - prr_out_,
                                  newly_delivered);
    if (una_advanced && newly_lost == 0) ++send;
    send = std::min(send, spare);
  }
  send = std::max<std::int64_t>(send, prr_out_ > 0 ? 0 : 1);  // The first repetition goes at once.
  window_.cwnd = static_cast<std::uint32_t>(std::max<std::int64_t>(out + send, 1));
}

/// Eifel (RFC 3522): the answer is to the first copy, so the repetition was not needed.
bool TcpSender::stamped_before_repetition() const {
  return repeat_stamp_ != 0 && stamp_echoed_ != 0 &&
         static_cast<std::int32_t>(stamp_echoed_ - repeat_stamp_) < 0;
}

bool TcpSender::may_undo() const {
  return undo_from_ != none && (undo_repeats_ == 0 || stamped_before_repetition());
}

void TcpSender::undo_reduction(bool unmark_losses) {
  ++counters_.undone;
  if (unmark_losses) {
    for (std::uint64_t number = window_.una; number < window_.next; ++number) {
      Segment& segment = at(number);
      segment.lost = false;
      if (!segment.listed && !segment.sacked) list(number);
    }
    lost_out_ = 0;
  }
  if (prior_ssthresh_ != 0) {
    window_.cwnd = congestion_->undo(window_);
    window_.ssthresh = std::max(window_.ssthresh, prior_ssthresh_);
  }
  undo_from_ = none;
  rack_advanced_ = true;
}

void TcpSender::try_to_open(bool mark) {
  if (mark && window_.state < TcpState::cwr) {
    ++counters_.marks;
    prior_ssthresh_ = 0, undo_from_ = none;
    enter_reduction(TcpState::cwr);
  }
  if (window_.state == TcpState::cwr) return;
  const TcpState state = sacked_out_ + lost_out_ > 0 ? TcpState::disorder : TcpState::open;
  if (state != window_.state) {
    set_state(state);
    high_ = window_.next;
  }
}

/// What was acknowledged repairs nothing that was lost: the cut was a mistake.
bool TcpSender::undo_by_duplicates() {
  if (undo_from_ == none || undo_repeats_ != 0) return false;
  rack_persist_ = std::min(rack_persist_ + 1, rack_persist);
  undo_reduction(false);
  return true;
}

void TcpSender::leave_recovery() {
  if (may_undo()) {
    undo_reduction(false);
  } else if (rack_persist_ > 0) {
    --rack_persist_;
  }
  set_state(TcpState::open);
}

/// The state machine: called for every acknowledgement that is not plain progress.
void TcpSender::judge(Progress& p, Instant now) {
  if (p.mark) prior_ssthresh_ = 0;
  if (window_.state != TcpState::open && window_.una >= high_) {
    if (window_.state == TcpState::cwr && window_.una != high_) {
      end_reduction(true);
      set_state(TcpState::open);
    } else if (window_.state == TcpState::recovery) {
      leave_recovery();
      end_reduction(false);
    }
  }
  const auto identify = [&] {
    const std::uint32_t repeated_before = repeated_out_;
    if (rack_mark_lost(now)) p.keep_timer = true;
    return repeated_out_ < repeated_before;
  };
  if (window_.state == TcpState::recovery) {
    if (p.una_advanced && undo_from_ != none && stamped_before_repetition()) {
      note_reordering(p.prior_una, highest_sacked_);
      if (repeated_out_ > 0) return;
      undo_reduction(true);
      return try_to_open(false);
    }
    if (undo_by_duplicates()) try_to_open(p.mark);
    identify();
    if (window_.state == TcpState::recovery) return;
  } else if (window_.state == TcpState::loss) {
    judge_timeout_state(p);
    const bool lost_again = identify();
    if (window_.state != TcpState::open && !lost_again) return;
  } else {
    if (window_.state <= TcpState::disorder) undo_by_duplicates();
    identify();
  }
  if (lost_out_ == 0) return try_to_open(p.mark);
  enter_recovery();
}

void TcpSender::judge_timeout_state(const Progress& p) {
  const auto undo = [&] {
    undo_reduction(true);
    backoff_ = 0;
    set_state(TcpState::open);
  };
  if (p.una_advanced && may_undo()) return undo();
  // F-RTO (RFC 5682 §3.1, step 3b): data that was never repeated arrived, so not all was lost.
  if (frto_ && p.original_delivered) return undo();
  if (window_.next > high_ && p.data_sacked) frto_ = false;
  if (window_.una >= high_) leave_recovery();
}

void TcpSender::process_probe_answer(std::uint64_t acked, const Progress& p) {
  if (acked < probe_high_) return;
  if (!probe_repeated_ || p.duplicate_seen) {
    probe_high_ = none;
  } else if (acked > probe_high_) {
    // The probe repaired the only loss there was: it counts all the same (RFC 8985 §7.4).
    if (window_.state == TcpState::open || window_.state == TcpState::disorder) {
      prior_ssthresh_ = 0;
      enter_reduction(TcpState::cwr);
      end_reduction(true);
      set_state(TcpState::open);
      try_to_open(false);
    }
    probe_high_ = none;
  } else if (!p.una_advanced && !p.data_sacked) {
    probe_high_ = none;
  }
}

}  // namespace mwtun::test
