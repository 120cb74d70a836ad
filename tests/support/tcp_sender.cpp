#include "support/tcp_sender.hpp"

#include <algorithm>

namespace mwtun::test {
namespace {

constexpr std::uint32_t cwnd_initial = 10;

std::size_t ring_size(std::uint64_t segments) {
  std::size_t size = 64;
  while (size < segments) size *= 2;
  return size;
}

}  // namespace

TcpSender::TcpSender(FrameNet& net, Side at, std::uint16_t flow, TcpNumbers numbers,
                     const TcpOptions& options, Instant start)
    : net_(net),
      at_(at),
      flow_(flow),
      numbers_(numbers),
      options_(options),
      congestion_(make_congestion(options.congestion, options.seed)),
      segments_(ring_size(options.window_bytes / options.mss + 64)) {
  window_.mss = options.mss;
  receive_window_ = options.window_bytes / options.mss;
  timer_ = Timer::syn, timer_at_ = start;
  rate_bps_ = options.rate_bps, rate_since_ = start;
}

TcpSender::~TcpSender() = default;

void TcpSender::connect(Instant now) {
  TcpFields syn;
  syn.flow = flow_, syn.from = at_;
  syn.syn = true;
  syn.ece = syn.cwr = options_.ecn;
  syn.sequence = numbers_.first - 1;
  syn.window = 0xffff;
  syn.stamp = tcp_clock_ms(now);
  const MutableBytes room = net_.room(at_);
  if (!room.empty()) net_.send(at_, put_tcp(syn, room));
  sent_last_ = now;
  timer_at_ = now + std::min(seconds(1) * (1 << std::min(backoff_, 6u)), seconds(64));
  ++backoff_;
}

void TcpSender::connected(const TcpFields& f, Instant now) {
  established_ = true;
  ecn_on_ = options_.ecn && f.ece;
  timer_ = Timer::none, timer_at_ = never;
  if (backoff_ == 1) {
    window_.rtt_min = now - sent_last_;
    measure_rtt(now - sent_last_);
  }
  backoff_ = 0;
  window_.delivered_at = sample_began_ = now;
  congestion_->start(window_);
  transmit(now);
}

std::uint64_t TcpSender::available(Instant now) const {
  if (rate_bps_ == 0) return none;
  const double bytes =
      std::chrono::duration<double>(now - rate_since_).count() * static_cast<double>(rate_bps_) / 8;
  return rate_from_ + static_cast<std::uint64_t>(std::max(bytes, 0.0)) / numbers_.mss;
}

void TcpSender::set_rate(std::uint64_t payload_bps, Instant now) {
  rate_bps_ = payload_bps;
  rate_since_ = now, rate_from_ = window_.next;
  window_.now = now;
  transmit(now);
}

void TcpSender::list(std::uint64_t number) {
  Segment& segment = at(number);
  segment.before = newest_sent_, segment.after = none;
  if (newest_sent_ != none) at(newest_sent_).after = number;
  newest_sent_ = number;
  if (oldest_sent_ == none) oldest_sent_ = number;
  segment.listed = true;
}

void TcpSender::unlist(std::uint64_t number) {
  Segment& segment = at(number);
  if (!segment.listed) return;
  (segment.before == none ? oldest_sent_ : at(segment.before).after) = segment.after;
  (segment.after == none ? newest_sent_ : at(segment.after).before) = segment.before;
  segment.listed = false;
}

/// False when the host's own device has no room.
bool TcpSender::send_segment(std::uint64_t number, Instant now) {
  const MutableBytes room = net_.room(at_);
  if (room.empty()) {
    ++counters_.refused;
    return false;
  }
  const bool fresh = number == window_.next;
  Segment& segment = at(number);
  if (fresh) {
    if (window_.next == window_.una) {
      sample_began_ = window_.delivered_at = now;
      congestion_->transmission_starts(window_);
    }
    segment = {};
    ++window_.next;
  } else {
    unlist(number);
    segment.ever_repeated = true;
    ++counters_.retransmitted;
  }
  segment.sent = now;
  segment.first_sent = sample_began_, segment.delivered_at = window_.delivered_at;
  segment.delivered = window_.delivered;
  segment.app_limited = window_.app_limited != 0;
  segment.sampled = false;
  list(number);
  TcpFields f;
  f.flow = flow_, f.from = at_;
  f.ack = true, f.acknowledged = 1;
  f.sequence = numbers_.on_wire(number);
  f.window = 0xffff;
  f.stamp = tcp_clock_ms(now), f.stamp_echo = stamp_echoed_;
  f.payload_bytes = static_cast<std::uint16_t>(numbers_.mss);
  f.mark = tcp_mark(flow_, number);
  f.ecn_capable = ecn_on_ && fresh;
  f.cwr = ecn_on_ && fresh && tell_reduced_;
  if (fresh) tell_reduced_ = false;
  ++counters_.segments;
  if (reducing()) ++prr_out_;
  sent_last_ = now;
  net_.send(at_, put_tcp(f, room));
  if (window_.pacing_rate > 0) {
    const auto gap = Duration(static_cast<Duration::rep>(1e9 * numbers_.mss / window_.pacing_rate));
    const Duration credit = std::min(gap / 2, pacing_credit_);
    pacing_credit_ -= credit;
    window_.next_send = std::max(window_.next_send, now) + gap - credit;
    --burst_left_;
  }
  return true;
}

/// A paced connection sends in bursts of a millisecond's worth, as segmentation offload makes them.
bool TcpSender::pacing_allows(Instant now) {
  if (window_.pacing_rate <= 0 || burst_left_ > 0) return true;
  if (window_.next_send > now) {
    pacing_at_ = window_.next_send;
    return false;
  }
  pacing_credit_ = window_.next_send == Instant{} ? Duration{} : now - window_.next_send;
  const double bytes = std::min(window_.pacing_rate / 1024, 65535.0);
  burst_left_ = std::max<std::int64_t>(static_cast<std::int64_t>(bytes / numbers_.mss), 2);
  return true;
}

void TcpSender::transmit(Instant now) {
  if (!established_) return;
  pacing_at_ = application_at_ = never;
  burst_left_ = 0;
  restart_after_idle(now);
  // What is lost goes first, lowest number first.
  while (lost_out_ > repeated_out_ && in_flight() < window_.cwnd) {
    repeat_hint_ = std::max(repeat_hint_, window_.una);
    while (repeat_hint_ < window_.next && !(at(repeat_hint_).lost && !at(repeat_hint_).repeated)) {
      ++repeat_hint_;
    }
    if (repeat_hint_ == window_.next) break;
    if (!pacing_allows(now)) return;
    if (!send_segment(repeat_hint_, now)) return;
    at(repeat_hint_).repeated = true;
    ++repeated_out_;
    undo_repeats_ = std::max<std::int64_t>(undo_repeats_, 0) + 1;
    if (repeat_stamp_ == 0) repeat_stamp_ = tcp_clock_ms(now);
    if (repeat_hint_ == window_.una && timer_ != Timer::reorder) arm_retransmit(now);
    if (timer_ == Timer::none) arm_retransmit(now);
  }
  const std::uint64_t given = available(now);
  bool sent = false;
  while (in_flight() < window_.cwnd && window_.next < given &&
         window_.next - window_.una < receive_window_) {
    if (!pacing_allows(now)) break;
    const bool first = window_.next == window_.una;
    if (!send_segment(window_.next, now)) break;
    sent = true;
    if (first || timer_ == Timer::probe) arm_retransmit(now);
  }
  const bool limited = in_flight() >= window_.cwnd;
  if (sent || limited) note_cwnd_use(limited);
  if (sent) arm_probe(now);
  if (window_.next >= given && !limited && lost_out_ <= repeated_out_) {
    window_.app_limited = std::max<std::uint64_t>(window_.delivered + in_flight(), 1);
  }
  if (given != none && window_.next >= given) {
    const double wait_s = static_cast<double>((given + 1 - rate_from_) * numbers_.mss) * 8 /
                          static_cast<double>(rate_bps_);
    application_at_ =
        std::max(rate_since_ + Duration(static_cast<Duration::rep>(wait_s * 1e9)) + microseconds(1),
                 now + microseconds(10));
  }
}

/// RFC 7661's concern, the way Linux has it: only a window that is used may grow.
void TcpSender::note_cwnd_use(bool limited) {
  const std::uint64_t out = window_.next - window_.una;
  if (window_.una >= cwnd_use_until_ || limited || (!cwnd_limited_ && out > max_out_)) {
    cwnd_limited_ = limited;
    max_out_ = out;
    cwnd_use_until_ = window_.next;
  }
}

void TcpSender::restart_after_idle(Instant now) {
  if (window_.next != window_.una || congestion_->decides_alone()) return;
  Duration idle = now - sent_last_;
  if (idle <= rto_) return;
  const std::uint32_t restart = std::min(window_.cwnd, cwnd_initial);
  window_.ssthresh = std::max(window_.ssthresh, window_.cwnd * 3 / 4);
  for (idle -= rto_; idle > Duration{} && window_.cwnd > restart; idle -= rto_) window_.cwnd /= 2;
  window_.cwnd = std::max(window_.cwnd, restart);
  sent_last_ = now;
}

// --- acknowledgements ---------------------------------------------------------------------------

void TcpSender::acknowledgement(const TcpFields& f, Instant now) {
  window_.now = now;
  if (!established_) {
    if (f.syn && f.ack && backoff_ > 0) connected(f, now);
    return;
  }
  const std::uint64_t acked = numbers_.segment(f.acknowledged, window_.una);
  if (f.syn || !f.ack || acked > window_.next) return;
  Progress p;
  p.prior_una = window_.una;
  p.prior_delivered = window_.delivered, p.prior_lost = window_.lost;
  p.prior_in_flight = in_flight();
  p.prior_highest = std::max(highest_sacked_, window_.una);
  p.mark = ecn_on_ && f.ece;
  stamp_echoed_ = f.stamp_echo;
  receive_window_ = (std::uint64_t{f.window} << tcp_window_shift) / numbers_.mss;
  apply_blocks(f, acked, p, now);
  if (acked > window_.una) acknowledge_up_to(acked, p, now);

  // Karn's rule: what was sent twice measures nothing.
  Duration rtt = -Duration{1}, newest_rtt = -Duration{1};
  if (p.first_acked != Instant{} && !p.repeated_acked) {
    rtt = now - p.first_acked, newest_rtt = now - p.last_acked;
  }
  if (p.first_sacked != Instant{}) {
    if (rtt < Duration{}) rtt = now - p.first_sacked;
    newest_rtt = now - p.last_sacked;
  }
  if (newest_rtt >= Duration{}) window_.rtt_min = std::min(window_.rtt_min, newest_rtt);
  if (rtt >= Duration{}) measure_rtt(rtt);
  if (p.una_advanced) backoff_ = 0;
  window_.in_flight = in_flight();
  if (newest_rtt >= Duration{}) congestion_->acked(window_, newest_rtt);
  rack_adapt(p);
  if (probe_high_ != none) process_probe_answer(acked, p);
  const bool plain = p.una_advanced && !p.data_sacked && !p.mark && !p.duplicate_seen &&
                     window_.state == TcpState::open;
  if (!plain) judge(p, now);
  const bool head_is_older =
      rtt >= Duration{} && window_.next > window_.una && rtt > now - at(window_.una).sent;
  if ((p.una_advanced || head_is_older) && !p.keep_timer) set_timer(now);

  const auto delivered = static_cast<std::uint32_t>(window_.delivered - p.prior_delivered);
  const auto lost = static_cast<std::uint32_t>(window_.lost - p.prior_lost);
  window_.in_flight = in_flight();
  const RateSample sample = finish_sample(p, newest_rtt, now);
  if (congestion_->decides_alone()) {
    congestion_->control(window_, sample);
  } else if (reducing()) {
    reduce(delivered, lost, p.una_advanced);
  } else if (p.una_advanced || (reordering_ > 3 && p.data_sacked)) {
    window_.cwnd_limited = cwnd_limited_ || (window_.slow_start() && window_.cwnd < 2 * max_out_);
    congestion_->grow(window_, delivered);
  }
  transmit(now);
}

void TcpSender::apply_blocks(const TcpFields& f, std::uint64_t acked, Progress& p, Instant now) {
  std::array<SegmentRange, 3> ranges{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < f.block_count; ++i) {
    ranges[count].begin = numbers_.segment(f.blocks[i].begin, window_.una);
    ranges[count].end = numbers_.segment(f.blocks[i].end, window_.una);
    if (ranges[count].begin < ranges[count].end && ranges[count].end <= window_.next) ++count;
  }
  std::size_t first = 0;
  if (count > 0) {
    const SegmentRange& r = ranges[0];
    const bool duplicate =
        r.end <= acked || (count > 1 && r.begin >= ranges[1].begin && r.end <= ranges[1].end);
    if (duplicate) {
      first = 1;
      p.duplicate_seen = true;
      // A probe that was not needed says nothing of reordering.
      const bool of_probe = probe_high_ != none && r.end == probe_high_;
      if (reordering_seen_ && !of_probe) rack_duplicate_ = true;
      if (undo_from_ != none && undo_repeats_ > 0 && r.end <= p.prior_una && r.end > undo_from_) {
        undo_repeats_ =
            std::max<std::int64_t>(0, undo_repeats_ - static_cast<std::int64_t>(r.end - r.begin));
      }
    }
  }
  const auto begin = ranges.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = ranges.begin() + static_cast<std::ptrdiff_t>(count);
  std::sort(begin, std::max(begin, end),
            [](const SegmentRange& a, const SegmentRange& b) { return a.begin < b.begin; });
  for (auto range = begin; range < end; ++range) {
    for (std::uint64_t number = std::max(range->begin, window_.una); number < range->end;) {
      // The last acknowledgement's blocks were dealt with.
      std::uint64_t skip = number;
      for (const SegmentRange& seen : blocks_seen_) {
        if (number >= seen.begin && number < seen.end) skip = seen.end;
      }
      if (skip == number) sack(number, p, now), ++skip;
      number = skip;
    }
  }
  if (first < count) {
    blocks_seen_ = {};
    std::copy(begin, end, blocks_seen_.begin());
  }
  if (p.reordered_from != none && (window_.state != TcpState::loss || undo_from_ != none)) {
    note_reordering(p.reordered_from, highest_sacked_);
  }
}

void TcpSender::sack(std::uint64_t number, Progress& p, Instant now) {
  Segment& segment = at(number);
  if (segment.sacked) return;
  rack_advance(segment, number, now);
  if (segment.lost) segment.lost = false, --lost_out_;
  if (segment.repeated) segment.repeated = false, --repeated_out_;
  if (!segment.ever_repeated) {
    if (number + 1 < highest_sacked_) p.reordered_from = std::min(p.reordered_from, number);
    if (number < high_) p.original_delivered = true;
    if (p.first_sacked == Instant{}) p.first_sacked = segment.sent;
    p.last_sacked = segment.sent;
  }
  segment.sacked = true;
  ++sacked_out_;
  ++window_.delivered;
  highest_sacked_ = std::max(highest_sacked_, number + 1);
  p.data_sacked = true;
  sample_rate(segment, p);
  unlist(number);
}

void TcpSender::acknowledge_up_to(std::uint64_t number, Progress& p, Instant now) {
  std::uint64_t reordered = none;
  for (; window_.una < number; ++window_.una) {
    Segment& segment = at(window_.una);
    if (segment.ever_repeated) {
      p.repeated_acked = true;
      if (segment.repeated) --repeated_out_;
    } else if (!segment.sacked) {
      if (p.first_acked == Instant{}) p.first_acked = segment.sent;
      p.last_acked = segment.sent;
      reordered = std::min(reordered, window_.una);
      if (window_.una < high_) p.original_delivered = true;
    }
    if (segment.sacked) {
      --sacked_out_;
    } else {
      ++window_.delivered;
      rack_advance(segment, window_.una, now);
    }
    if (segment.lost) --lost_out_;
    sample_rate(segment, p);
    unlist(window_.una);
  }
  p.una_advanced = true;
  if (reordered < p.prior_highest) note_reordering(reordered, p.prior_highest);
  highest_sacked_ = std::max(highest_sacked_, window_.una);
  repeat_hint_ = std::max(repeat_hint_, window_.una);
}

void TcpSender::sample_rate(Segment& segment, Progress& p) {
  if (segment.sampled) return;
  segment.sampled = true;
  const bool newer = p.sample_delivered == none || segment.delivered > p.sample_delivered ||
                     (segment.delivered == p.sample_delivered && segment.sent >= p.sample_sent);
  if (!newer) return;
  p.sample_delivered = segment.delivered;
  p.sample_at = segment.delivered_at;
  p.sample_app_limited = segment.app_limited;
  p.sample_sent = segment.sent;
  p.sample_send_interval = segment.sent - segment.first_sent;
  sample_began_ = segment.sent;
}

RateSample TcpSender::finish_sample(const Progress& p, Duration rtt, Instant now) {
  if (window_.app_limited != 0 && window_.delivered > window_.app_limited) window_.app_limited = 0;
  RateSample sample;
  sample.newly_delivered = static_cast<std::uint32_t>(window_.delivered - p.prior_delivered);
  sample.losses = static_cast<std::uint32_t>(window_.lost - p.prior_lost);
  sample.prior_in_flight = p.prior_in_flight;
  sample.ack_delayed = p.prior_in_flight == 1;
  if (rtt >= Duration{}) sample.rtt = rtt;
  if (sample.newly_delivered > 0) window_.delivered_at = now;
  if (p.sample_delivered == none) return sample;
  sample.prior_delivered = p.sample_delivered;
  sample.app_limited = p.sample_app_limited;
  sample.interval = std::max(p.sample_send_interval, now - p.sample_at);
  // Acknowledged sooner than the path allows: the sample is of no use.
  if (sample.interval < window_.rtt_min) return sample;
  sample.delivered = static_cast<std::int64_t>(window_.delivered - p.sample_delivered);
  return sample;
}

}  // namespace mwtun::test
