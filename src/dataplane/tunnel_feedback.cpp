// What the acknowledgements say: fate of datagrams, round trips, delivery rate; and what follows
// for the chunks that were lost: repair on another link, or giving up and saying so.
#include <algorithm>
#include <utility>

#include "base/planted.hpp"
#include "base/prefetch.hpp"
#include "dataplane/inner_headers.hpp"
#include "dataplane/tunnel.hpp"

namespace mwtun {

/// A link is one queue until it shows otherwise: what was overtaken is lost (RFC 9002 6.1.1 has 3,
/// for paths that nothing is known of).
static constexpr std::uint32_t reorder_threshold_min = 1;
static constexpr std::uint32_t reorder_threshold_max = 1024;
/// A century in a Duration; only a peer that makes its times up comes so far.
static constexpr std::uint64_t arrival_units_max = UINT64_C(1) << 47;
static constexpr std::uint32_t lossy_enter_ppm = 250'000;
static constexpr std::uint32_t lossy_leave_ppm = 100'000;

bool Tunnel::handle_ack(Link& came_on, Bytes body, Instant received, Instant now) {
  const std::optional<wire::AckKey> key = wire::read_ack_key(body);
  if (!key) return false;
  Link* about = link(key->link);
  if (planted(Fault::ack_credited_to_another_link)) about = &came_on;
  LinkSpace* space = about != nullptr ? about->space(key->epoch) : nullptr;
  if (space == nullptr) return true;  // Of a link or a key that is gone.
  wire::Ack ack;
  if (!wire::read_ack(body, space->sent.next_number(), ack)) return false;
  Link& l = *about;
  SentLog& sent = space->sent;
  const std::uint64_t largest = ack.ranges[0].last;
  const bool newly = sent.contains(largest) && sent[largest].fate == SentDatagram::Fate::in_flight;
  if (newly && sent[largest].eliciting && &came_on == &l &&
      sent[largest].sent >= std::max(rtt_valid_from_, l.path_since)) {
    l.rtt.sample(received - sent[largest].sent, wire::stamp_duration(ack.delay_units), now);
    views_stale_ = true;
  }
  for (std::size_t i = 0; i < ack.range_count; ++i) {
    for (std::uint64_t n = std::max(ack.ranges[i].first, sent.base()); n <= ack.ranges[i].last;
         ++n) {
      prefetch_contents(sent, n);
      acknowledge(l, *space, n, now);
    }
  }
  steer_rate(l, sent, ack, now);
  sent.note_acknowledged(largest);
  detect_losses(l, now);
  trim_logs(l, *space, now);
  judge_loss(l, now);
  wait_for_oldest(l);
  views_stale_ = true;
  return true;
}

/// The arrival times are by the receiver's clock; the first is of the newest arrival.
void Tunnel::steer_rate(Link& l, const SentLog& sent, const wire::Ack& ack, Instant now) {
  const std::uint64_t largest = ack.ranges[0].last;
  if (ack.arrival_count == 0 || largest < ack.arrivals[0].below) return;
  const std::uint64_t newest = largest - ack.arrivals[0].below;
  // Of the path there was before, or of a number that was never acknowledged: says nothing.
  const bool arrived_here = sent.contains(newest) && sent[newest].sent >= l.path_since &&
                            sent[newest].fate == SentDatagram::Fate::acknowledged;
  if (!arrived_here) return;
  // All links of a session count the peer's time from the same beginning.
  Flow& flow = *flow_;
  const std::uint64_t elapsed = flow.arrival_told == Instant{}
                                    ? 0
                                    : wire::stamp_units(now) - wire::stamp_units(flow.arrival_told);
  const std::uint64_t arrived =
      wire::expand(flow.arrival_units + elapsed, ack.arrivals[0].stamp_low, 24);
  if (arrived > arrival_units_max) return;
  RateFeedback feedback;
  feedback.delay = Duration::max();
  for (std::size_t i = 0; i < ack.arrival_count; ++i) {
    if (largest < ack.arrivals[i].below) continue;
    const std::uint64_t number = largest - ack.arrivals[i].below;
    if (!sent.contains(number) || sent[number].sent < l.path_since) continue;
    const std::uint64_t at = wire::expand(arrived, ack.arrivals[i].stamp_low, 24);
    const Duration came{static_cast<std::int64_t>(at) * wire::stamp_unit_ns};
    feedback.delay = std::min(feedback.delay, came - sent[number].sent.time_since_epoch());
  }
  if (arrived > flow.arrival_units) flow.arrival_units = arrived, flow.arrival_told = now;
  feedback.sent = sent[newest].sent;
  feedback.sent_bytes = sent[newest].sent_bytes;
  feedback.starved_bytes = sent[newest].starved_bytes;
  feedback.paused_us = sent[newest].paused_us;
  feedback.delivered_bytes = l.delivered_bytes;
  feedback.sent_bytes_now = l.sent_bytes;
  feedback.arrived = Duration{static_cast<std::int64_t>(arrived) * wire::stamp_unit_ns};
  feedback.rtt = l.rtt.smoothed();
  feedback.rtt_variance = l.rtt.variance();
  feedback.datagram_bytes = l.mtu.size();
  l.rate.feedback(feedback, now);
}

/// Of those that come after `number`: first where their list stands, then the chunk in it.
void Tunnel::prefetch_contents(const SentLog& sent, std::uint64_t number) const {
  constexpr std::uint64_t near = 4, far = 8;
  if (!sent.contains(number + far)) return;
  if (const std::uint32_t at = sent[number + far].contents; at != ContentPool::none) {
    prefetch(std::as_const(flow_->contents)[at]);
  }
  const std::uint32_t at = sent[number + near].contents;
  if (at == ContentPool::none) return;
  const Content& content = std::as_const(flow_->contents)[at];
  if (content.kind == Content::Kind::chunk) prefetch(std::as_const(flow_->out)[content.value]);
}

void Tunnel::acknowledge(Link& l, LinkSpace& space, std::uint64_t number, Instant now) {
  SentDatagram& sent = space.sent[number];
  if (sent.fate == SentDatagram::Fate::acknowledged || sent.fate == SentDatagram::Fate::none)
    return;
  const bool was_lost = sent.fate == SentDatagram::Fate::lost;
  sent.fate = SentDatagram::Fate::acknowledged;
  const bool eliciting = sent.eliciting;
  if (was_lost) {
    // The link reorders more than we thought.
    ++l.counters.lost_falsely;
    l.loss.take_back();
    const std::uint64_t distance = space.sent.largest_acknowledged() - number;
    if (distance + 1 > l.reorder_threshold && distance < reorder_threshold_max) {
      l.reorder_threshold = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(distance + distance / 4 + 1, reorder_threshold_max));
      l.reorder_learnt = now;
    }
  } else {
    if (eliciting) l.bytes_in_flight -= sent.bytes;
    l.loss.add(false, now);
    judge_gso(l, number, false);
  }
  l.delivered_bytes += sent.bytes;
  l.delivered_meter.add(sent.bytes, now);
  const std::uint32_t bytes = sent.bytes;
  const bool probe = sent.mtu_probe;
  for (std::uint32_t at = sent.contents; at != ContentPool::none;) {
    const Content content = flow_->contents[at];
    flow_->contents.free(at);
    at = content.next;
    if (content.kind == Content::Kind::chunk) {
      OutChunk& chunk = flow_->out[content.value];
      if (!was_lost) --chunk.flights;
      flow_->out.acknowledge(content.value);
      flow_->out.release(content.value);
    } else if (content.kind == Content::Kind::floor) {
      flow_->out.floor_acknowledged(
          {LaneId{static_cast<std::uint16_t>(content.value)}, content.sequence});
    } else if (content.kind == Content::Kind::settings) {
      flow_->settings_acknowledged = true;
    }
  }
  sent.contents = ContentPool::none;
  if (probe) {
    if (l.mtu.probe_acknowledged(bytes, now)) datagram_size_changed(l);
  } else {
    l.mtu.acknowledged(bytes);
  }
  if (eliciting) link_answered(l, now);
}

void Tunnel::detect_losses(Link& l, Instant now) {
  l.loss_deadline = never;
  for (LinkSpace& space : l.spaces) {
    if (space.used) detect_loss(l, space, now);
  }
}

/// Packet threshold and time threshold of RFC 9002 section 6.1.
void Tunnel::detect_loss(Link& l, LinkSpace& space, Instant now) {
  SentLog& sent = space.sent;
  if (!sent.any_acknowledged()) return;
  if (l.reorder_threshold > reorder_threshold_min && now - l.reorder_learnt > seconds(10)) {
    l.reorder_threshold = std::max(reorder_threshold_min, l.reorder_threshold / 2);
    l.reorder_learnt = now;
  }
  const Duration base = std::max(l.rtt.smoothed(), l.rtt.latest());
  const Duration time_threshold = std::max<Duration>(base * 9 / 8, milliseconds(2));
  const std::uint64_t largest = sent.largest_acknowledged();
  bool settled = true;
  for (std::uint64_t n = sent.unsettled(); n < largest; ++n) {
    if (sent[n].fate == SentDatagram::Fate::in_flight) {
      const bool by_number = n + l.reorder_threshold <= largest;
      if (by_number || sent[n].sent + time_threshold <= now) {
        lose(l, space, n, sent[n].sent >= l.loss_from, now);
      } else {
        l.loss_deadline = std::min(l.loss_deadline, sent[n].sent + time_threshold);
        settled = false;
      }
    }
    if (settled) sent.settle_below(n + 1);
  }
}

/// @param counts  the network lost it, which says something of the link
void Tunnel::lose(Link& l, LinkSpace& space, std::uint64_t number, bool counts, Instant now) {
  SentDatagram& sent = space.sent[number];
  if (sent.fate != SentDatagram::Fate::in_flight) return;
  sent.fate = SentDatagram::Fate::lost;
  if (sent.eliciting) l.bytes_in_flight -= sent.bytes;
  views_stale_ = true;
  if (sent.mtu_probe) {
    l.mtu.probe_lost(sent.bytes, now);
  } else if (counts) {
    ++l.counters.lost;
    l.loss.add(true, now);
    judge_gso(l, number, true);
    if (l.mtu.lost(sent.bytes, now)) datagram_size_changed(l);
  }
  for (std::uint32_t at = sent.contents; at != ContentPool::none; at = flow_->contents[at].next) {
    const Content& content = flow_->contents[at];
    if (content.kind == Content::Kind::chunk) {
      OutChunk& chunk = flow_->out[content.value];
      --chunk.flights;
      if (chunk.resolved) continue;
      if (chunk.flights > 0 && !left_to_suspects(chunk, l)) continue;
      if (!counts) chunk.free_repair = true;
      queue_repair(content.value);
    } else if (content.kind == Content::Kind::floor) {
      flow_->out.floor_lost({LaneId{static_cast<std::uint16_t>(content.value)}, content.sequence});
    } else if (content.kind == Content::Kind::traffic_class) {
      flow_->classes_to_send |= std::uint32_t{1} << content.value;
    } else if (content.kind == Content::Kind::join && l.validated) {
      join_again(l, now);
    }
  }
}

/// What the link is waited for since: the oldest thing still on its way.
void Tunnel::wait_for_oldest(Link& l) {
  if (l.waiting_since == never) return;
  const SentLog& sent = l.current().sent;
  for (std::uint64_t n = sent.unsettled(); n < sent.next_number(); ++n) {
    if (sent[n].fate != SentDatagram::Fate::in_flight || !sent[n].eliciting) continue;
    l.waiting_since =
        std::clamp(sent[n].sent, std::min(std::max(rtt_valid_from_, resumed_), l.last_progress),
                   l.last_progress);
    return;
  }
}

void Tunnel::judge_gso(Link& l, std::uint64_t number, bool lost) {
  if (l.gso.settled(number, lost)) push_event({.kind = Event::Kind::gso_given_up, .link = l.id});
}

void Tunnel::judge_loss(Link& l, Instant now) {
  if (l.state == LinkState::up && l.loss.ppm() >= lossy_enter_ppm) {
    set_state(l, LinkState::lossy, LinkReason::high_loss, now);
  } else if (l.state == LinkState::lossy && l.loss.ppm() < lossy_leave_ppm) {
    set_state(l, LinkState::up, LinkReason::validated, now);
  }
}

void Tunnel::queue_repair(ChunkIndex index) {
  OutChunk& chunk = flow_->out[index];
  if (chunk.queued || chunk.resolved) return;
  chunk.queued = true;
  flow_->out.hold(index);
  flow_->repair.push(index, wire::lane_ordered(chunk.lane));
}

/// Whether the copies that are still under way, after one was lost, are on links that are suspect,
/// as far as is known: only the newest copy's link is.
bool Tunnel::left_to_suspects(const OutChunk& chunk, const Link& lost_on) const {
  if (chunk.link != lost_on.id) return link(chunk.link)->suspect;
  bool any = false;
  each_link([&](const Link& x) { any |= &x != &lost_on && x.suspect; });
  return any;
}

/// The link is suspect: what it has not acknowledged goes again on the others, if there are any.
void Tunnel::requeue_unacknowledged(Link& l, Requeue what) {
  if (!any_link_helps()) return;
  for (LinkSpace& space : l.spaces) {
    if (!space.used) continue;
    for (std::uint64_t n = space.sent.unsettled(); n < space.sent.next_number(); ++n) {
      const SentDatagram& sent = space.sent[n];
      if (sent.fate != SentDatagram::Fate::in_flight) continue;
      for (std::uint32_t at = sent.contents; at != ContentPool::none;
           at = flow_->contents[at].next) {
        const Content& content = flow_->contents[at];
        if (content.kind != Content::Kind::chunk) continue;
        OutChunk& chunk = flow_->out[content.value];
        if (chunk.link != l.id || chunk.flights > 1) continue;  // A copy is on its way already.
        chunk.free_repair = true;
        if (what == Requeue::all || repair_worth_it(chunk, now_)) queue_repair(content.value);
      }
    }
  }
}

void Tunnel::give_up(ChunkIndex index) {
  const LaneId lane = flow_->out[index].lane;
  const bool unfinished = flow_->out.give_up_frame(index);
  drops_.add(Drop::repair_given_up);
  if (unfinished && cutting_.active && cutting_.offset > 0 && cutting_.lane.lane == lane)
    cutting_ = {};
}

/// Of a super-frame only the piece is lost, when the peer learns in time how long it was. A frame
/// in one piece is lost with it.
void Tunnel::give_up_piece(ChunkIndex index) {
  OutChunk& chunk = flow_->out[index];
  if (chunk.hole || !chunk.of_super_frame || (chunk.first && chunk.last)) return give_up(index);
  chunk.hole = true;
  // The headers alone are needed again; a large slab is too much to keep for nothing.
  if (!chunk.first) chunk.slab.reset();
  drops_.add(Drop::piece_given_up);
}

wire::Hole Tunnel::hole_of(const OutChunk& chunk) {
  wire::Hole hole{.lane = chunk.lane,
                  .sequence_low = static_cast<std::uint32_t>(chunk.sequence & 0xffffff),
                  .first = chunk.first,
                  .last = chunk.last,
                  .bytes = chunk.size,
                  .headers = {}};
  if (!chunk.first) return hole;
  hole.gso_bytes = chunk.offload.gso_bytes;
  const Bytes piece(chunk.slab.data() + chunk.offset, chunk.size);
  const std::optional<InnerHeaders> headers = find_headers(piece);
  hole.headers = piece.first(headers ? headers->payload_at : 0);
  return hole;
}

/// What a chunk needs of a datagram at least, when it goes again.
std::size_t Tunnel::bytes_of(const OutChunk& chunk) {
  if (chunk.hole) return wire::hole_bytes + (chunk.first ? 2 + hole_of(chunk).headers.size() : 0);
  return chunk.size + wire::rest_chunk_header_bytes +
         (chunk.offload.plain() ? std::size_t{0} : wire::offload_bytes);
}

void Tunnel::forget_contents(SentDatagram& sent) {
  for (std::uint32_t at = sent.contents; at != ContentPool::none;) {
    const Content content = flow_->contents[at];
    flow_->contents.free(at);
    at = content.next;
    if (content.kind == Content::Kind::chunk) flow_->out.release(content.value);
  }
  sent.contents = ContentPool::none;
}

void Tunnel::trim_logs(Link& l, LinkSpace& space, Instant now) {
  // A lost datagram may be acknowledged later for as long as the link may reorder.
  const Duration kept = std::max<Duration>(milliseconds(200), 2 * l.rtt.smoothed());
  space.sent.trim(now - kept, [this](SentDatagram& sent) { forget_contents(sent); });
}

/// How long a lane waits for a hole: until whatever the sender may still do must have come. The
/// hole's chunk may have gone by the slowest link (the spread of the delays), be missed there after
/// a round trip of that link, and come again by the best. All as it is now, with the queues that
/// stand in the lines.
Duration Tunnel::backstop(Instant now) const {
  Duration best = Duration::max(), worst{};
  std::int64_t earliest = INT64_MAX, latest = INT64_MIN;
  each_link([&](const Link& l) {
    if (!l.delay.recent(now)) return;
    earliest = std::min(earliest, l.delay.min());
    latest = std::max(latest, l.delay.peak());
    const Duration queue = wire::stamp_duration(l.delay.peak() - l.delay.min());
    const Duration trip = std::max(l.rtt.smoothed(), l.rtt.min() + queue);
    best = std::min(best, trip);
    worst = std::max(worst, trip);
  });
  if (best == Duration::max()) return milliseconds(250);
  const Duration spread = wire::stamp_duration(latest - earliest);
  return spread + worst + std::max<Duration>(best, milliseconds(50)) + milliseconds(90);
}

}  // namespace mwtun
