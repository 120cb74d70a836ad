// From queue to datagram. poll_datagram() gives, one a call: what must go on its own (answers,
// joins, probes), datagrams that are full, and at the end of a batch those that are not. Between,
// it fills: first control chunks, then repairs, then frames, each on the link the scheduler names.
// Every link has one datagram open at a time; all that are open together have the same stamp.
#include <algorithm>

#include "dataplane/tunnel.hpp"

namespace mwtun {

static constexpr std::size_t piece_bytes_min = 32;
static constexpr std::uint32_t piece_bytes_usual = 1514;
/// The headers of a super-frame stay in one piece, so that they can be told when it is lost.
static constexpr std::size_t super_frame_head_bytes = wire::hole_headers_max;
static constexpr std::uint32_t heads_datagrams = 32;
static constexpr Duration heads_interval = milliseconds(10);
static constexpr std::uint64_t thin_share = 16;
static constexpr std::uint32_t thin_frames = 2;
static constexpr Duration heads_quiet = milliseconds(20);
static constexpr std::int64_t repair_budget_max = 512 * 1024;
static constexpr Duration repair_age_max = seconds(3);
static constexpr Duration hole_age_max = seconds(1);
static constexpr Duration hole_early = milliseconds(60);
static constexpr unsigned repair_attempts_min = 4;  // The first sending and three repairs.
static constexpr unsigned repair_attempts_max = 8;

std::optional<OutgoingDatagram> Tunnel::poll_datagram(MutableBytes room, Instant now) {
  if (!session_) return std::nullopt;
  now_ = std::max(now_, now);
  if (!closing_.empty()) return send_close(room, now);
  if (views_stale_ || now >= tiers_due_) refresh_views(now);
  for (LinkView& view : views_) {
    const Pacer& pacer = link(view.id)->pacer;
    view.wait = pacer.wait(now), view.busy = pacer.busy(now);
  }
  while (true) {
    for (std::unique_ptr<Link>& l : all_links()) {
      if (!l) continue;
      DatagramBuilder& builder = flow_->builders[index_of(l->id)];
      if (builder.open() && builder.full()) return emit(*l, builder, l->path, room, now);
    }
    if (quiet_at_ != now || flow_->out.floors_due()) {
      if (std::optional<OutgoingDatagram> datagram = poll_control(room, now)) return datagram;
      if (add_session_control(now)) continue;
      quiet_at_ = now;
    }
    if (append_repair(now) || append_frame(now)) continue;
    for (std::unique_ptr<Link>& l : all_links()) {
      if (!l) continue;
      DatagramBuilder& builder = flow_->builders[index_of(l->id)];
      if (builder.open()) return emit(*l, builder, l->path, room, now);
    }
    if (flush_again(now)) continue;
    stop_pacers(now);
    return std::nullopt;
  }
}

/// Should the next turn come late, a link that frames wait for has lost that time.
void Tunnel::stop_pacers(Instant now) {
  const bool more = !flow_->queue.empty() || cutting_.active;
  each_link([&](Link& l) {
    const bool waits = more && l.pacer.wait(now) > Duration{0};
    l.pacer.stops(waits ? l.rate.burst_max() : Duration{0});
  });
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
  const bool frames_out = flow_->out.unresolved() > 0 || flow_->heads_deadline != never;
  if (flow_->datagrams_since_heads >= heads_datagrams ||
      (frames_out && now - flow_->last_heads >= heads_interval)) {
    add_heads(builder, now);
  }
  if (!flow_->again.empty()) write_again(l, now);
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
  // So much that it fills its datagram: those of one size leave as one (UDP GSO).
  return least - wire::overhead_bytes - wire::rest_chunk_header_bytes;
}

/// Seals what the builder holds; its number is spent with this.
std::optional<OutgoingDatagram> Tunnel::emit(Link& l, DatagramBuilder& builder, const Path& path,
                                             MutableBytes room, Instant now) {
  if (&builder != &direct_) --open_builders_;
  LinkSpace& space = l.current();
  EpochKeys& keys = session_->current();
  const std::uint64_t number = space.sent.next_number();
  const std::size_t size = wire::header_bytes + builder.content_bytes() + wire::tag_bytes;
  MWTUN_ASSERT(size <= room.size());
  Writer header(room.first(wire::header_bytes));
  wire::write_header(header,
                     {keys.epoch, l.id, session_->remote, static_cast<std::uint32_t>(number)});
  keys.send.seal(wire::nonce_number(l.id, number), header.written(), builder.content(),
                 room.subspan(wire::header_bytes, size - wire::header_bytes));
  ++keys.sealed;
  builder.finish();

  SentDatagram& sent = space.sent.append();
  sent.eliciting = builder.eliciting();
  sent.mtu_probe = builder.mtu_probe();
  sent.bytes = static_cast<std::uint16_t>(size);
  sent.contents = builder.contents();
  sent.sent = now;
  charge(l, size, now);
  sent.sent_bytes = l.sent_bytes;
  sent.starved_bytes = l.starved_bytes;
  sent.paused_us = l.pacer.paused_us();
  ++l.counters.datagrams_out;
  l.counters.bytes_out += size;
  ++flow_->datagrams_since_heads;
  if (sent.eliciting) {
    l.bytes_in_flight += size;
    l.last_eliciting = now;
    if (l.waiting_since == never) l.waiting_since = now;
    if (sent.contents != ContentPool::none) flow_->heads_deadline = now + heads_quiet;
  }
  std::optional<OutgoingDatagram> datagram(std::in_place);
  datagram->path = path;
  datagram->size = size;
  datagram->tag = {id_, l.id, keys.epoch, true, number};
  datagram->may_join = l.gso.may_join(number);
  return datagram;
}

bool Tunnel::repair_worth_it(const OutChunk& chunk, Instant now) const {
  Duration best = Duration::max(), worst{};
  each_link([&](const Link& l) {
    if (!l.carries() || !l.rtt.known()) return;
    best = std::min(best, l.rtt.smoothed());
    worst = std::max(worst, l.rtt.smoothed());
  });
  if (best == Duration::max()) best = Duration{0};
  if (now - chunk.first_sent >= std::max<Duration>(repair_age_max, 3 * worst)) return false;
  // While all links stood still the peer got nothing that would make it wait for this.
  const Duration age = now - std::max(chunk.first_sent, resumed_ - worst);
  if (chunk.hole) return age < 2 * worst + hole_age_max;
  // The rest of a super-frame is saved by a HOLE that arrives before the peer has given up waiting,
  // which is so long after the piece was missed (see backstop()).
  if (chunk.of_super_frame &&
      age >= worst + std::max<Duration>(best, milliseconds(50)) + hole_early) {
    return false;
  }
  // A loss at a tail, or of a link that died, may be known late; then it still gets its attempts.
  if (chunk.free_repair) return true;
  // Three attempts inside the time of design 5.5, counted from when a loss can be known at all.
  const Duration allowed = std::max<Duration>(best * 5 / 2, milliseconds(100)) + worst;
  const bool affordable = flow_->repair_budget_bytes >= chunk.size;
  if (chunk.attempts < repair_attempts_min && affordable) return true;
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
  if (flow.repair.empty() || !any_carries_) return false;
  const Duration since = now - flow.repair_budget_at;
  flow.repair_budget_at = now;
  flow.repair_budget_bytes = std::min<std::int64_t>(
      repair_budget_max, flow.repair_budget_bytes + since.count() / 8000);  // 1 Mbit/s.
  while (!flow.repair.empty()) {
    const ChunkIndex index = flow.repair.front();
    OutChunk& chunk = flow.out[index];
    if (!chunk.resolved && !repair_worth_it(chunk, now)) give_up_piece(index);
    if (chunk.resolved) {
      chunk.queued = false;
      flow.repair.pop();
      flow.out.release(index);
      continue;
    }
    const bool paid = !chunk.free_repair && !chunk.hole;
    if (paid && flow.repair_budget_bytes < chunk.size) return false;
    const std::size_t need = bytes_of(chunk);
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
      const bool soon = l->pacer.wait(now) <= Scheduler::urgent_wait_max;
      if (fits && soon && can_send(*l, now)) chosen = l;
      if (except.has(*pick)) break;
      except.add(*pick);
    }
    if (chosen == nullptr) {
      if (any_fits || scheduler_.eligible().empty()) return false;
      give_up_piece(index);
      continue;
    }
    DatagramBuilder& builder = builder_for(*chosen, now);
    if (builder.room() < need) {
      builder.set_full();
      return true;
    }
    if (paid) flow.repair_budget_bytes -= chunk.size;
    if (!chunk.hole) ++chosen->counters.repaired;
    flow.repair.pop();
    chunk.queued = chunk.free_repair = false;
    write_chunk(*chosen, index, now);
    scheduler_.sent(chosen->id, static_cast<std::uint32_t>(need));
    flow.out.release(index);
    return true;
  }
  return false;
}

/// A sparse flow may run ahead of pacing by a frame, not by a super-frame: a stream whose queue is
/// empty now and then would keep the links busy ahead for ever, and who waits for them would
/// starve.
static bool small(const Frame& frame) {
  return frame.offload.gso == Offload::Gso::none;
}

/// Takes the next frame that some link may take.
bool Tunnel::begin_frame(Instant now) {
  Flow& flow = *flow_;
  if (flow.queue.empty() || !any_link_ready(Scheduler::urgent_wait_max, now)) return false;
  bulk_ready_ = any_link_ready(Duration{0}, now);
  std::optional<FrameQueue::Taken> taken = flow.queue.take(
      now,
      [&](FlowIndex index, const Frame& head, bool sparse) {
        return may_begin(index, head, sparse, now);
      },
      drops_);
  if (!taken) return false;
  cutting_.active = true;
  cutting_.frame = std::move(taken->frame);
  cutting_.offset = 0;
  cutting_.link.reset();
  cutting_.begun.reset();
  cutting_.lane = flow.flows.assign(taken->flow, cutting_.frame.size, now);
  cutting_.whole_on_one_link = cutting_.lane.pinned || !wire::lane_ordered(cutting_.lane.lane);
  cutting_.urgent = urgent(cutting_.lane, taken->sparse && small(cutting_.frame));
  if (!taken->sparse && flow.class_of[taken->flow] == 0) queue_delay_ = taken->sojourn;
  if (taken->marked) ++frames_.ecn_marked;
  return true;
}

bool Tunnel::may_begin(FlowIndex flow, const Frame& head, bool sparse, Instant now) const {
  const FlowTable::Assignment lane = flow_->flows.look(flow);
  const bool soon = urgent(lane, sparse && small(head));
  if (!soon && !bulk_ready_) return false;
  const Scheduler& scheduler = scheduler_for(flow);
  if (scheduler.kind() == SchedulerKind::redundant) {
    return !copy_links(scheduler, soon, now).empty();
  }
  const std::optional<LinkId> chosen = choose_link(lane, head.size, soon, now);
  return chosen && can_send(*link(*chosen), now);
}

/// Whether a link stands idle because of a frame that waits half sent. One that is too far for its
/// flow does not, unless somebody else would use it.
bool Tunnel::others_could_begin(Instant now) {
  bulk_ready_ = any_link_ready(Duration{0}, now);
  if (!bulk_ready_) return false;
  const LinkSet striped = scheduler_for(cutting_.lane.entry).striped(views_);
  bool ready = false;
  each_link([&](const Link& l) { ready |= striped.has(l.id) && l.pacer.wait(now) == Duration{0}; });
  return ready || flow_->queue.any(now, [&](FlowIndex flow, const Frame& head, bool sparse) {
    return may_begin(flow, head, sparse, now);
  });
}

/// What is little beside the links' rates takes the best of them and hardly waits; the rest is
/// striped.
bool Tunnel::urgent(const FlowTable::Assignment& lane, bool sparse) const {
  if (sparse) return true;
  if (flow_->queue.frames_of(lane.entry) > thin_frames) return false;
  return !wire::lane_ordered(lane.lane) || lane.bps < rate_bps_ / thin_share;
}

bool Tunnel::any_link_ready(Duration wait_max, Instant now) const {
  bool any = false;
  each_link([&](const Link& l) { any |= eligible_.has(l.id) && l.pacer.wait(now) <= wait_max; });
  return any;
}

/// The link for the next `bytes` of a flow. None: they have to wait.
std::optional<LinkId> Tunnel::choose_link(const FlowTable::Assignment& lane, std::uint32_t bytes,
                                          bool urgent, Instant now) const {
  const Scheduler& scheduler = scheduler_for(lane.entry);
  if (lane.pinned && lane.pin && scheduler.eligible().has(*lane.pin)) {
    const Duration wait_max = urgent ? Scheduler::urgent_wait_max : Duration{0};
    return link(*lane.pin)->pacer.wait(now) <= wait_max ? lane.pin : std::nullopt;
  }
  const std::uint64_t hash = scheduler.kind() == SchedulerKind::hash
                                 ? hash_flow_fields(flow_->flows.key(lane.entry), hash_fields_)
                                 : 0;
  // What is cut across links asks for one datagram after another.
  if (!lane.pinned && wire::lane_ordered(lane.lane)) bytes = std::min(bytes, piece_bytes_usual);
  const std::uint32_t begun = cutting_.active ? cutting_.frame.size - cutting_.offset : 0;
  return scheduler.pick(views_, bytes, hash, blocked_links(now), urgent,
                        flow_->queue.bytes() + begun);
}

bool Tunnel::append_frame(Instant now) {
  Flow& flow = *flow_;
  if (!cutting_.active && flow.queue.empty()) return false;
  if (!any_carries_) {
    if (!joining(now) && !standing_still(now)) drop_queue(Drop::no_usable_link);
    return false;
  }
  while (flow.out.full()) give_up(flow.out.oldest());
  if (flow.out.exhausted()) return false;
  if (!cutting_.active && !begin_frame(now)) return false;
  LinkSet links;
  const Scheduler& scheduler = scheduler_for(cutting_.lane.entry);
  if (scheduler.kind() == SchedulerKind::redundant) {
    links = copy_links(scheduler, cutting_.urgent, now);
    if (links.empty()) return false;
    each_link([&](const Link& l) {
      const bool late = scheduler.eligible().has(l.id) && !links.has(l.id);
      if (late && cutting_.offset == 0) drops_.add(Drop::redundant_copy_late);
    });
  } else if (cutting_.link && link(*cutting_.link)->carries() &&
             !link(*cutting_.link)->current().sent.full()) {
    // The rest of a frame that is not cut across links follows its beginning.
    links.add(*cutting_.link);
    if (!can_send(*link(*cutting_.link), now)) return false;
  } else {
    std::optional<LinkId> chosen =
        choose_link(cutting_.lane, cutting_.frame.size - cutting_.offset, cutting_.urgent, now);
    // What has begun goes on, whatever the pacing, when others could use the links meanwhile. Else
    // its rest shares a datagram with the next frame.
    const bool begun = cutting_.offset > 0 && cutting_.begun && link(*cutting_.begun)->carries();
    if (begun && !chosen && others_could_begin(now)) chosen = cutting_.begun;
    if (!chosen || !can_send(*link(*chosen), now)) return false;
    cutting_.begun = chosen;
    if (cutting_.lane.pinned) flow.flows.pin(cutting_.lane.entry, *chosen);
    links.add(*chosen);
    const std::optional<LinkId> second = second_link(*chosen, now);
    cutting_.again = goes_again(*chosen, second);
    if (second) {
      links.add(*second);
    } else if (cutting_.whole_on_one_link) {
      cutting_.link = chosen;
    }
  }
  return append_piece(links, now);
}

/// Cuts the next piece of the frame so that it fits the open datagrams of all the links given.
bool Tunnel::append_piece(LinkSet links, Instant now) {
  const std::size_t left = cutting_.frame.size - cutting_.offset;
  const std::size_t offload =
      cutting_.offset == 0 && !cutting_.frame.offload.plain() ? wire::offload_bytes : 0;
  std::size_t take = std::min(left, chunk_bytes_max() - offload);
  for (std::unique_ptr<Link>& l : all_links()) {
    if (!l || !links.has(l->id)) continue;
    DatagramBuilder& builder = builder_for(*l, now);
    const bool headers = cutting_.offset == 0 && cutting_.frame.offload.gso != Offload::Gso::none;
    const std::size_t least = std::min(left, headers ? super_frame_head_bytes : piece_bytes_min) +
                              wire::frame_chunk_header_bytes + offload;
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
  for (std::unique_ptr<Link>& l : all_links()) {
    if (!l || !links.has(l->id)) continue;
    write_chunk(*l, index, now);
    scheduler_for(cutting_.lane.entry).sent(l->id, static_cast<std::uint32_t>(take));
  }
  if (cutting_.again && take == left) {
    flow_->out.hold(index);
    flow_->again.push_back({index, *cutting_.begun});
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
  if (chunk.hole) {
    builder.write([&](Writer& out) { wire::write_hole(out, hole_of(chunk)); });
  } else {
    if (!chunk.offload.plain()) {
      builder.write([&](Writer& out) { wire::write_offload(out, chunk.offload); });
    }
    const bool rest = chunk.size + wire::frame_chunk_header_bytes > builder.room();
    builder.write([&](Writer& out) {
      wire::write_frame_chunk_header(out, chunk.lane, chunk.sequence, chunk.first, chunk.last, rest,
                                     chunk.size);
    });
    builder.add_slice(chunk.slab, {chunk.slab.data() + chunk.offset, chunk.size});
    if (rest) builder.set_full();
  }
  builder.set_eliciting();
  builder.add_content(flow_->contents, {.kind = Content::Kind::chunk, .value = index});
  flow_->out.hold(index);
  ++chunk.flights;
  ++chunk.attempts;
  chunk.link = l.id;
}

/// A datagram of this size goes: when may the next?
void Tunnel::charge(Link& l, std::size_t bytes, Instant now) {
  l.sent_bytes += bytes;
  if (tiers_.allowed().has(l.id)) tiers_.sent(static_cast<std::uint32_t>(bytes));
  if (l.pacer.sent(bytes, l.rate.pacing_bps(), now)) l.starved_bytes += bytes;
  for (LinkView& view : views_) {
    if (view.id == l.id) view.wait = l.pacer.wait(now), view.busy = l.pacer.busy(now);
  }
}

/// When pacing lets a link take what waits; never, if nothing does.
Instant Tunnel::next_send() const {
  if (flow_->queue.empty() && !cutting_.active && flow_->repair.empty()) return never;
  Instant first = never;
  each_link([&](const Link& l) {
    // One that may send and has nothing to is not helped by time.
    if (l.carries() && l.pacer.wait(now_) > Duration{0}) first = std::min(first, l.pacer.wake());
  });
  return first;
}

}  // namespace mwtun
