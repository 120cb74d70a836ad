#include "support/sim_world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "crypto/init.hpp"

#include "support/addresses.hpp"

namespace mwtun::test {
namespace {

constexpr Duration watch_every = milliseconds(100);
// A batch that was already under way may fail as a whole, and what it carried once more.
constexpr std::size_t errors_at_once_max = 200;
constexpr std::size_t socket_queue_max = 400;   // Datagrams a sleeping process finds waiting.
constexpr std::uint64_t idle_wakeups_max = 50;  // A second.
constexpr Duration idle_after = seconds(5);
constexpr std::uint16_t server_port = 4649;

Secret<32> key_of(std::uint64_t seed) {
  SeededEntropy entropy(seed);
  return generate_private_key(entropy);
}
constexpr std::uint64_t server_key_seed = 0x5e47e4;
std::uint64_t client_key_seed(std::size_t client) {
  return 0xc11e47 + client;
}
PresharedKey psk_of(std::size_t client, bool wrong) {
  return key_of(0x125 + client + (wrong ? 1000 : 0));
}

Address v6(std::uint8_t group, std::uint8_t client, std::uint8_t link, std::uint16_t port) {
  Address address;
  address.family = Family::v6;
  address.ip = {0x20, 0x01, 0x0d, 0xb8, 0, group, client, link};
  address.ip[15] = 1;
  address.port = port;
  return address;
}

/// Every reason that counted, for a failure's message.
std::string drops_of(const PeerReport& report) {
  std::string text;
  for (std::size_t i = 0; i < static_cast<std::size_t>(Drop::count_); ++i) {
    const auto reason = static_cast<Drop>(i);
    if (report.drops.of(reason) == 0) continue;
    text += fmt::format(" {} {}", to_string(reason), report.drops.of(reason));
  }
  return text;
}

}  // namespace

bool drops_frame(Drop reason) {
  switch (reason) {
    case Drop::frame_too_short:
    case Drop::frame_too_long:
    case Drop::frame_offload_bad:
    case Drop::no_session:
    case Drop::no_usable_link:
    case Drop::queue_full:
    case Drop::aqm:
    case Drop::repair_given_up:
    case Drop::session_ended_sending:
    case Drop::lane_overrun:
    case Drop::hole_given_up:
    case Drop::reassembly_broken:
    case Drop::reassembly_full:
    case Drop::out_of_slabs:
    case Drop::session_ended_receiving:
    case Drop::bad_frame_received: return true;
    default: return false;
  }
}

World::World(WorldOptions options) : chance(options.seed), options_(std::move(options)) {
  MWTUN_ASSERT(crypto_start());
  // Far from zero, so that clocks may differ in both directions and stamps wrap at any time.
  begin_ = Instant{} + seconds(1'000'000);
  now_ = begin_;
  next_watch_ = begin_ + watch_every;
  next_second_ = begin_ + seconds(1);
  room_.resize(datagram_bytes_max);
  const std::uint32_t slab_bytes = options_.mtu > 2000 ? 9216 : 2048;
  for (EndId id = 0; id <= options_.clients.size(); ++id) {
    ends_.push_back(std::make_unique<End>(id, slab_bytes, options_.slabs_max, chance.next()));
    ends_[id]->clock_offset = milliseconds(chance.below(900'000'000));
  }
  for (std::size_t c = 0; c < options_.clients.size(); ++c) {
    links_.emplace_back();
    for (std::size_t l = 0; l < options_.clients[c].links.size(); ++l) {
      auto link = std::make_unique<Link>();
      link->options = options_.clients[c].links[l];
      link->up.options = link->options.up, link->down.options = link->options.down;
      const auto c8 = static_cast<std::uint8_t>(c), l8 = static_cast<std::uint8_t>(l);
      const std::uint16_t port = next_port_++;
      const bool six = link->options.v6;
      link->inside = six ? v6(1, c8, l8, port) : v4(192, 168, c8, l8, port);
      link->outside =
          six ? v6(1, c8, l8, port) : v4(203, 0, static_cast<std::uint8_t>(113 + c), l8, port);
      link->server = six ? v6(0, 0, 0, server_port) : v4(198, 51, 100, 7, server_port);
      links_[c].push_back(std::move(link));
    }
  }
  for (EndId id = 0; id < ends_.size(); ++id) start(id);
}

World::~World() = default;

NodeConfig World::config_of(EndId id) const {
  NodeConfig config;
  config.ciphers = available_ciphers();
  config.limits = options_.limits;
  const End& end = *ends_[id];
  const Duration real = (now_ - begin_) + seconds(1'790'000'000) - end.wall_back;
  config.wall_clock_ns = static_cast<std::uint64_t>(real.count());
  config.private_key = key_of(id == 0 ? server_key_seed : client_key_seed(id - 1));
  for (std::size_t c = 0; c < options_.clients.size(); ++c) {
    if (id != 0 && c != id - 1) continue;
    PeerConfig peer;
    peer.name = id == 0 ? fmt::format("client{}", c) : "server";
    peer.public_key = public_key_of(key_of(id == 0 ? client_key_seed(c) : server_key_seed));
    peer.preshared_key = psk_of(c, id != 0 && options_.clients[c].wrong_psk);
    peer.initiator = id != 0;
    peer.mtu = options_.mtu;
    peer.scheduler = options_.scheduler;
    peer.cipher = options_.cipher;
    if (id != 0) {
      for (const auto& link : links_[c]) peer.links.push_back(link->options.config);
    }
    config.peers.push_back(std::move(peer));
  }
  return config;
}

void World::start(EndId id) {
  End& end = *ends_[id];
  ++end.starts;
  oracle.end_restarted(id);
  const std::size_t peers = id == 0 ? options_.clients.size() : 1;
  end.frames_in.assign(peers, 0), end.frames_out.assign(peers, 0);
  end.sockets.assign(id == 0 ? 2 : links_[id - 1].size(), {});
  end.node = std::make_unique<Node>(config_of(id), end.entropy, end.slabs, local(end));
  note(fmt::format("end {} starts", id));
  if (id != 0) {
    for (std::size_t l = 0; l < links_[id - 1].size(); ++l) {
      if (links_[id - 1][l]->there) give_interface(id - 1, l);
    }
  }
  drain(end);
}

void World::restart(EndId id, Duration off) {
  End& end = *ends_[id];
  if (end.node == nullptr) return;
  note(fmt::format("end {} stops", id));
  end.node.reset();
  end.due = never;
  if (end.slabs.in_use() != 0) {
    oracle.fail(now_, "a destroyed node holds nothing",
                fmt::format("end {}: {} slabs", id, end.slabs.in_use()));
  }
  schedule(now_ + off, What::start, id);
}

void World::close(EndId id) {
  End& end = *ends_[id];
  if (end.node == nullptr) return;
  end.node->close(local(end));
  drain(end);
}

void World::pause(EndId id, Duration time) {
  End& end = *ends_[id];
  end.paused_until = std::max(end.paused_until, now_ + time);
  end.due = end.due == never ? never : std::max(end.due, end.paused_until);
}

void World::jump_clock(EndId id, Duration forward) {
  End& end = *ends_[id];
  end.clock_offset += forward;
  note(fmt::format("end {} clock jumps {} ms", id, forward / milliseconds(1)));
  end.armed = never;
  if (end.node != nullptr) rearm(end);
}

void World::kill_link(std::size_t client, std::size_t link, bool dead) {
  up(client, link).options.dead = dead;
  down(client, link).options.dead = dead;
  note(fmt::format("link {}.{} {}", client, link, dead ? "dies" : "lives"));
}

void World::rebind(std::size_t client, std::size_t link, bool new_ip) {
  Address& outside = links_[client][link]->outside;
  outside.port = next_port_++;
  if (new_ip)
    outside.ip[outside.family == Family::v6 ? 14 : 3] ^=
        static_cast<std::uint8_t>(1 + next_port_ % 250);
  note(fmt::format("link {}.{} is now {}", client, link, to_string(outside)));
}

Address World::public_address(std::size_t client, std::size_t link) const {
  return links_[client][link]->outside;
}

Path World::path_towards(EndId end, std::size_t client, std::size_t link) const {
  const Link& it = *links_[client][link];
  if (end != 0) return {SocketId{static_cast<std::uint16_t>(link)}, it.inside, it.server};
  const std::uint16_t socket = it.options.v6 ? 1 : 0;
  return {SocketId{socket}, it.server, it.outside};
}

void World::take_interface(std::size_t client, std::size_t link) {
  links_[client][link]->there = false;
  End& end = *ends_[client + 1];
  note(fmt::format("link {}.{} interface gone", client, link));
  if (end.node == nullptr) return;
  end.node->clear_link_path(PeerId{0}, LinkId{static_cast<std::uint8_t>(link)}, local(end));
  drain(end);
}

void World::give_interface(std::size_t client, std::size_t link) {
  Link& it = *links_[client][link];
  it.there = true;
  End& end = *ends_[client + 1];
  if (end.node == nullptr) return;
  const Path path{SocketId{static_cast<std::uint16_t>(link)}, it.inside, it.server};
  end.node->set_link_path(PeerId{0}, LinkId{static_cast<std::uint8_t>(link)}, path,
                          it.options.interface_mtu, local(end));
  drain(end);
}

void World::set_send_error(std::size_t client, std::size_t link, std::optional<SendError> error) {
  ends_[client + 1]->sockets[link].failing = error;
}

void World::schedule(Instant at, What what, std::size_t index, std::size_t detail) {
  queue_.push({at, order_++, what, index, detail});
}

void World::at(Duration time, std::function<void()> action) {
  actions_.push_back(std::move(action));
  schedule(begin_ + time, What::action, actions_.size() - 1);
}

void World::run_until(Duration time) {
  const Instant until = begin_ + time;
  while (!oracle.failed()) {
    Instant next = next_watch_;
    End* waking = nullptr;
    for (const auto& end : ends_) {
      if (end->due < next) next = end->due, waking = end.get();
    }
    if (!queue_.empty() && queue_.top().at <= next) next = queue_.top().at, waking = nullptr;
    if (next > until) break;
    now_ = std::max(now_, next);
    ++steps_;
    if (waking != nullptr) {
      wake(*waking);
    } else if (!queue_.empty() && queue_.top().at == next) {
      const Happening happening = queue_.top();
      queue_.pop();
      happen(happening);
    } else {
      watch();
      next_watch_ = now_ + watch_every;
    }
  }
  if (!oracle.failed()) now_ = until;
}

void World::happen(const Happening& happening) {
  switch (happening.what) {
    case What::datagram: return arrive(happening.index);
    case What::traffic: return emit(happening.index);
    case What::action: {
      const auto action = std::move(actions_[happening.index]);
      return action();
    }
    case What::start: return start(happening.index);
    case What::writable: {
      End& end = *ends_[happening.index];
      if (end.node == nullptr || end.sockets[happening.detail].told_writable) return;
      end.sockets[happening.detail].told_writable = true;
      end.node->handle_writable(SocketId{static_cast<std::uint16_t>(happening.detail)}, local(end));
      return drain(end);
    }
  }
}

void World::wake(End& end) {
  ++end.wakeups, ++end.second_wakeups;
  const Instant at = local(end);
  end.node->handle_timeout(at);
  drain(end);
  // What was refused while sending may have made something due at once.
  if (end.node->poll_timeout() <= at) {
    end.node->handle_timeout(at);
    drain(end);
  }
  if (end.node->poll_timeout() <= at) {
    oracle.fail(now_, "the next timeout lies ahead", fmt::format("end {}", end.id));
  }
}

void World::rearm(End& end) {
  const Instant local_due = end.node->poll_timeout();
  if (local_due == end.armed) return;
  end.armed = local_due;
  if (local_due == never) {
    end.due = never;
    return;
  }
  end.due = std::max({now_, local_due - end.clock_offset, end.paused_until});
  if (options_.wake_late_max > Duration{}) {
    end.due += Duration(static_cast<Duration::rep>(
        chance.below(static_cast<std::uint64_t>(options_.wake_late_max.count()))));
  }
}

void World::drain(End& end) {
  std::size_t datagrams = 0;
  while (const auto out = end.node->poll_datagram(room_, local(end))) {
    if (++datagrams > 20'000) {
      return oracle.fail(now_, "polling for datagrams ends", fmt::format("end {}", end.id));
    }
    if (out->size == 0 || out->size > room_.size()) {
      return oracle.fail(now_, "datagrams are well formed", fmt::format("{} bytes", out->size));
    }
    take_datagram(end, *out, Bytes(room_).first(out->size));
  }
  while (const auto delivered = end.node->poll_frame()) {
    const std::size_t peer = index_of(delivered->peer);
    const EndId from = end.id == 0 ? peer + 1 : 0;
    ++end.frames_out[peer];
    end.last_frame = now_;
    const Bytes bytes = delivered->frame.bytes();
    trace(bytes.size() << 8 | 1), trace(load_le64(bytes.data() + bytes.size() - 8));
    oracle.frame_delivered(end.id, from, bytes, now_);
    if (options_.verbose > 1 && !oracle.failed()) {
      const auto tag = read_frame(bytes);
      note(fmt::format("  end {} frame out: flow {} sequence {} size {}", end.id, tag->flow,
                       tag->sequence, bytes.size()));
    }
    if (on_delivered && !oracle.failed()) {
      const auto tag = read_frame(bytes);
      on_delivered(tag->flow, tag->sequence);
    }
  }
  while (const auto event = end.node->poll_event()) {
    ++end.events[static_cast<std::size_t>(event->kind)];
    if (event->kind == Event::Kind::session_up) oracle.session_began(end.id);
    if (options_.verbose > 0) {
      note(fmt::format("end {} event {} link {} state {} -> {} ({}) {}", end.id,
                       static_cast<int>(event->kind), value_of(event->link),
                       to_string(event->state_before), to_string(event->state),
                       to_string(event->reason), event->value));
    }
  }
  rearm(end);
}

std::optional<SendError> World::refuse(End& end, SocketId id) {
  Socket& socket = end.sockets[index_of(id)];
  if (socket.failing && *socket.failing != SendError::would_block) return socket.failing;
  if (socket.blocked_until > now_) return SendError::would_block;
  const bool block = socket.failing.has_value() ||
                     (options_.send_block_chance > 0 && chance.chance(options_.send_block_chance));
  if (!block) return std::nullopt;
  socket.blocked_until = now_ + microseconds(50 + chance.below(5000));
  socket.told_writable = false;
  schedule(socket.blocked_until, What::writable, end.id, index_of(id));
  return SendError::would_block;
}

void World::take_datagram(End& end, const OutgoingDatagram& out, Bytes bytes) {
  if (index_of(out.path.socket) >= end.sockets.size()) {
    return oracle.fail(now_, "datagrams leave by a known socket", fmt::format("end {}", end.id));
  }
  std::size_t client = SIZE_MAX, link = SIZE_MAX;
  EndId to = 0;
  if (end.id == 0) {
    to = index_of(out.tag.peer) + 1;
    for (std::size_t c = 0; c < links_.size(); ++c) {
      for (std::size_t l = 0; l < links_[c].size(); ++l) {
        if (links_[c][l]->outside == out.path.remote) client = c, link = l;
      }
    }
  } else {
    client = end.id - 1, link = index_of(out.path.socket);
    if (out.path.remote != links_[client][link]->server) {
      return oracle.fail(now_, "a client sends to its endpoint only", to_string(out.path.remote));
    }
    if (!links_[client][link]->there) {
      return oracle.fail(now_, "nothing is sent on a link that has no path",
                         fmt::format("client {} link {}", client, link));
    }
  }
  const DatagramMark mark = oracle.datagram_sent(end.id, to, bytes, out.tag, local(end), now_);
  if (oracle.failed()) return;
  ++end.datagrams_sent, end.bytes_sent += bytes.size();
  trace(static_cast<std::uint64_t>((now_ - begin_).count()));
  trace(bytes.size() << 8 | end.id << 4 | 2), trace(load_le64(bytes.data() + bytes.size() - 8));
  if (const auto error = refuse(end, out.path.socket)) {
    end.errors_at_once = now_ == end.last_error ? end.errors_at_once + 1 : 0;
    end.last_error = now_;
    if (end.errors_at_once > errors_at_once_max) {
      return oracle.fail(now_, "what a socket refuses is not sent again at once",
                         fmt::format("end {}, error {}", end.id, static_cast<int>(*error)));
    }
    return end.node->handle_send_error(out.tag, *error, local(end));
  }
  const bool data = (bytes[0] & 0x0f) == 4;
  if (end.id == 0) oracle.server_sent(out.path.remote, bytes.size(), data, now_);
  if (client == SIZE_MAX) return;  // An address that is nobody's, or nobody's any more.
  if (on_datagram && !on_datagram({end.id, client, link, bytes, mark})) return;
  carry(end.id, client, link, bytes, mark);
}

void World::carry(EndId from, std::size_t client, std::size_t link, Bytes bytes,
                  const DatagramMark& mark) {
  Link& it = *links_[client][link];
  Flying datagram;
  datagram.to = from == 0 ? client + 1 : 0;
  datagram.mark = mark;
  datagram.client = client, datagram.link = link;
  datagram.path = path_towards(datagram.to, client, link);
  datagram.bytes.assign(bytes.begin(), bytes.end());
  record(datagram);
  const auto ip_bytes = static_cast<std::uint32_t>(bytes.size()) + it.server.header_bytes();
  const bool handshake = (bytes[0] & 0x0f) != 4;
  const Arrivals arrivals = (from == 0 ? it.down : it.up).pass(ip_bytes, handshake, now_, chance);
  if (options_.verbose > 1) {
    std::string fate = arrivals.count == 0 ? " lost" : "";
    for (std::size_t i = 0; i < arrivals.count; ++i) {
      fate += fmt::format(" -> {:.6f}{}",
                          std::chrono::duration<double>(arrivals.copies[i].at - begin_).count(),
                          arrivals.copies[i].corrupt ? " corrupt" : "");
    }
    note(fmt::format("  end {} link {}.{} type {} number {} size {}{}", from, client, link,
                     bytes[0] & 15, handshake ? 0 : mark.number, bytes.size(), fate));
  }
  for (std::size_t i = 0; i < arrivals.count; ++i) {
    Flying copy = datagram;
    if (arrivals.copies[i].corrupt) {
      copy.altered = true;
      const std::uint64_t kind = chance.below(10);
      if (kind == 0) {
        copy.bytes.resize(chance.below(copy.bytes.size()));
      } else if (kind == 1) {
        copy.bytes.push_back(static_cast<std::uint8_t>(chance.next()));
      } else {
        for (std::uint64_t flips = 1 + chance.below(4); flips > 0; --flips) {
          // Every other flip in the header, where it hurts most.
          const std::size_t reach =
              chance.chance(0.5) ? std::min<std::size_t>(10, copy.bytes.size()) : copy.bytes.size();
          copy.bytes[chance.below(reach)] ^= static_cast<std::uint8_t>(1u << chance.below(8));
        }
        copy.altered = copy.bytes != datagram.bytes;
      }
    }
    launch(std::move(copy), arrivals.copies[i].at);
  }
}

void World::record(const Flying& datagram) {
  const bool handshake = (datagram.bytes[0] & 0x0f) != 4;
  auto& recordings = handshake ? handshake_recordings_ : data_recordings_;
  const std::size_t most = handshake ? 64 : data_recordings_max_;
  if (!handshake && most <= 64 && !chance.chance(0.05)) return;
  recordings.push_back({datagram.bytes, datagram.to, datagram.path, datagram.mark});
  if (recordings.size() > most) recordings.pop_front();
}

void World::inject(const Recording& recording, std::optional<Address> from) {
  Flying datagram;
  datagram.bytes = recording.bytes;
  datagram.to = recording.to;
  datagram.path = recording.path;
  datagram.mark = recording.mark;
  if (from) datagram.path.remote = *from;
  launch(std::move(datagram), now_);
}

void World::launch(Flying datagram, Instant at) {
  std::size_t index = flying_.size();
  if (flying_free_.empty()) {
    flying_.push_back(std::move(datagram));
  } else {
    index = flying_free_.back();
    flying_free_.pop_back();
    flying_[index] = std::move(datagram);
  }
  schedule(at, What::datagram, index);
}

void World::arrive(std::size_t index) {
  End& end = *ends_[flying_[index].to];
  if (end.node != nullptr && end.paused_until > now_) {
    if (++end.waiting_while_paused <= socket_queue_max) {
      return schedule(end.paused_until, What::datagram, index);
    }
  } else if (end.node != nullptr) {
    const Flying datagram = std::move(flying_[index]);
    end.waiting_while_paused = 0;
    // Towards a client: only if its NAT still knows the address, which take_datagram() has seen to,
    // and its interface is there.
    const bool there =
        end.id == 0 || datagram.client == SIZE_MAX || links_[datagram.client][datagram.link]->there;
    if (there) {
      const bool data = !datagram.bytes.empty() && (datagram.bytes[0] & 0x0f) == 4;
      if (end.id == 0) oracle.server_received(datagram.path.remote, datagram.bytes.size(), data);
      oracle.datagram_arrives(end.id, datagram.mark, datagram.altered);
      end.node->handle_datagram(datagram.path, datagram.bytes, local(end), local(end));
      drain(end);
    }
  }
  flying_[index] = {};
  flying_free_.push_back(index);
}

std::size_t World::add_flow(FlowKind kind, std::size_t client, bool upwards) {
  FlowShape shape;
  shape.kind = kind;
  return oracle.add_flow(shape, upwards ? client + 1 : 0, upwards ? 0 : client + 1);
}

std::size_t World::add_traffic(const TrafficOptions& options) {
  const std::size_t flow = add_flow(options.kind, options.client, options.up);
  FlowShape& shape = oracle.flow(flow).shape;
  shape.vlan = options.vlan;
  shape.ecn_capable =
      options.ecn_capable && options.kind != FlowKind::arp && options.kind != FlowKind::other;
  const Instant start = begin_ + options.start;
  traffic_.push_back({options, flow, options.spell > Duration{} ? start + options.spell : never});
  schedule(std::max(start, now_), What::traffic, traffic_.size() - 1);
  return flow;
}

void World::stop_traffic() {
  traffic_on_ = false;
}

void World::emit(std::size_t index) {
  Traffic& traffic = traffic_[index];
  const TrafficOptions& options = traffic.options;
  if (!traffic_on_ || now_ - begin_ >= options.stop) return;
  if (now_ >= traffic.spell_end) {
    traffic.spell_end = now_ + options.rest + options.spell;
    return schedule(now_ + options.rest, What::traffic, index);
  }
  const auto smallest =
      static_cast<std::uint32_t>(frame_bytes_min(oracle.flow(traffic.flow).shape));
  const std::uint32_t low = std::max(options.bytes_min, smallest);
  const std::uint32_t high = std::max(options.bytes_max, low);
  for (std::uint64_t burst = chance.between(1, options.burst_max); burst > 0; --burst) {
    send_frame(traffic.flow, static_cast<std::uint32_t>(chance.between(low, high)));
  }
  Duration gap = options.gap;
  if (options.random_gaps) {
    gap = Duration(static_cast<Duration::rep>(
        chance.below(2 * static_cast<std::uint64_t>(options.gap.count()) + 1)));
  }
  schedule(now_ + std::max<Duration>(gap, microseconds(1)), What::traffic, index);
}

void World::send_frame(std::size_t id, std::uint32_t bytes) {
  FlowRecord& flow = oracle.flow(id);
  End& end = *ends_[flow.from];
  if (end.node == nullptr || end.paused_until > now_) return;
  Frame frame;
  frame.slab = end.slabs.take();
  if (!frame.slab) return;
  frame.size = std::max(bytes, static_cast<std::uint32_t>(frame_bytes_min(flow.shape)));
  make_frame(flow.shape, flow.frames.size(), frame.mutable_bytes());
  oracle.frame_sent(id, frame.size, now_);
  if (options_.verbose > 1) {
    note(fmt::format("  end {} frame in: flow {} sequence {} size {}", end.id, id,
                     flow.frames.size() - 1, frame.size));
  }
  const std::size_t peer = flow.from == 0 ? flow.to - 1 : 0;
  ++end.frames_in[peer];
  end.last_frame = now_;
  end.node->handle_frame(PeerId{static_cast<std::uint16_t>(peer)}, std::move(frame), local(end));
  drain(end);
}

PeerReport World::report(EndId id, EndId peer) const {
  const End& end = *ends_[id];
  return end.node->report(PeerId{static_cast<std::uint16_t>(id == 0 ? peer - 1 : 0)}, local(end));
}

void World::watch() {
  for (EndId id = 0; id < ends_.size(); ++id) {
    if (ends_[id]->node == nullptr) continue;
    if (id == 0) {
      for (EndId peer = 1; peer < ends_.size(); ++peer) watch_pair(0, peer);
    } else {
      watch_pair(id, 0);
    }
  }
  if (now_ < next_second_) return;
  next_second_ += seconds(1);
  Instant last_frame{};
  for (const auto& end : ends_) last_frame = std::max(last_frame, end->last_frame);
  for (const auto& end : ends_) {
    if (now_ - last_frame > idle_after && end->second_wakeups > idle_wakeups_max) {
      oracle.fail(now_, "an idle end sleeps",
                  fmt::format("end {} woke {} times in a second", end->id, end->second_wakeups));
    }
    end->second_wakeups = 0;
  }
}

void World::watch_pair(EndId id, EndId peer) {
  const End& end = *ends_[id];
  const PeerReport report = this->report(id, peer);
  const std::size_t slot = id == 0 ? peer - 1 : 0;
  const std::string name = fmt::format("end {} peer {}", id, peer);
  if (report.frames.frames_in != end.frames_in[slot]) {
    oracle.fail(now_, "frames are counted as they come in",
                fmt::format("{}: {} of {}", name, report.frames.frames_in, end.frames_in[slot]));
  }
  if (report.frames.frames_out != end.frames_out[slot]) {
    oracle.fail(now_, "frames are counted as they go out",
                fmt::format("{}: {} of {}", name, report.frames.frames_out, end.frames_out[slot]));
  }
  if (report.bytes_held > std::uint64_t{options_.limits.held_chunks} * end.slabs.slab_bytes()) {
    oracle.fail(now_, "memory is bounded", fmt::format("{}: {} bytes", name, report.bytes_held));
  }
  if (report.links.size() > links_max) {
    oracle.fail(now_, "links are bounded", fmt::format("{}: {}", name, report.links.size()));
  }
  for (const LinkReport& link : report.links) {
    const std::uint64_t genuine = oracle.timely_arrivals(id, peer, value_of(link.id));
    if (link.counters.datagrams_in > genuine) {
      oracle.fail(now_, "a datagram counts once",
                  fmt::format("{} link {}: {} taken in, {} genuine ones came in time", name,
                              value_of(link.id), link.counters.datagrams_in, genuine));
    }
  }
}

std::string World::drops(EndId end, EndId peer) const {
  if (!running(end)) return " not running";
  const PeerReport peer_report = report(end, peer);
  std::string text = drops_of(peer_report);
  for (const LinkReport& link : peer_report.links) {
    text += fmt::format(" [{} {} paced {:.3g} of {:.3g} Mbit/s, queue {} ms]", index_of(link.id),
                        to_string(link.state), static_cast<double>(link.pacing_bps) / 1e6,
                        static_cast<double>(link.capacity_bps) / 1e6, link.queue / milliseconds(1));
  }
  return text;
}

World::Balance World::balance(EndId from, EndId to) const {
  Balance balance;
  balance.exact = restarts(from) == 0 && restarts(to) == 0;
  if (!running(from) || !running(to)) return balance;
  balance.in = ends_[from]->frames_in[from == 0 ? to - 1 : 0];
  balance.out = ends_[to]->frames_out[to == 0 ? from - 1 : 0];
  const PeerReport sender = report(from, to), receiver = report(to, from);
  for (std::size_t i = 0; i < static_cast<std::size_t>(Drop::count_); ++i) {
    const auto reason = static_cast<Drop>(i);
    // One report has the drops of both directions: these reasons belong to frames on their way out,
    // the others to frames on their way in.
    const bool outwards = reason <= Drop::redundant_copy_late;
    if (drops_frame(reason)) balance.drops += (outwards ? sender : receiver).drops.of(reason);
  }
  return balance;
}

void World::expect_settled() {
  if (oracle.failed()) return;
  for (EndId client = 1; client < ends_.size(); ++client) {
    for (const bool upwards : {true, false}) {
      const EndId from = upwards ? client : 0, to = upwards ? 0 : client;
      const Balance sum = balance(from, to);
      if (!sum.exact || !running(from) || !running(to)) continue;
      if (sum.out + sum.drops < sum.in) {
        oracle.fail(
            now_, "every frame comes out or is counted",
            fmt::format("{} -> {}: {} in, {} out, {} counted as dropped; sender:{} receiver:{}",
                        from, to, sum.in, sum.out, sum.drops, drops(from, to), drops(to, from)));
      }
      const PeerReport sender = report(from, to), receiver = report(to, from);
      if (sender.frames_queued != 0 || receiver.frames_reordering != 0) {
        oracle.fail(now_, "nothing is held when all is quiet",
                    fmt::format("{} -> {}: {} queued, {} held for order", from, to,
                                sender.frames_queued, receiver.frames_reordering));
      }
    }
  }
}

void World::note_lines() const {
  if (options_.verbose == 0) return;
  const auto line = [](const LineOptions& o) {
    return fmt::format(
        "{:.1f} ms + {:.1f}{}, {} kbit/s, queue {}, mtu {}, loss {:.3f} burst "
        "{:.3f}/{:.2f}/{:.2f}, "
        "dup {:.2f}, corrupt {:.3f}, reorder {:.2f} by {:.1f}{}",
        std::chrono::duration<double, std::milli>(o.delay).count(),
        std::chrono::duration<double, std::milli>(o.jitter).count(),
        o.jitter_reorders ? " reordering" : "", o.rate_bps / 1000, o.queue_bytes_max, o.mtu, o.loss,
        o.burst_enter, o.burst_leave, o.burst_loss, o.duplicate, o.corrupt, o.reorder,
        std::chrono::duration<double, std::milli>(o.reorder_by).count(), o.dead ? ", dead" : "");
  };
  for (std::size_t c = 0; c < links_.size(); ++c) {
    for (std::size_t l = 0; l < links_[c].size(); ++l) {
      note(fmt::format("link {}.{}{}{}{} up   {}", c, l, links_[c][l]->there ? "" : " (gone)",
                       links_[c][l]->options.config.role == LinkRole::backup ? " backup" : "",
                       links_[c][l]->options.config.metered ? " metered" : "",
                       line(links_[c][l]->up.options)));
      note(fmt::format("link {}.{} down {}", c, l, line(links_[c][l]->down.options)));
    }
  }
}

void World::trace(std::uint64_t word) {
  trace_hash_ = (trace_hash_ ^ word) * 0x100000001b3;
  trace_hash_ ^= trace_hash_ >> 31;
}

void World::note(const std::string& text) const {
  if (options_.verbose > 0) {
    std::fprintf(stderr, "%11.6f %s\n", std::chrono::duration<double>(now_ - begin_).count(),
                 text.c_str());
  }
}

}  // namespace mwtun::test
