// From datagram to frames. Cheap checks first, then the tag, and only then does anything change:
// window, path, delays, chunks. What a peer that is who it says it is may still get wrong is
// bounded where it is used.
#include <algorithm>

#include "base/planted.hpp"
#include "dataplane/tunnel.hpp"

namespace mwtun {

static constexpr std::uint32_t unacknowledged_max = 32;
static constexpr Duration ack_delay = milliseconds(10);
static constexpr Duration gap_pause = milliseconds(1);

bool Tunnel::handle_data(const Path& path, const wire::DataHeader& header, Bytes datagram,
                         Instant received, Instant now) {
  EpochKeys* keys = session_->keys(header.epoch);
  if (keys == nullptr) return false;
  notice_lateness(now);
  if (!keys->may_open(now)) {
    drops_.add(Drop::key_expired);
    return true;
  }
  Link* l = link(header.link);
  if (l == nullptr && config_.initiator) {
    drops_.add(Drop::bad_link);
    return true;
  }
  // A link that is not known so far comes into being only after the tag was right.
  LinkSpace* space = l != nullptr ? l->space(header.epoch) : nullptr;
  const bool has_largest = space != nullptr && !space->received.empty();
  const std::uint64_t expected = has_largest ? space->received.largest() + 1 : 0;
  const std::uint64_t number = wire::expand(expected, header.number_low, 32);
  if (number >= wire::number_limit || (space != nullptr && !space->window.fresh(number))) {
    drops_.add(Drop::replayed);
    return true;
  }
  if (planted(Fault::commit_before_authentication) && space != nullptr)
    space->window.commit(number);
  const std::size_t content_bytes = datagram.size() - wire::header_bytes - wire::tag_bytes;
  if (content_bytes > slabs_.slab_bytes()) {
    drops_.add(Drop::datagram_malformed);
    return true;
  }
  SlabRef slab = slabs_.take();
  const bool spare = !slab;
  if (spare) slab = std::move(spare_);
  if (!slab) {
    drops_.add(Drop::out_of_slabs);
    return true;
  }
  const MutableBytes content(slab.data(), content_bytes);
  if (!keys->receive.open(wire::nonce_number(header.link, number),
                          datagram.first(wire::header_bytes), datagram.subspan(wire::header_bytes),
                          content)) {
    ++keys->failed;
    drops_.add(Drop::forged);
    if (spare) spare_ = std::move(slab);
    return true;
  }
  ++keys->opened;
  note_silence(now);
  last_heard_ = now;
  if (l == nullptr) {
    l = &make_link(header.link, now);
    l->current().epoch = session_->epoch();
    l->current().used = true;
    space = l->space(header.epoch);
  }
  if (space == nullptr) {  // The epoch before, on a link that is younger than the rekey.
    space = &l->spaces[1];
    *space = LinkSpace{};
    space->epoch = header.epoch;
    space->used = true;
  }
  space->window.commit(number);
  const bool newest = space->received.empty() || number > space->received.largest();
  // A link that keeps its order has lost what is missing here: the sender hears of it at once.
  const bool gap = newest && !space->received.empty() && number > space->received.largest() + 1;
  if (gap && flow_->proof.tolerance(l->id) == Duration{0} && now - space->gap_told >= gap_pause) {
    space->gap_told = now;
    space->ack_now = true;
  }
  received += l->standing_wait.seen(now - received, datagram.size(), now);
  space->received.add(number, wire::stamp_units(received));
  if (newest) space->received.note_largest_time(received);
  ++l->counters.datagrams_in;
  l->counters.bytes_in += datagram.size();
  l->received_meter.add(datagram.size(), now);
  note_path(*l, path, datagram.size(), newest && space == &l->current(), now);
  read_content(*l, path, slab, content, header.epoch, number, received, now);
  slab = {};
  if (!session_) return true;
  if (!spare_) refill_spare();
  after_input(now);
  return true;
}

/// What we keep for repair must not keep us from hearing that it is no longer needed.
void Tunnel::refill_spare() {
  spare_ = slabs_.take();
  // Super-frames are kept in other slabs, which are of no help.
  const auto helps = [this](ChunkIndex index) {
    const SlabRef& slab = flow_->out[index].slab;
    return slab && slab.capacity() == slabs_.slab_bytes();
  };
  while (!spare_ && flow_->out.oldest() != no_chunk && helps(flow_->out.oldest())) {
    give_up(flow_->out.oldest());
    spare_ = slabs_.take();
  }
}

/// Where the datagram came from matters only when it is the newest: an old copy from elsewhere
/// moves nothing (PROTOCOL.md 4.4).
void Tunnel::note_path(Link& l, const Path& path, std::size_t bytes, bool newest, Instant now) {
  if (config_.initiator) return;  // Our own file says where the responder is.
  if (l.candidate && l.candidate->path == path) l.candidate->bytes_in += bytes;
  if (!newest || (l.has_path && l.path == path)) return;
  if (l.candidate && l.candidate->path == path) return;
  make_candidate(l, path, now);
  if (l.candidate && l.candidate->path == path) l.candidate->bytes_in = bytes;
}

void Tunnel::read_content(Link& l, const Path& path, const SlabRef& slab, Bytes content,
                          std::uint8_t epoch, std::uint64_t number, Instant received, Instant now) {
  Reader in(content);
  // Our own clock says about how far the sender's has come: after a long silence the 24 bits alone
  // would not.
  Flow& flow = *flow_;
  const std::uint64_t elapsed =
      flow.peer_stamp == 0 ? 0
                           : wire::stamp_units(received) - wire::stamp_units(flow.peer_stamp_at);
  const std::uint64_t stamp = wire::expand(flow.peer_stamp + elapsed, in.u24(), 24);
  if (stamp >= flow.peer_stamp) flow.peer_stamp = stamp, flow.peer_stamp_at = received;
  l.delay.sample(
      static_cast<std::int64_t>(wire::stamp_units(received)) - static_cast<std::int64_t>(stamp),
      now);

  bool eliciting = false;
  std::optional<Offload> offload;
  wire::ParsedChunk chunk;
  wire::Next next;
  while ((next = wire::next_chunk(in, chunk)) == wire::Next::chunk) {
    eliciting |=
        chunk.is_frame || (chunk.type != wire::Chunk::ack && chunk.type != wire::Chunk::heads);
    if (!chunk.is_frame) {
      if (chunk.type == wire::Chunk::offload) {
        offload = wire::read_offload(chunk.body);
        if (offload) continue;
        next = wire::Next::malformed;
        break;
      }
      if (chunk.type == wire::Chunk::hole && takes_offload()) {
        if (read_hole(chunk.body, slab, stamp, now)) continue;
        next = wire::Next::malformed;
        break;
      }
      if (!read_control(l, path, chunk, stamp, received, now)) {
        next = wire::Next::malformed;
        break;
      }
      if (!session_) return;  // It was a CLOSE.
      continue;
    }
    InChunk piece;
    piece.slab = slab;
    piece.offset = static_cast<std::uint32_t>(chunk.frame.data.data() - slab.data());
    piece.size = static_cast<std::uint16_t>(chunk.frame.data.size());
    piece.first = chunk.frame.first;
    piece.last = chunk.frame.last;
    if (offload && piece.first) piece.offload = *offload;
    offload.reset();
    piece.stamp = stamp;
    piece.arrived = now;
    flow.in.insert(chunk.frame.lane, chunk.frame.sequence_low, std::move(piece));
  }
  if (next == wire::Next::malformed) drops_.add(Drop::bad_chunk);
  flow.proof.arrived(l.id, epoch, number, stamp, now);
  ask_for_repair(now);
  if (!eliciting) return;
  LinkSpace* space = l.space(epoch);
  if (space == nullptr) return;
  if (++space->unacknowledged >= unacknowledged_max) space->ack_now = true;
  if (space->ack_deadline == never) space->ack_deadline = now + ack_delay;
  // A link that we hold for dead in our direction may be back: find out at once.
  if (l.state == LinkState::down && l.has_path && now - l.last_eliciting > milliseconds(50)) {
    l.want_ping = true;
  }
}

/// Takes the place of a chunk that its sender gives up.
bool Tunnel::read_hole(Bytes body, const SlabRef& slab, std::uint64_t stamp, Instant now) {
  const std::optional<wire::Hole> hole = wire::read_hole(body);
  if (!hole) return false;
  InChunk piece;
  if (!hole->headers.empty()) {
    piece.slab = slab;
    piece.offset = static_cast<std::uint32_t>(hole->headers.data() - slab.data());
  }
  piece.header_bytes = static_cast<std::uint16_t>(hole->headers.size());
  piece.size = hole->bytes;
  piece.hole = true;
  piece.first = hole->first;
  piece.last = hole->last;
  if (hole->first) {
    piece.offload.checksum_partial = true;
    piece.offload.gso_bytes = hole->gso_bytes;
  }
  piece.stamp = stamp;
  piece.arrived = now;
  flow_->in.insert(hole->lane, hole->sequence_low, std::move(piece));
  return true;
}

/// A hole that is proven to be a loss: the sender hears of what did arrive at once, and repairs.
void Tunnel::ask_for_repair(Instant now) {
  if (flow_->in.blocked_lanes() == 0 || !flow_->in.prove(flow_->proof.clear(now))) return;
  each_link([](Link& l) {
    if (l.current().unacknowledged > 0) l.current().ack_now = true;
  });
}

bool Tunnel::read_control(Link& l, const Path& path, const wire::ParsedChunk& chunk,
                          std::uint64_t stamp, Instant received, Instant now) {
  switch (chunk.type) {
    case wire::Chunk::ack: return handle_ack(l, chunk.body, received, now);
    case wire::Chunk::heads: return read_heads(chunk.body, stamp, now);
    case wire::Chunk::lane_floor: return read_floors(chunk.body);
    case wire::Chunk::ping:
      l.current().ack_now = l.current().ack_own = true;
      if (l.spaces[1].used && l.spaces[1].unacknowledged > 0) l.spaces[1].ack_now = true;
      return chunk.body.empty();
    case wire::Chunk::join: return read_join(l, chunk.body, now);
    case wire::Chunk::challenge:
      if (chunk.body.size() != 8) return false;
      queue_answer(l, path, chunk.body);
      l.current().ack_now = l.current().ack_own = true;
      return true;
    case wire::Chunk::response:
      if (chunk.body.size() != 8) return false;
      read_response(l, path, chunk.body, now);
      return true;
    case wire::Chunk::settings: return read_settings(chunk.body);
    case wire::Chunk::traffic_class: return read_class(chunk.body);
    case wire::Chunk::link_gone: return read_gone(l, chunk.body, now);
    case wire::Chunk::mtu_probe: return chunk.body.size() == 2;
    case wire::Chunk::close:
      if (chunk.body.size() != 1) return false;
      end_session(LinkReason::peer_closed, now);
      return true;
    case wire::Chunk::padding:
    case wire::Chunk::loop_probe:
    case wire::Chunk::hole:
    case wire::Chunk::offload: break;
  }
  return true;  // Unknown ones are skipped.
}

bool Tunnel::read_join(Link& l, Bytes body, Instant now) {
  const std::optional<wire::Join> join = wire::read_join(body);
  if (!join) return false;
  if (config_.initiator) return true;
  l.config.name.assign(join->name.begin(), join->name.end());
  // Names go into logs and status tables.
  std::replace_if(
      l.config.name.begin(), l.config.name.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  l.config.weight = join->weight;
  l.config.priority = join->priority;
  l.config.role = static_cast<LinkRole>(join->role);
  l.config.metered = join->metered;
  l.config.rate_down_bps_max = join->rate_down_bps_max;
  l.config.rate_up_bps_max = join->rate_up_bps_max;
  views_stale_ = true;
  if (l.state == LinkState::down && !l.validated) {
    set_state(l, LinkState::probing, LinkReason::joining, now);
  }
  return true;
}

void Tunnel::queue_answer(Link& l, const Path& path, Bytes body) {
  if (l.answer_count == l.answers.size()) return;
  Link::Answer& answer = l.answers[l.answer_count++];
  answer.path = path;
  // The initiator's own idea of where the responder is stands; only the socket is as it came.
  if (config_.initiator) answer.path = l.path;
  std::copy_n(body.begin(), 8, answer.challenge.begin());
}

void Tunnel::read_response(Link& l, const Path& path, Bytes body, Instant now) {
  const auto matches = [&](const std::array<std::uint8_t, 8>& challenge) {
    return std::equal(challenge.begin(), challenge.end(), body.begin());
  };
  if (config_.initiator) {
    if (!l.has_path || l.validated || !matches(l.challenge)) return;
    l.validated = true;
    l.next_join = never;
    l.want_join = false;
    link_answered(l, now);
    return;
  }
  if (!l.candidate || l.candidate->path != path || !matches(l.candidate->challenge)) return;
  const bool moved = l.has_path;
  l.path = path;
  l.has_path = true;
  l.validated = true;
  l.candidate.reset();
  l.rtt.reset();
  l.rate.path_changed();
  l.pacer = {};
  l.path_since = now;
  l.delay = DelayMeter{};
  l.gso = GsoCheck{};
  l.mtu.restart(l.interface_mtu, path.remote.header_bytes(), now);
  if (moved) push_event({.kind = Event::Kind::link_moved, .link = l.id, .path = path});
  for (LinkSpace& space : l.spaces) {
    if (space.used && space.unacknowledged > 0) space.ack_now = true;
  }
  link_answered(l, now);
}

bool Tunnel::read_heads(Bytes body, std::uint64_t stamp, Instant now) {
  if (body.size() % 5 != 0) return false;
  Reader in(body);
  while (in.size() > 0) {
    const std::uint8_t key = in.u8();
    const std::uint32_t low = in.u32();
    if ((key & 0xc0) != 0) return false;
    const auto epoch = static_cast<std::uint8_t>(key >> 4 & 3);
    Link* l = link(LinkId{static_cast<std::uint8_t>(key & 0x0f)});
    const LinkSpace* space = l != nullptr ? l->space(epoch) : nullptr;
    if (space == nullptr || space->received.empty()) continue;
    const std::uint64_t number = wire::expand(space->received.largest() + 1, low, 32);
    flow_->proof.head(l->id, epoch, number, stamp, now);
  }
  return true;
}

bool Tunnel::read_floors(Bytes body) {
  if (body.empty() || body.size() % 5 != 0) return false;
  Reader in(body);
  while (in.size() > 0) {
    const std::uint16_t lane = in.u16();
    const std::uint32_t sequence = in.u24();
    if (lane >= lanes_max) return false;
    flow_->in.floor(LaneId{lane}, sequence);
  }
  return true;
}

bool Tunnel::read_settings(Bytes body) {
  Reader in(body);
  const std::uint8_t kind = in.u8();
  const std::uint8_t fields = in.u8();
  in.u16();
  if (!in.done() || config_.initiator) return in.done();
  if (kind > static_cast<std::uint8_t>(SchedulerKind::redundant) ||
      fields > static_cast<std::uint8_t>(HashFields::l3_l4)) {
    return false;
  }
  if (scheduler_.kind() != static_cast<SchedulerKind>(kind)) {
    scheduler_ = Scheduler(static_cast<SchedulerKind>(kind));
    make_class_schedulers();
  }
  hash_fields_ = static_cast<HashFields>(fields);
  views_stale_ = true;
  return true;
}

}  // namespace mwtun
