#include "dataplane/tunnel.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "dataplane/queue_settings.hpp"
#include "dataplane/super_frame.hpp"

namespace mwtun {

static constexpr Duration joining_wait_max = milliseconds(500);
static constexpr std::size_t frame_bytes_min = 14;
static constexpr std::uint32_t frame_overhead_max = 14 + 8;  // Ethernet and two VLAN tags.
static constexpr std::uint32_t headers_max = 60;             // Of IP, and of TCP.
static constexpr std::size_t events_max = 256;
static constexpr Duration link_lost_settles = seconds(1);
static constexpr std::uint32_t loss_ppm_noticed = 1'000;
static constexpr std::uint64_t rate_unknown_bps = 10'000'000;

Tunnel::Tunnel(PeerId id, const PeerConfig& config, const NodeConfig& node, Entropy& entropy,
               SlabPool& slabs, Instant now)
    : id_(id),
      config_(config),
      limits_(node.limits),
      offload_(node.offload),
      entropy_(entropy),
      slabs_(slabs),
      scheduler_(config.scheduler),
      hash_fields_(config.hash_fields),
      joiner_(slabs),
      mtu_(config.mtu) {
  for (std::size_t i = 0; i < config.links.size() && i < links_max; ++i) {
    Link& l = make_link(LinkId{static_cast<std::uint8_t>(i)}, now);
    l.config = config.links[i];
  }
  classes_ = TrafficClasses(config.classes);
  make_class_schedulers();
}

Link& Tunnel::make_link(LinkId id, Instant now) {
  std::unique_ptr<Link>& place = links_[index_of(id)];
  place = std::make_unique<Link>();
  place->id = id;
  place->since = now;
  links_end_ = std::max(links_end_, index_of(id) + 1);
  views_stale_ = true;
  return *place;
}

void Tunnel::push_event(Event event) {
  event.peer = id_;
  if (events_.size() < events_max) events_.push_back(event);
}

void Tunnel::begin_session(SessionIndex local, SessionIndex remote, std::uint64_t features,
                           EpochKeys keys, Instant now) {
  if (session_) end_session(LinkReason::no_session, now);
  const std::uint8_t epoch = keys.epoch;
  session_.emplace(local, remote, features, std::move(keys), now);
  flow_ = std::make_unique<Flow>(limits_, slabs_, drops_, entropy_.u64());
  flow_->repair_budget_at = now;
  if (!spare_) spare_ = slabs_.take();
  if (config_.initiator) {
    flow_->classes_to_send = static_cast<std::uint32_t>((std::uint64_t{1} << classes_.size()) - 1);
  } else {
    classes_ = {};
    make_class_schedulers();
  }
  open_builders_ = 0;
  last_heard_ = now;
  session_began_ = now;
  push_event({.kind = Event::Kind::session_up});
  each_link([&](Link& l) {
    reset_link_spaces(l);
    l.current().epoch = epoch;
    l.current().used = true;
    if (l.has_path && config_.initiator) begin_join(l, now);
  });
  after_input(now);
}

void Tunnel::rotate_keys(EpochKeys keys, Instant now) {
  const std::uint8_t epoch = keys.epoch;
  session_->rotate(std::move(keys));
  each_link([&](Link& l) {
    // What is still unacknowledged under the key before the old one will never be: there is no key
    // to acknowledge it under.
    LinkSpace& oldest = l.spaces[1];
    for (std::uint64_t n = oldest.sent.unsettled(); oldest.used && n < oldest.sent.next_number();
         ++n) {
      if (oldest.sent[n].fate == SentDatagram::Fate::in_flight) lose(l, oldest, n, false, now);
    }
    trim_logs(l, oldest, now + seconds(3600));
    l.spaces[1] = std::move(l.spaces[0]);
    l.spaces[0] = LinkSpace{};
    l.current().epoch = epoch;
    l.current().used = true;
  });
  push_event({.kind = Event::Kind::session_rekeyed, .value = epoch});
  after_input(now);
}

void Tunnel::end_session(LinkReason reason, Instant now) {
  if (!session_) return;
  drop_queue(Drop::session_ended_sending);
  drops_.add(Drop::session_ended_sending, flow_->out.abandon_all());
  drops_.add(Drop::session_ended_receiving, flow_->in.held_frames());
  while (flow_->in.ready()) {
    flow_->in.take_ready();
    drops_.add(Drop::session_ended_receiving);
  }
  flow_.reset();
  session_.reset();
  rekey_at_ = never;
  each_link([&](Link& l) {
    reset_link_spaces(l);
    l.validated = false;
    l.candidate.reset();
    if (!config_.initiator) l.has_path = false;
    if (l.state != LinkState::down) set_state(l, LinkState::down, reason, now);
  });
  push_event({.kind = Event::Kind::session_down, .reason = reason});
  after_input(now);
}

static constexpr Duration unheard_after = milliseconds(500);

bool Tunnel::any_link_alive() const {
  bool any = false;
  each_link([&](const Link& l) { any |= l.carries() && !l.suspect; });
  return any;
}

bool Tunnel::any_link_helps() const {
  bool any = false;
  each_link([&](const Link& l) { any |= l.helps(); });
  return any;
}

bool Tunnel::unheard(Instant now) const {
  if (!session_) return true;
  return !any_link_alive() && now >= unheard_from();
}

Instant Tunnel::next_handshake() const {
  if (!session_) return never;
  if (any_link_alive()) return rekey_at_;
  return std::min(rekey_at_, unheard_from());
}

/// An idle peer is heard rarely: the probes of a link that is suspect get their time first.
Instant Tunnel::unheard_from() const {
  return std::max({last_heard_, session_began_, last_alive_}) + unheard_after;
}

bool Tunnel::rekey_due(Instant now) const {
  if (!session_) return false;
  const EpochKeys& keys = session_->current();
  return now >= rekey_at_ || keys.sealed >= rekey_after_datagrams ||
         keys.opened >= rekey_after_datagrams;
}

static std::size_t frame_bytes_max(const Frame& frame, std::uint16_t mtu) {
  return frame.offload.gso == Offload::Gso::none ? mtu + frame_overhead_max : super_frame_bytes_max;
}

/// What a segment of it is as a frame; 0 for ordinary frames.
static std::uint32_t segment_frame_bytes(const Frame& frame) {
  const Offload& offload = frame.offload;
  if (offload.gso == Offload::Gso::none) return 0;
  const bool udp = offload.gso == Offload::Gso::udp;
  const std::uint32_t header = udp ? 8 : frame.bytes()[offload.checksum_start + 12u] / 16u * 4;
  return offload.checksum_start + header + offload.gso_bytes;
}

bool Tunnel::frame_acceptable(Frame& frame) {
  if (frame.size < frame_bytes_min) {
    drops_.add(Drop::frame_too_short);
  } else if (!settle_offload(frame)) {
    drops_.add(Drop::frame_offload_bad);
  } else if (frame.size > frame_bytes_max(frame, mtu_)) {
    drops_.add(Drop::frame_too_long);
  } else {
    return true;
  }
  return false;
}

/// What the peer sent is authentic, and may be nonsense all the same.
bool Tunnel::frame_deliverable(Frame& frame) {
  const bool sound = frame.size >= frame_bytes_min && (takes_offload() || frame.offload.plain()) &&
                     rebuild_offload(frame) && frame.size <= frame_bytes_max(frame, mtu_) &&
                     segment_frame_bytes(frame) <= mtu_ + frame_overhead_max;
  if (!sound) drops_.add(Drop::bad_frame_received);
  return sound;
}

/// What may leave without a pause between: a ping behind it waits no longer than for a frame or two
/// of a slow line, or a millisecond of a fast one.
std::uint32_t Tunnel::train_bytes_max() const {
  const std::uint64_t bytes = rate_bps_ / 8 * 1'000 / 1'000'000;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, super_frame_bytes_max));
}

void Tunnel::handle_frame(Frame frame, Instant now) {
  ++frames_.frames_in;
  frames_.bytes_in += frame.size;
  if (!frame_acceptable(frame)) return;
  if (!session_) {
    drops_.add(Drop::no_session);
    return;
  }
  if (views_stale_) refresh_views(now);
  if (!any_carries_ && !joining(now) && !standing_still(now)) {
    drops_.add(Drop::no_usable_link);
    return;
  }
  Flow& flow = *flow_;
  const FlowIndex index = flow.flows.find(read_inner_flow(frame.bytes()), flow.queue, now);
  flow.class_of[index] = classes_.match(frame.bytes());
  const bool super = frame.offload.gso != Offload::Gso::none;
  // Headers longer than a HOLE can tell (IPv6 options) go with each segment.
  const bool told = frame.offload.checksum_start + headers_max <= wire::hole_headers_max;
  if (super && (!takes_offload() || !told)) return queue_in_parts(index, frame, 0, now);
  if (super && frame.size > train_bytes_max()) {
    // Two segments at least, as the frame's own sender does.
    const std::uint32_t least = 2u * frame.offload.gso_bytes + frame_overhead_max + 2 * headers_max;
    return queue_in_parts(index, frame, std::max(train_bytes_max(), least), now);
  }
  queue_frame(index, std::move(frame), now);
}

/// Of a super-frame, each part is a frame of its own from here on, and counts as one.
void Tunnel::queue_in_parts(FlowIndex index, const Frame& frame, std::uint32_t bytes_max,
                            Instant now) {
  const SuperFrameCutter cutter(frame, bytes_max);
  frames_.frames_in += cutter.parts() - 1;
  for (std::uint32_t i = 0; i < cutter.parts(); ++i) {
    std::optional<Frame> part = cutter.part(i, slabs_);
    if (!part) {
      drops_.add(Drop::queue_full);
    } else {
      queue_frame(index, std::move(*part), now);
    }
  }
}

void Tunnel::queue_frame(FlowIndex index, Frame frame, Instant now) {
  Flow& flow = *flow_;
  if (!takes_offload()) complete_checksum(frame);
  const std::uint64_t dropped = drops_.of(Drop::queue_full);
  flow.queue.push(index, std::move(frame), now, drops_);
  if (planted(Fault::sequence_before_aqm) && drops_.of(Drop::queue_full) != dropped) {
    flow.out.skip_sequence(flow.flows.look(index).lane);
  }
}

/// No link carries frames so far, but one may in a moment: what comes until then can wait for it.
/// The last link may only be late: what waits for it is kept for a moment.
bool Tunnel::standing_still(Instant now) const {
  bool silent = false;
  each_link([&](const Link& l) {
    silent |= l.has_path && l.state == LinkState::down && l.reason == LinkReason::silent;
  });
  return silent && now < last_alive_ + standstill_max;
}

bool Tunnel::joining(Instant now) const {
  bool found = false;
  each_link([&](const Link& l) {
    found |= l.state == LinkState::probing && now - l.since < joining_wait_max;
  });
  return found;
}

void Tunnel::drop_queue(Drop reason) {
  flow_->queue.clear(reason, drops_);
  if (cutting_.active && cutting_.offset == 0) drops_.add(reason);
  cutting_ = {};
}

std::optional<Frame> Tunnel::poll_frame() {
  while (!joiner_.ready() && flow_ && flow_->in.ready()) {
    Frame frame = flow_->in.take_ready();
    if (!frame_deliverable(frame)) continue;
    ++frames_.frames_out;
    frames_.bytes_out += frame.size;
    if (!config_.joins_frames || !joiner_.add(frame)) return frame;
  }
  // Nothing waits for what may come later.
  if (!joiner_.ready()) joiner_.flush();
  if (!joiner_.ready()) return std::nullopt;
  return joiner_.take_ready();
}

void Tunnel::refresh_views(Instant now) {
  views_.clear();
  any_carries_ = false;
  Duration nearest = Duration::max();
  bool comparable = true, some_known = false;
  each_link([&](Link& l) {
    l.rate.set_limit(config_.initiator ? l.config.rate_up_bps_max : l.config.rate_down_bps_max);
    views_.push_back(l.view(now));
    if (views_.back().tier == LinkTier::unusable) return;
    any_carries_ = true;
    comparable &= l.rate.delay_known();
    some_known |= l.rtt.known();
    nearest = std::min(nearest, l.rate.delay_base());
  });
  // Differences of one-way delays are true; half the round trip is a guess. Nothing is striped over
  // a link that has not answered yet while there is one that has.
  for (LinkView& view : views_) {
    const Link& l = *link(view.id);
    if (view.tier == LinkTier::unusable) continue;
    view.one_way = comparable ? l.rate.delay_base() - nearest : l.rtt.min() / 2;
    if (!l.rtt.known() && some_known) view.one_way = 2 * Scheduler::stripe_spread_max;
  }
  follow_links(now);
  update_schedulers(now);
  views_stale_ = false;
}

/// The queue's settings follow what the links are.
void Tunnel::follow_links(Instant now) {
  if (!flow_) return;
  LinksAbility all;
  double swing_bps = 0;
  const LinkSet striped = scheduler_.striped(views_);
  if (striped.empty()) return;  // What was right before still is, should they come back.
  each_link([&](const Link& l) {
    all.fewer |= l.carries() ? l.suspect : now - l.since < link_lost_settles;
    if (!striped.has(l.id)) return;
    const std::uint64_t bps = l.rate.proven()
                                  ? l.rate.pacing_bps()
                                  : std::max(rate_unknown_bps, 4 * l.delivered_meter.bps(now));
    const std::uint64_t peak_bps = std::max(bps, l.rate.peak_bps());
    all.slowest = std::max(all.slowest, l.rtt.smoothed());
    all.lossy |= l.loss.ppm() >= loss_ppm_noticed;
    all.measured &= l.rate.well_known();
    all.bps += bps, all.peak_bps += peak_bps;
    all.recent_bps += std::max(bps, l.rate.recent_bps());
    swing_bps += l.rate.swing() * static_cast<double>(peak_bps);
  });
  // What swings counts by its part of the whole.
  if (all.peak_bps > 0) all.swing = swing_bps / static_cast<double>(all.peak_bps);
  rate_bps_ = all.bps;
  const QueueSettings settings = queue_settings(all);
  flow_->queue.set_codel(settings.target, settings.interval);
  flow_->queue.set_bytes_max(settings.bytes_max);
}

std::vector<const Link*> Tunnel::links_with_path() const {
  std::vector<const Link*> found;
  each_link([&](const Link& l) {
    if (l.has_path) found.push_back(&l);
  });
  return found;
}

PeerReport Tunnel::report(Instant now) const {
  PeerReport report;
  report.id = id_;
  report.name = config_.name;
  report.session = session_.has_value();
  report.scheduler = scheduler_.kind();
  report.mtu = mtu_;
  report.observed = observed_;
  report.frames = frames_;
  report.frames.joined = joiner_.counters().frames;
  report.frames.super_frames_made = joiner_.counters().super_frames;
  report.drops = drops_;
  if (session_) {
    report.frames_queued = flow_->queue.size() + (cutting_.active ? 1 : 0);
    report.session_since = session_->since;
    report.key_since = session_->current().established;
    report.rekeys = session_->rekeys;
    report.cipher = session_->current().send.cipher();
    report.epoch = session_->epoch();
    report.frames_reordering = flow_->in.held_frames();
    report.bytes_held = flow_->in.held() * slabs_.slab_bytes();
    report.chunks_unacknowledged = flow_->out.unresolved();
  }
  each_link([&](const Link& l) {
    LinkReport& r = report.links.emplace_back();
    r.id = l.id;
    r.config = l.config;
    r.state = l.state;
    r.reason = l.reason;
    r.suspect = l.suspect;
    if (l.hold.time() > Duration{0}) r.held = std::max(l.hold.until() - now, Duration{0});
    r.since = l.since;
    if (l.has_path) r.path = l.path;
    r.rtt = l.rtt.smoothed();
    r.rtt_min = l.rtt.min();
    r.rtt_var = l.rtt.variance();
    r.loss_ppm = l.loss.ppm();
    r.delivered_bps = l.delivered_meter.bps(now);
    r.capacity_bps = l.rate.proven() ? l.rate.capacity_bps() : 0;
    r.pacing_bps = l.rate.pacing_bps();
    r.queue = l.rate.queue();
    r.contested = l.rate.contested(now);
    r.received_bps = l.received_meter.bps(now);
    r.datagram_bytes = l.mtu.size();
    r.bytes_in_flight = l.bytes_in_flight;
    r.times_up = l.times_up;
    r.times_down = l.times_down;
    r.counters = l.counters;
  });
  return report;
}

}  // namespace mwtun
