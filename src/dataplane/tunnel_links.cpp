// What the links are doing and when something is due: joining, validation, silence, probing, keys.
#include <algorithm>

#include "base/planted.hpp"
#include "dataplane/tunnel.hpp"

namespace mwtun {

static constexpr Duration join_interval = milliseconds(250);
static constexpr Duration join_interval_late = seconds(1);
static constexpr Duration join_patience = seconds(3);
static constexpr Duration ping_pause = milliseconds(20);
static constexpr Duration heard_lately = milliseconds(100);
static constexpr Duration standstill_least = milliseconds(200);
static constexpr Duration probe_interval_suspect = milliseconds(100);
static constexpr Duration probe_interval_down = milliseconds(200);
static constexpr Duration probe_interval_down_late = seconds(1);
static constexpr Duration probe_interval_down_metered = seconds(10);
static constexpr Duration probe_interval_held = milliseconds(100);
static constexpr Duration probe_interval_lossy = milliseconds(200);
static constexpr Duration probe_interval_idle = milliseconds(1400);
static constexpr Duration probe_interval_idle_metered = seconds(25);
static constexpr Duration probe_grid = milliseconds(100);
static constexpr Duration eager = seconds(10);  // How long the short intervals last.
static constexpr Duration candidate_lifetime = seconds(5);
static constexpr Duration candidate_interval = seconds(1);
static constexpr Duration challenge_interval = milliseconds(500);
static constexpr Duration blocked_for = milliseconds(1);
static constexpr Duration late_loop = milliseconds(20);
static constexpr Duration repair_retry = milliseconds(5);

void Tunnel::set_state(Link& l, LinkState state, LinkReason reason, Instant now) {
  if (l.state == state && l.reason == reason) return;
  Event event{.kind = Event::Kind::link_changed, .link = l.id};
  event.state_before = l.state;
  event.state = state;
  event.reason = reason;
  event.path = l.path;
  const bool carried = l.carries();
  if (l.state != state) l.since = now;
  l.state = state;
  l.reason = reason;
  if (!carried && l.carries()) {
    ++l.times_up;
    l.loss = LossMeter{};
    l.loss_from = now;
    l.hold.came_back(now, l.rtt.smoothed());
    if (l.hold.time() > Duration{0}) {
      const auto held_s = static_cast<std::uint32_t>(l.hold.time() / seconds(1));
      push_event({.kind = Event::Kind::link_held, .link = l.id, .value = held_s});
    }
  }
  if (carried && !l.carries()) {
    ++l.times_down;
    const bool failed = reason == LinkReason::silent || reason == LinkReason::send_error ||
                        reason == LinkReason::no_path || reason == LinkReason::peer_no_path;
    if (failed) l.hold.went_down(now);
  }
  views_stale_ = true;
  push_event(event);
}

void Tunnel::reset_link_spaces(Link& l) {
  l.spaces[0] = LinkSpace{};
  l.spaces[1] = LinkSpace{};
  l.bytes_in_flight = 0;
  l.waiting_since = l.next_join = l.next_probe = l.loss_deadline = never;
  l.suspect = l.want_ping = l.want_join = false;
  l.answer_count = 0;
  l.probe_bytes = 0;
  l.candidate_made = Instant::min();
  l.delay = DelayMeter{};
  l.rate.path_changed();
  views_stale_ = true;
}

/// What tells of a link that is up was lost. One that is being joined is told of again anyway.
void Tunnel::join_again(Link& l, Instant now) {
  l.next_join = std::min(l.next_join, now + join_interval);
}

void Tunnel::begin_join(Link& l, Instant now) {
  entropy_.fill(l.challenge);
  l.validated = false;
  l.want_join = true;
  l.join_began = now;
  l.next_join = now + join_interval;
  l.mtu.restart(l.interface_mtu, l.path.remote.header_bytes(), now);
  set_state(l, LinkState::probing, LinkReason::joining, now);
}

void Tunnel::set_link_path(LinkId id, const Path& path, std::uint32_t mtu, Instant now) {
  Link* l = index_of(id) < links_max ? link(id) : nullptr;
  if (l == nullptr) return;
  // What does not fit a slab cannot be opened.
  const auto slab_mtu = static_cast<std::uint32_t>(slabs_.slab_bytes());
  mtu = std::clamp<std::uint32_t>(mtu, 1280, std::min<std::uint32_t>(slab_mtu, datagram_bytes_max));
  if (l->has_path && l->path == path && l->interface_mtu == mtu) return;
  l->path = path;
  l->has_path = true;
  l->interface_mtu = mtu;
  l->rtt.reset();
  l->rate.path_changed();
  l->pacer = {};
  l->path_since = now;
  l->gso = GsoCheck{};
  l->blocked_until = {};
  views_stale_ = true;
  if (session_) {
    flow_->gone_to_send.remove(id);
    begin_join(*l, now);
  } else {
    set_state(*l, LinkState::down, LinkReason::no_session, now);
  }
  after_input(now);
}

void Tunnel::clear_link_path(LinkId id, Instant now) {
  Link* l = index_of(id) < links_max ? link(id) : nullptr;
  if (l == nullptr) return;
  if (session_) {
    if (l->carries()) flow_->gone_to_send.add(id);
    link_silent(*l, LinkReason::no_path, now);
  }
  l->has_path = l->validated = false;
  l->next_join = l->next_probe = never;
  l->want_join = l->want_ping = false;
  l->probe_bytes = 0;
  set_state(*l, LinkState::down, LinkReason::no_path, now);
  after_input(now);
}

/// The link delivered something that its end answered.
void Tunnel::link_answered(Link& l, Instant now) {
  // One acknowledgement that was late is no standstill.
  const bool revives = !any_link_helps();
  if (revives && now - last_alive_ >= standstill_least) resumed_ = now;
  l.last_progress = now;
  l.hold.answered();
  l.waiting_since = l.bytes_in_flight > 0 ? now : never;
  if (l.suspect) {
    l.suspect = false;
    views_stale_ = true;
  }
  const bool up = l.state == LinkState::lossy || l.state == LinkState::up;
  if (!up && (!l.validated || !l.has_path)) return;
  if (!up) set_state(l, LinkState::up, LinkReason::validated, now);
  if (revives && l.helps()) {
    flow_->revived = true;
    each_link([&](Link& other) {
      if (other.state == LinkState::down) lose_in_flight(other, now);
    });
  }
  if (up) return;
  l.want_ping |= !l.rtt.known();
  l.next_probe = now + (l.hold.held() ? probe_interval_held : probe_interval_idle);
}

void Tunnel::lose_in_flight(Link& l, Instant now) {
  for (LinkSpace& space : l.spaces) {
    for (std::uint64_t n = space.sent.unsettled(); space.used && n < space.sent.next_number();
         ++n) {
      lose(l, space, n, false, now);
    }
    space.sent.settle_below(space.sent.next_number());
  }
}

/// Nothing comes back: what is on its way goes again elsewhere, and the link is probed. With no
/// elsewhere it may only be late: on a mobile line that stood still, all of it still comes.
void Tunnel::link_silent(Link& l, LinkReason reason, Instant now) {
  l.suspect = false;
  l.waiting_since = l.loss_deadline = never;
  set_state(l, LinkState::down, reason, now);
  if (any_link_helps() || reason != LinkReason::silent) lose_in_flight(l, now);
  l.probing_since = now;
  l.next_probe = now;
  flow_->proof.forget(l.id);
  refresh_views(now);
}

void Tunnel::make_candidate(Link& l, const Path& path, Instant now) {
  if (l.candidate_made != Instant::min() && now - l.candidate_made < candidate_interval) return;
  l.candidate_made = now;
  CandidatePath& candidate = l.candidate.emplace();
  candidate.path = path;
  entropy_.fill(candidate.challenge);
  candidate.since = now;
  candidate.want_challenge = true;
  candidate.next_challenge = now + challenge_interval;
  // The old one, if it still hears us, says so.
  if (l.has_path) l.want_ping = true;
}

void Tunnel::datagram_size_changed(Link& l) {
  push_event({.kind = Event::Kind::datagram_size_changed, .link = l.id, .value = l.mtu.size()});
}

void Tunnel::handle_send_error(const DatagramTag& tag, SendError error, Instant now) {
  Link* l = tag.data && session_ ? link(tag.link) : nullptr;
  LinkSpace* space = l != nullptr ? l->space(tag.epoch) : nullptr;
  if (space == nullptr || !space->sent.contains(tag.number)) return;
  ++l->counters.send_errors;
  drops_.add(Drop::send_failed);
  const std::uint32_t bytes = space->sent[tag.number].bytes;
  lose(*l, *space, tag.number, false, now);
  // What never left the host is not the line's loss.
  l->sent_bytes -= bytes;
  if (planted(Fault::number_reused_after_send_error) &&
      tag.number + 1 == space->sent.next_number()) {
    forget_contents(space->sent[tag.number]);
    space->sent.take_back_last();
  }
  // Whatever it was, the next try a moment later.
  l->blocked_until = now + blocked_for;
  bool no_way_out = error == SendError::unreachable || error == SendError::forbidden;
  switch (error) {
    case SendError::would_block:
    case SendError::unreachable:
    case SendError::forbidden: break;
    case SendError::too_big:
      if (l->mtu.too_big(bytes, now)) {
        datagram_size_changed(*l);
      } else if (bytes <= l->mtu.size()) {
        no_way_out = true;  // Not even what every IP link must carry.
      }
      break;
    case SendError::refused:
      // The peer's port is closed, or somebody says so: it raises suspicion, no more.
      if (l->carries() && !l->suspect) {
        l->suspect = true;
        l->next_probe = now + probe_interval_suspect;
        requeue_unacknowledged(*l, Requeue::all);
      }
      break;
  }
  if (no_way_out) {
    if (l->state != LinkState::down) {
      link_silent(*l, LinkReason::send_error, now);
      l->next_probe = now + probe_interval_down;
    }
    set_state(*l, LinkState::down, LinkReason::send_error, now);
  }
  after_input(now);
}

void Tunnel::handle_writable(SocketId socket, Instant now) {
  each_link([&](Link& l) {
    if (l.has_path && l.path.socket == socket) l.blocked_until = {};
  });
  after_input(now);
}

void Tunnel::close(Instant now) {
  if (!session_) return;
  drop_queue(Drop::session_ended_sending);
  each_link([&](Link& l) {
    if (l.has_path) closing_.add(l.id);
  });
  after_input(now);
}

// ---- Timers -----------------------------------------------------------------------------------

/// If our own loop was late (or the host slept), the peer's silence until now says nothing, and how
/// long its acknowledgements took says as little.
void Tunnel::notice_lateness(Instant now) {
  // What came in while we slept is taken one by one at the same time: the sleep counts once.
  const Duration late =
      deadline_ == never ? Duration{0} : now - std::max(deadline_, rtt_valid_from_);
  deadline_ = never;
  if (any_link_alive()) last_alive_ = now;
  if (late <= late_loop) return;
  rtt_valid_from_ = now;
  each_link([&](Link& l) {
    if (l.waiting_since != never) l.waiting_since += late;
  });
}

/// Before the first datagram after it is taken.
void Tunnel::note_silence(Instant now) {
  const Duration silence = now - (last_heard_ + heard_lately);
  if (silence > Duration{0}) flow_->in.excuse(silence, standstill_max);
}

/// The time that lanes wait for a hole by. It stands while nothing comes at all, as then what would
/// fill the hole has not come either; but not for ever.
Instant Tunnel::lane_clock(Instant now) const {
  return std::min(now, std::max(last_heard_ + heard_lately, now - standstill_max));
}

void Tunnel::handle_timeout(Instant now) {
  notice_lateness(now);
  if (!session_) return;
  if (!session_->expire(now)) {
    end_session(LinkReason::no_session, now);
    return;
  }
  each_link([&](Link& l) { link_timers(l, now); });
  flow_->in.expire(lane_clock(now), backstop(now));
  if (flow_->heads_deadline <= now) {
    flow_->heads_deadline = never;
    flow_->want_heads = true;
  }
  after_input(now);
}

void Tunnel::link_timers(Link& l, Instant now) {
  for (LinkSpace& space : l.spaces) {
    if (space.ack_deadline <= now) {
      space.ack_deadline = never;
      space.ack_now = true;
    }
  }
  if (l.blocked_until <= now) l.blocked_until = {};
  if (l.candidate) {
    if (now >= l.candidate->since + candidate_lifetime) {
      l.candidate.reset();
    } else if (now >= l.candidate->next_challenge) {
      l.candidate->want_challenge = true;
      l.candidate->next_challenge = now + challenge_interval;
    }
  }
  if (now >= l.next_join) {
    l.want_join = true;
    const Duration interval = now - l.join_began < eager ? join_interval : join_interval_late;
    l.next_join = l.validated ? never : now + interval;
    if (l.state == LinkState::probing && now - l.join_began >= join_patience) {
      set_state(l, LinkState::down, LinkReason::silent, now);
    }
  }
  if (now >= l.loss_deadline) detect_losses(l, now);
  if (!l.has_path || !l.validated) return;
  if (l.hold.ended(now)) views_stale_ = true;
  silence_timers(l, now);
  if (l.carries()) {
    if (const std::optional<std::uint32_t> size = l.mtu.probe_due(now)) l.probe_bytes = *size;
  }
}

/// Idle probes of all links fall on the same instants, so that an idle end wakes once for all.
static Instant on_grid(Instant at) {
  const Instant down{at.time_since_epoch() / probe_grid * probe_grid};
  return down;
}

void Tunnel::silence_timers(Link& l, Instant now) {
  if (!l.carries()) {
    if (now < l.next_probe) return;
    const bool fresh = now - l.probing_since < eager;
    const Duration late = l.config.metered ? probe_interval_down_metered : probe_interval_down_late;
    l.want_ping = true;
    l.next_probe = now + (fresh ? probe_interval_down : late);
    return;
  }
  if (l.waiting_since != never && now >= l.waiting_since + l.down_after()) {
    link_silent(l, LinkReason::silent, now);
    l.want_ping = true;
    l.next_probe = now + probe_interval_down;
    return;
  }
  if (l.waiting_since != never && !l.suspect && now >= l.waiting_since + l.suspect_after()) {
    l.suspect = true;
    views_stale_ = true;
    // Each answer undoes the suspicion, and the next may follow at once: not each with a PING.
    l.want_ping = now - l.last_eliciting >= ping_pause;
    l.next_probe = now + probe_interval_suspect;
    requeue_unacknowledged(l, Requeue::all);
    return;
  }
  if (now < l.next_probe) return;
  const Duration idle = l.config.metered ? probe_interval_idle_metered : probe_interval_idle;
  Duration interval = l.state == LinkState::lossy ? probe_interval_lossy : idle;
  if (l.hold.held()) interval = l.hold.proven() ? probe_interval_lossy : probe_interval_held;
  if (l.suspect) interval = probe_interval_suspect;
  if (now - l.last_eliciting >= interval - probe_grid) {
    l.want_ping = true;
    l.next_probe = on_grid(now + interval);
  } else {
    l.next_probe = on_grid(l.last_eliciting + interval);
  }
}

Instant Tunnel::link_deadline(const Link& l) const {
  Instant first =
      std::min({l.next_join, l.loss_deadline, l.spaces[0].ack_deadline, l.spaces[1].ack_deadline});
  if (l.blocked_until != Instant{}) first = std::min(first, l.blocked_until);
  if (l.candidate) {
    first = std::min({first, l.candidate->since + candidate_lifetime, l.candidate->next_challenge});
  }
  if (!l.has_path || !l.validated || planted(Fault::lost_timer)) return first;
  first = std::min(first, l.next_probe);
  if (!l.carries()) return first;
  first = std::min(first, l.mtu.deadline());
  if (l.hold.held() && l.hold.proven()) first = std::min(first, l.hold.until());
  if (l.waiting_since != never) {
    first = std::min(first, l.waiting_since + (l.suspect ? l.down_after() : l.suspect_after()));
  }
  return first;
}

Instant Tunnel::poll_timeout() const {
  Instant first = never;
  if (session_) {
    first = session_->next_expiry();
    each_link([&](const Link& l) { first = std::min(first, link_deadline(l)); });
    first = std::min(first, flow_->heads_deadline);
    if (flow_->in.blocked_lanes() > 0) {
      const Instant due = flow_->in.deadline(backstop(now_));
      // What is due already is no sign of our own lateness.
      first = std::min(
          first, due <= last_heard_ + heard_lately ? std::max(due, now_) : due + standstill_max);
    }
    if (!flow_->repair.empty() && any_carries_) first = std::min(first, now_ + repair_retry);
    if (any_carries_) first = std::min(first, std::max(next_send(), now_));
    if (!any_carries_ && (!flow_->queue.empty() || cutting_.active) && standing_still(now_)) {
      first = std::min(first, last_alive_ + standstill_max);
    }
  }
  deadline_ = first;
  return first;
}

void Tunnel::after_input(Instant now) {
  now_ = std::max(now_, now);
  quiet_at_ = never;
  if (!session_ || !flow_->revived) return;
  flow_->revived = false;
  // While there was no other link, nothing of theirs went again. What nobody waits for any more may
  // still come by itself.
  each_link([&](Link& l) {
    if (l.suspect) requeue_unacknowledged(l, Requeue::what_is_worth_it);
  });
}

}  // namespace mwtun
