// From queue to datagram. poll_datagram() gives, one a call: what must go on its own (answers,
// joins, probes), datagrams that are full, and at the end of a batch those that are not. Between,
// it fills: first control chunks, then repairs, then frames, each on the link the scheduler names.
// Every link has one datagram open at a time; all that are open together have the same stamp.
#include <algorithm>

#include "dataplane/tunnel.hpp"

namespace mwtun {

static constexpr std::size_t piece_bytes_min = 32;
static constexpr std::uint32_t heads_datagrams = 32;
static constexpr Duration heads_interval = milliseconds(10);
static constexpr Duration heads_quiet = milliseconds(20);
static constexpr std::int64_t repair_budget_max = 512 * 1024;
static constexpr Duration repair_age_max = seconds(3);
static constexpr unsigned repair_attempts_min = 4;  // The first sending and three repairs.
static constexpr unsigned repair_attempts_max = 8;

std::optional<OutgoingDatagram> Tunnel::poll_datagram(MutableBytes room, Instant now) {
  if (!session_) return std::nullopt;
  if (!closing_.empty()) return send_close(room, now);
  if (views_stale_) refresh_views(now);
  while (true) {
    for (std::unique_ptr<Link>& l : links_) {
      if (!l) continue;
      DatagramBuilder& builder = flow_->builders[index_of(l->id)];
      if (builder.open() && builder.full()) return emit(*l, builder, l->path, room, now);
    }
    if (std::optional<OutgoingDatagram> datagram = poll_control(room, now)) return datagram;
    if (add_session_control(now) || append_repair(now) || append_frame(now)) continue;
    for (std::unique_ptr<Link>& l : links_) {
      if (!l) continue;
      DatagramBuilder& builder = flow_->builders[index_of(l->id)];
      if (builder.open()) return emit(*l, builder, l->path, room, now);
    }
    return std::nullopt;
  }
}

std::uint64_t Tunnel::next_stamp(Instant now) {
  if (open_builders_ == 0) {
    flow_->last_stamp = std::max(flow_->last_stamp, wire::stamp_units(now));
    batch_stamp_ = flow_->last_stamp;
  }
  return batch_stamp_;
}

DatagramBuilder& Tunnel::builder_for(Link& l, Instant now) {
  DatagramBuilder& builder = flow_->builders[index_of(l.id)];
  if (builder.open()) return builder;
  builder.start(l.mtu.size(), next_stamp(now));
  ++open_builders_;
  if (flow_->datagrams_since_heads >= heads_datagrams ||
      now - flow_->last_heads >= heads_interval) {
    add_heads(builder, now);
  }
  return builder;
}

DatagramBuilder& Tunnel::direct_builder(std::size_t bytes, Instant now) {
  direct_.start(bytes, next_stamp(now));
  return direct_;
}

bool Tunnel::can_send(const Link& l, Instant now) const {
  return l.has_path && !l.blocked(now) && !l.current().sent.full() &&
         session_->current().may_seal(now);
}

LinkSet Tunnel::blocked_links(Instant now) const {
  LinkSet blocked;
  each_link([&](const Link& l) {
    if (!can_send(l, now)) blocked.add(l.id);
  });
  return blocked;
}

/// The link an acknowledgement arrives on soonest.
Link* Tunnel::best_link(Instant now) {
  Link* best = nullptr;
  each_link([&](Link& l) {
    if (!l.carries() || !can_send(l, now)) return;
    const auto rank = [](const Link& x) { return std::pair(x.tier(), x.rtt.smoothed()); };
    if (best == nullptr || rank(l) < rank(*best)) best = &l;
  });
  return best;
}

std::size_t Tunnel::chunk_bytes_max() const {
  // A chunk must fit every link it may have to be repaired on.
  std::size_t least = SIZE_MAX;
  each_link([&](const Link& l) {
    if (l.carries()) least = std::min<std::size_t>(least, l.mtu.size());
  });
  if (least == SIZE_MAX) return piece_bytes_min;
  return least - wire::overhead_bytes - wire::frame_chunk_header_bytes - wire::offload_bytes;
}

/// Seals what the builder holds; its number is spent with this.
std::optional<OutgoingDatagram> Tunnel::emit(Link& l, DatagramBuilder& builder, const Path& path,
                                             MutableBytes room, Instant now) {
  builder.finish();
  if (&builder != &direct_) --open_builders_;
  LinkSpace& space = l.current();
  EpochKeys& keys = session_->current();
  const std::uint64_t number = space.sent.next_number();
  const std::size_t size = wire::header_bytes + builder.content().size() + wire::tag_bytes;
  MWTUN_ASSERT(size <= room.size());
  Writer header(room.first(wire::header_bytes));
  wire::write_header(header,
                     {keys.epoch, l.id, session_->remote, static_cast<std::uint32_t>(number)});
  keys.send.seal(wire::nonce_number(l.id, number), header.written(), builder.content(),
                 room.subspan(wire::header_bytes, size - wire::header_bytes));
  ++keys.sealed;

  SentDatagram& sent = space.sent.append();
  sent.eliciting = builder.eliciting();
  sent.mtu_probe = builder.mtu_probe();
  sent.bytes = static_cast<std::uint16_t>(size);
  sent.contents = builder.contents();
  sent.sent = now;
  sent.delivered_before = l.delivered_bytes;
  sent.delivered_before_at = l.bytes_in_flight == 0 ? now : l.delivered_at;
  ++l.counters.datagrams_out;
  l.counters.bytes_out += size;
  ++flow_->datagrams_since_heads;
  if (sent.eliciting) {
    l.bytes_in_flight += size;
    l.last_eliciting = now;
    if (l.waiting_since == never) l.waiting_since = now;
    if (sent.contents != ContentPool::none) flow_->heads_deadline = now + heads_quiet;
  }
  return OutgoingDatagram{path, size, {id_, l.id, keys.epoch, true, number}};
}

bool Tunnel::repair_worth_it(const OutChunk& chunk, Instant now) const {
  Duration best = Duration::max(), worst{};
  each_link([&](const Link& l) {
    if (!l.carries() || !l.rtt.known()) return;
    best = std::min(best, l.rtt.smoothed());
    worst = std::max(worst, l.rtt.smoothed());
  });
  if (best == Duration::max()) best = Duration{0};
  const Duration age = now - chunk.first_sent;
  // A loss at a tail, or of a link that died, may be known late; then it still gets its attempts.
  const bool late = age >= std::max<Duration>(repair_age_max, 3 * worst);
  if (chunk.free_repair) return !late;
  // Three attempts inside the time of design 5.5, counted from when a loss can be known at all.
  const Duration allowed = std::max<Duration>(best * 5 / 2, milliseconds(100)) + worst;
  const bool affordable = flow_->repair_budget_bytes >= chunk.size;
  if (chunk.attempts < repair_attempts_min && affordable) return !late;
  return age < allowed && chunk.attempts < repair_attempts_max;
}

/// Repairs go by another link than the one that lost, unless that would cost more than a second
/// loss.
bool Tunnel::elsewhere_is_near(const Link& lost_on) const {
  const Duration near = 2 * lost_on.rtt.smoothed() + milliseconds(50);
  bool found = false;
  each_link([&](const Link& l) {
    found |= l.id != lost_on.id && scheduler_.eligible().has(l.id) && l.rtt.smoothed() <= near;
  });
  return found;
}

bool Tunnel::append_repair(Instant now) {
  Flow& flow = *flow_;
  if (flow.repair.empty()) return false;
  const Duration since = now - flow.repair_budget_at;
  flow.repair_budget_at = now;
  flow.repair_budget_bytes = std::min<std::int64_t>(
      repair_budget_max, flow.repair_budget_bytes + since.count() / 8000);  // 1 Mbit/s.
  while (!flow.repair.empty()) {
    const ChunkIndex index = flow.repair.front();
    OutChunk& chunk = flow.out[index];
    if (!chunk.resolved && !repair_worth_it(chunk, now)) {
      give_up(index);
    }
    if (chunk.resolved) {
      chunk.queued = false;
      flow.repair.pop_front();
      flow.out.release(index);
      continue;
    }
    if (!chunk.free_repair && flow.repair_budget_bytes < chunk.size) return false;
    const std::size_t need = std::size_t{chunk.size} + wire::rest_chunk_header_bytes +
                             (chunk.offload.plain() ? std::size_t{0} : wire::offload_bytes);
    LinkSet except = blocked_links(now);
    Link* chosen = nullptr;
    bool any_fits = false;
    if (elsewhere_is_near(*link(chunk.link))) except.add(chunk.link);
    for (std::size_t tries = 0; tries < links_max && chosen == nullptr; ++tries) {
      const std::optional<LinkId> pick = scheduler_.pick_soonest(views_, chunk.size, except);
      if (!pick) break;
      Link* l = link(*pick);
      const bool fits = l->mtu.size() >= need + wire::overhead_bytes;
      any_fits |= fits;
      if (fits && can_send(*l, now)) chosen = l;
      if (except.has(*pick)) break;
      except.add(*pick);
    }
    if (chosen == nullptr) {
      if (any_fits || scheduler_.eligible().empty()) return false;
      give_up(index);
      continue;
    }
    DatagramBuilder& builder = builder_for(*chosen, now);
    if (builder.room() < need) {
      builder.set_full();
      return true;
    }
    if (!chunk.free_repair) flow.repair_budget_bytes -= chunk.size;
    ++chosen->counters.repaired;
    flow.repair.pop_front();
    chunk.queued = chunk.free_repair = false;
    write_chunk(*chosen, index, now);
    flow.out.release(index);
    return true;
  }
  return false;
}

bool Tunnel::begin_frame(Instant now) {
  if (queue_.empty()) return false;
  cutting_.active = true;
  cutting_.frame = queue_.pop_front();
  queue_bytes_ -= cutting_.frame.size;
  cutting_.offset = 0;
  cutting_.link.reset();
  const InnerFlow inner = read_inner_flow(cutting_.frame.bytes());
  cutting_.lane = flow_->flows.assign(inner, now);
  cutting_.whole_on_one_link = cutting_.lane.pinned || !wire::lane_ordered(cutting_.lane.lane);
  cutting_.flow_hash =
      scheduler_.kind() == SchedulerKind::hash ? hash_flow_fields(inner.key, hash_fields_) : 0;
  return true;
}

std::optional<LinkId> Tunnel::choose_link(Instant now) {
  if (cutting_.link && link(*cutting_.link)->carries()) return cutting_.link;
  const FlowTable::Assignment& lane = cutting_.lane;
  if (lane.pinned && lane.pin && scheduler_.eligible().has(*lane.pin)) return lane.pin;
  const std::optional<LinkId> pick = scheduler_.pick(views_, cutting_.frame.size - cutting_.offset,
                                                     cutting_.flow_hash, blocked_links(now));
  if (pick && lane.pinned) {
    flow_->flows.pin(lane.entry, *pick);
    cutting_.lane.pin = pick;
  }
  return pick;
}

bool Tunnel::append_frame(Instant now) {
  Flow& flow = *flow_;
  if (!cutting_.active && queue_.empty()) return false;
  if (!any_carries_) {
    drop_queue(Drop::no_usable_link);
    return false;
  }
  while (flow.out.full()) give_up(flow.out.oldest());
  if (flow.out.exhausted()) return false;
  if (!cutting_.active && !begin_frame(now)) return false;
  LinkSet links;
  if (scheduler_.kind() == SchedulerKind::redundant) {
    const LinkSet blocked = blocked_links(now);
    each_link([&](const Link& l) {
      if (!scheduler_.eligible().has(l.id)) return;
      if (!blocked.has(l.id)) {
        links.add(l.id);
      } else if (cutting_.offset == 0) {
        drops_.add(Drop::redundant_copy_late);
      }
    });
    if (links.empty()) return false;
  } else {
    const std::optional<LinkId> chosen = choose_link(now);
    if (!chosen || !can_send(*link(*chosen), now)) return false;
    if (cutting_.whole_on_one_link) cutting_.link = chosen;
    links.add(*chosen);
  }
  return append_piece(links, now);
}

/// Cuts the next piece of the frame so that it fits the open datagrams of all the links given.
bool Tunnel::append_piece(LinkSet links, Instant now) {
  const std::size_t left = cutting_.frame.size - cutting_.offset;
  const std::size_t offload =
      cutting_.offset == 0 && !cutting_.frame.offload.plain() ? wire::offload_bytes : 0;
  std::size_t take = std::min(left, chunk_bytes_max());
  for (std::unique_ptr<Link>& l : links_) {
    if (!l || !links.has(l->id)) continue;
    DatagramBuilder& builder = builder_for(*l, now);
    const std::size_t least =
        std::min(left, piece_bytes_min) + wire::frame_chunk_header_bytes + offload;
    if (builder.room() < least) {
      builder.set_full();
      return true;
    }
    const std::size_t room = builder.room() - offload;
    if (take + wire::frame_chunk_header_bytes > room) {
      take = std::min(take, room - wire::rest_chunk_header_bytes);
    }
  }
  const ChunkIndex index = flow_->out.add(cutting_.lane.lane, cutting_.frame, cutting_.offset,
                                          static_cast<std::uint32_t>(take), now);
  flow_->out.hold(index);
  for (std::unique_ptr<Link>& l : links_) {
    if (l && links.has(l->id)) write_chunk(*l, index, now);
  }
  flow_->out.release(index);
  flow_->repair_budget_bytes += static_cast<std::int64_t>(take / 20);
  cutting_.offset += static_cast<std::uint32_t>(take);
  if (cutting_.offset == cutting_.frame.size) cutting_ = {};
  return true;
}

void Tunnel::write_chunk(Link& l, ChunkIndex index, Instant now) {
  DatagramBuilder& builder = builder_for(l, now);
  OutChunk& chunk = flow_->out[index];
  if (!chunk.offload.plain()) {
    builder.write([&](Writer& out) { wire::write_offload(out, chunk.offload); });
  }
  const bool rest = chunk.size + wire::frame_chunk_header_bytes > builder.room();
  builder.write([&](Writer& out) {
    wire::write_frame_chunk_header(out, chunk.lane, chunk.sequence, chunk.first, chunk.last, rest,
                                   chunk.size);
    out.bytes({chunk.slab.data() + chunk.offset, chunk.size});
  });
  if (rest) builder.set_full();
  builder.set_eliciting();
  builder.add_content(flow_->contents, {.kind = Content::Kind::chunk, .value = index});
  flow_->out.hold(index);
  ++chunk.flights;
  ++chunk.attempts;
  chunk.link = l.id;
  count_on_link(l.id, chunk.size);
}

/// So that the next pick sees what this one gave the link.
void Tunnel::count_on_link(LinkId id, std::size_t bytes) {
  scheduler_.sent(id, static_cast<std::uint32_t>(bytes));
  for (LinkView& view : views_) {
    if (view.id == id) view.in_flight_bytes += bytes;
  }
}

}  // namespace mwtun
