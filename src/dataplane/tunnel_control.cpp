// The control datagrams that go on their own (answers, challenges, joins, MTU probes, goodbyes),
// and the control chunks that ride along with frames (acknowledgements, pings, floors, heads).
#include <algorithm>

#include "dataplane/tunnel.hpp"

namespace mwtun {

// ---- Datagrams that go on their own ----------------------------------------------------------

std::optional<OutgoingDatagram> Tunnel::poll_control(MutableBytes room, Instant now) {
  for (std::unique_ptr<Link>& l : all_links()) {
    if (!l || l->current().sent.full() || !session_->current().may_seal(now)) continue;
    while (l->answer_count > 0) {
      if (auto datagram = send_answer(*l, room, now)) return datagram;
    }
    if (l->candidate && l->candidate->want_challenge) {
      if (auto datagram = send_challenge(*l, room, now)) return datagram;
    }
    if (!can_send(*l, now)) continue;
    if (l->want_join) return send_join(*l, room, now);
    if (l->probe_bytes != 0) return send_mtu_probe(*l, room, now);
  }
  return std::nullopt;
}

static void write_eight(DatagramBuilder& builder, wire::Chunk type,
                        const std::array<std::uint8_t, 8>& bytes) {
  builder.write([&](Writer& out) {
    wire::write_control_header(out, type, bytes.size());
    out.bytes(bytes);
  });
  builder.set_eliciting();
}

/// A RESPONSE to where the CHALLENGE came from, which need not be the link's path; then our own
/// CHALLENGE rides along if that is the candidate.
std::optional<OutgoingDatagram> Tunnel::send_answer(Link& l, MutableBytes room, Instant now) {
  const Link::Answer answer = l.answers[--l.answer_count];
  const bool to_candidate = l.candidate && l.candidate->path == answer.path;
  const bool to_path = l.has_path && l.path == answer.path;
  const std::size_t size = wire::overhead_bytes + (to_candidate ? 20u : 10u);
  if (!to_path && !to_candidate) return std::nullopt;
  if (to_candidate && l.candidate->bytes_out + size > 3 * l.candidate->bytes_in)
    return std::nullopt;
  DatagramBuilder& builder = direct_builder(size, now);
  write_eight(builder, wire::Chunk::response, answer.challenge);
  if (to_candidate) {
    write_eight(builder, wire::Chunk::challenge, l.candidate->challenge);
    l.candidate->want_challenge = false;
    l.candidate->bytes_out += size;
  }
  return emit(l, builder, answer.path, room, now);
}

std::optional<OutgoingDatagram> Tunnel::send_challenge(Link& l, MutableBytes room, Instant now) {
  CandidatePath& candidate = *l.candidate;
  candidate.want_challenge = false;
  const std::size_t size = wire::overhead_bytes + 10;
  if (candidate.bytes_out + size > 3 * candidate.bytes_in) return std::nullopt;
  candidate.bytes_out += size;
  DatagramBuilder& builder = direct_builder(size, now);
  write_eight(builder, wire::Chunk::challenge, candidate.challenge);
  return emit(l, builder, candidate.path, room, now);
}

std::optional<OutgoingDatagram> Tunnel::send_join(Link& l, MutableBytes room, Instant now) {
  l.want_join = false;
  DatagramBuilder& builder = direct_builder(l.mtu.size(), now);
  const LinkConfig& config = l.config;
  wire::Join join;
  join.weight = config.weight;
  join.priority = config.priority;
  join.role = static_cast<std::uint8_t>(config.role);
  join.metered = config.metered;
  join.rate_down_bps_max = config.rate_down_bps_max;
  join.rate_up_bps_max = config.rate_up_bps_max;
  const std::string_view name = std::string_view(config.name).substr(0, 32);
  join.name = {reinterpret_cast<const std::uint8_t*>(name.data()), name.size()};
  builder.write([&](Writer& out) { wire::write_join(out, join); });
  builder.add_content(flow_->contents, {.kind = Content::Kind::join});
  write_eight(builder, wire::Chunk::challenge, l.challenge);
  if (!flow_->settings_acknowledged) {
    builder.write([&](Writer& out) {
      wire::write_control_header(out, wire::Chunk::settings, 4);
      out.u8(static_cast<unsigned>(config_.scheduler));
      out.u8(static_cast<unsigned>(config_.hash_fields));
      out.u16(0);
    });
    builder.add_content(flow_->contents, {.kind = Content::Kind::settings});
  }
  return emit(l, builder, l.path, room, now);
}

std::optional<OutgoingDatagram> Tunnel::send_mtu_probe(Link& l, MutableBytes room, Instant now) {
  const std::uint32_t size = l.probe_bytes;
  l.probe_bytes = 0;
  DatagramBuilder& builder = direct_builder(size, now);
  builder.write([&](Writer& out) {
    wire::write_control_header(out, wire::Chunk::mtu_probe, 2);
    out.u16(size);
  });
  builder.pad_as_probe();
  return emit(l, builder, l.path, room, now);
}

std::optional<OutgoingDatagram> Tunnel::send_close(MutableBytes room, Instant now) {
  for (std::unique_ptr<Link>& l : all_links()) {
    if (!l || !closing_.has(l->id)) continue;
    closing_.remove(l->id);
    if (!can_send(*l, now)) continue;
    DatagramBuilder& builder = direct_builder(wire::overhead_bytes + 3, now);
    builder.write([](Writer& out) {
      wire::write_control_header(out, wire::Chunk::close, 1);
      out.u8(0);
    });
    builder.set_eliciting();
    return emit(*l, builder, l->path, room, now);
  }
  end_session(LinkReason::administrative, now);
  return std::nullopt;
}

// ---- Control chunks that ride along -----------------------------------------------------------

/// True when a builder has become full or something was added: the caller begins again.
bool Tunnel::add_session_control(Instant now) {
  return add_gone(now) || add_acks(now) || add_pings(now) || add_floors(now) || add_classes(now) ||
         add_quiet_heads(now);
}

bool Tunnel::add_acks(Instant now) {
  for (std::unique_ptr<Link>& l : all_links()) {
    if (!l) continue;
    for (LinkSpace& space : l->spaces) {
      if (space.used && (space.ack_now || space.ack_deadline <= now) && !space.received.empty()) {
        if (add_ack(*l, space, now)) return true;
      }
    }
  }
  return false;
}

/// On the link it is about when a PING asked, every second time (the best link may be dying), and
/// when there is no better; else on the best one.
bool Tunnel::add_ack(Link& about, LinkSpace& space, Instant now) {
  Link* best = best_link(now);
  const bool own = space.ack_own || best == nullptr || ++about.own_ack_turn % 2 == 0;
  Link* carrier = own && can_send(about, now) ? &about : best;
  if (carrier == nullptr) {  // Until the path is validated there is nowhere to send it.
    space.ack_deadline = never;
    space.ack_now = false;
    return false;
  }
  wire::Ack ack;
  ack.link = about.id;
  ack.epoch = space.epoch;
  space.received.fill(ack, now);
  DatagramBuilder& builder = builder_for(*carrier, now);
  bool written = false;
  builder.write([&](Writer& out) { written = wire::write_ack(out, ack); });
  if (!written) {
    builder.set_full();
    return true;
  }
  // The peer may not hear this link: then the answer to its PING goes by the best one, too.
  if (space.ack_own && !about.carries() && best != nullptr && best != &about) {
    space.ack_own = false;
    return true;
  }
  space.unacknowledged = 0;
  space.ack_deadline = never;
  space.ack_now = space.ack_own = false;
  return true;
}

/// The peer learns it from us sooner than from silence.
bool Tunnel::add_gone(Instant now) {
  Link* best = flow_->gone_to_send.empty() ? nullptr : best_link(now);
  if (best == nullptr) return false;
  DatagramBuilder& builder = builder_for(*best, now);
  if (builder.room() < links_max * (wire::control_header_bytes + 1)) {
    builder.set_full();
    return true;
  }
  each_link([&](const Link& l) {
    if (!flow_->gone_to_send.has(l.id)) return;
    builder.write([&](Writer& out) {
      wire::write_control_header(out, wire::Chunk::link_gone, 1);
      out.u8(value_of(l.id));
    });
  });
  builder.set_eliciting();
  flow_->gone_to_send = {};
  return false;
}

/// Its word counts only from another link: from this one it would not be true.
bool Tunnel::read_gone(const Link& l, Bytes body, Instant now) {
  if (body.size() != 1 || body[0] >= links_max) return false;
  Link* gone = link(LinkId{body[0]});
  if (gone != nullptr && gone->id != l.id && gone->carries()) {
    link_silent(*gone, LinkReason::peer_no_path, now);
  }
  return true;
}

bool Tunnel::add_pings(Instant now) {
  for (std::unique_ptr<Link>& l : all_links()) {
    if (!l || !l->want_ping || !can_send(*l, now)) continue;
    DatagramBuilder& builder = builder_for(*l, now);
    if (builder.room() < wire::control_header_bytes) {
      builder.set_full();
      return true;
    }
    builder.write([](Writer& out) { wire::write_control_header(out, wire::Chunk::ping, 0); });
    builder.set_eliciting();
    l->want_ping = false;
  }
  return false;
}

bool Tunnel::add_floors(Instant now) {
  constexpr std::size_t entry_bytes = 5;
  if (!flow_->out.floors_due()) return false;
  Link* best = best_link(now);
  if (best == nullptr) return false;
  DatagramBuilder& builder = builder_for(*best, now);
  while (flow_->out.floors_due()) {
    if (builder.room() < wire::control_header_bytes + entry_bytes) {
      builder.set_full();
      return true;
    }
    const OutLanes::Floor floor = *flow_->out.next_floor();
    builder.write([&](Writer& out) {
      wire::write_control_header(out, wire::Chunk::lane_floor, entry_bytes);
      out.u16(value_of(floor.lane));
      out.u24(floor.sequence & 0xffffff);
    });
    builder.set_eliciting();
    builder.add_content(
        flow_->contents,
        {.kind = Content::Kind::floor, .value = value_of(floor.lane), .sequence = floor.sequence});
  }
  return false;
}

void Tunnel::add_heads(DatagramBuilder& builder, Instant now) {
  std::size_t count = 0;
  each_link([&](const Link& l) { count += l.current().sent.next_number() > 0 ? 1u : 0u; });
  const std::size_t body = count * 5;
  if (count == 0 || builder.room() < wire::control_header_bytes + body) return;
  builder.write([&](Writer& out) {
    wire::write_control_header(out, wire::Chunk::heads, body);
    each_link([&](const Link& l) {
      const SentLog& sent = l.current().sent;
      if (sent.next_number() == 0) return;
      out.u8(value_of(l.id) | static_cast<unsigned>(l.current().epoch) << 4);
      out.u32((sent.next_number() - 1) & 0xffffffff);
    });
  });
  flow_->datagrams_since_heads = 0;
  flow_->last_heads = now;
}

bool Tunnel::add_quiet_heads(Instant now) {
  if (!flow_->want_heads) return false;
  flow_->want_heads = false;
  Link* best = best_link(now);
  if (best == nullptr) return false;
  DatagramBuilder& builder = builder_for(*best, now);
  if (flow_->last_heads != now) add_heads(builder, now);
  return false;
}

}  // namespace mwtun
