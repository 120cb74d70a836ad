#include "dataplane/node.hpp"

#include <algorithm>
#include <unordered_map>

#include "crypto/cookie.hpp"
#include "crypto/initiation_limiter.hpp"
#include "dataplane/handshake_initiator.hpp"
#include "dataplane/handshake_responder.hpp"
#include "dataplane/tunnel.hpp"

namespace mwtun {

struct Node::State {
  struct Peer {
    Peer(PeerId id, const PeerConfig& config, const NodeConfig& node, const Identity& identity,
         std::uint64_t instance, Entropy& entropy, SlabPool& slabs, Instant now)
        : tunnel(id, config, node, entropy, slabs, now),
          initiator(identity, config, node.ciphers, node.providers, instance, entropy),
          responder(config, node.ciphers, node.providers, instance, entropy) {}
    Tunnel tunnel;
    HandshakeInitiator initiator;
    HandshakeResponder responder;
    Instant deadline{};
    bool touched = true;
  };

  State(NodeConfig node_config, Entropy& node_entropy, SlabPool& node_slabs, Instant now)
      : config(std::move(node_config)),
        entropy(node_entropy),
        slabs(node_slabs),
        identity(config.private_key.clone()),
        limiter(entropy, !config.foreign.empty()),
        freshness(config.wall_clock_ns, now),
        last_input(now) {
    const std::uint64_t instance = entropy.u64();
    for (std::size_t i = 0; i < config.peers.size(); ++i) {
      peers.push_back(std::make_unique<Peer>(PeerId{static_cast<std::uint16_t>(i)}, config.peers[i],
                                             config, identity, instance, entropy, slabs, now));
    }
  }

  NodeConfig config;
  Entropy& entropy;
  SlabPool& slabs;
  Identity identity;
  InitiationLimiter limiter;
  CookieSecret cookies;
  Freshness freshness;
  std::vector<std::unique_ptr<Peer>> peers;
  std::unordered_map<std::uint32_t, std::uint16_t> peer_of_index;  // Looked up only, never walked.
  Ring<HandshakeDatagram> answers;
  Ring<ForwardedInitiation> forwards;
  bool answer_next = false;  // Before anything of the peers.
  DropCounters drops;
  Instant last_input;
  std::size_t next_peer = 0;  // Peers take turns at poll_*().

  Peer& touch(PeerId id) {
    Peer& peer = *peers[index_of(id)];
    peer.touched = true;
    return peer;
  }
  std::uint32_t fresh_index(PeerId peer);
  bool owns(const Peer& peer, std::uint32_t index) const;
  Peer* find(std::uint32_t index);
  PeerId id_of(const Peer& peer) const;
  void advance(Peer& peer, Instant now);
  void handle_initiation(const Path& path, Bytes datagram, Instant now);
  /// @param forwarded  by the node that admits initiations, where they are not its own affair
  void read_initiation(const Path& path, Bytes datagram, bool mac2_valid, bool forwarded,
                       Instant now);
  void forward(ForwardedInitiation::Kind kind, unsigned worker, const Path& path, Bytes datagram,
               bool mac2_valid);
  void answer_stale(const Path& path, Bytes datagram, Instant now);
  void answer_with_cookie(const Path& path, Bytes datagram, Instant now);
  void handle_response(const Path& path, Bytes datagram, Instant now);
  void handle_data(const Path& path, Bytes datagram, Instant received, Instant now);
  void compute_deadline(Peer& peer);
};

Node::Node(NodeConfig config, Entropy& entropy, SlabPool& slabs, Instant now)
    : state_(std::make_unique<State>(std::move(config), entropy, slabs, now)) {}
Node::~Node() = default;

bool Node::State::owns(const Peer& peer, std::uint32_t index) const {
  return (peer.tunnel.has_session() && value_of(peer.tunnel.session().local) == index) ||
         peer.initiator.pending_index() == index || peer.responder.knows(index);
}

std::uint32_t Node::State::fresh_index(PeerId peer) {
  // Names of attempts that came to nothing pile up; the few that live are put in anew.
  if (peer_of_index.size() > 16 * peers.size() + 64) {
    peer_of_index.clear();
    for (std::size_t i = 0; i < peers.size(); ++i) {
      const auto number = static_cast<std::uint16_t>(i);
      if (peers[i]->tunnel.has_session()) {
        peer_of_index[value_of(peers[i]->tunnel.session().local)] = number;
      }
      if (peers[i]->initiator.pending_index() != 0) {
        peer_of_index[peers[i]->initiator.pending_index()] = number;
      }
      peers[i]->responder.each_index([&](std::uint32_t index) { peer_of_index[index] = number; });
    }
  }
  while (true) {
    const std::uint32_t index = entropy.u32();
    if (!config.seat.names(index)) continue;
    if (index != 0 && peer_of_index.emplace(index, value_of(peer)).second) return index;
  }
}

Node::State::Peer* Node::State::find(std::uint32_t index) {
  const auto found = peer_of_index.find(index);
  if (found == peer_of_index.end()) return nullptr;
  Peer& peer = *peers[found->second];
  return owns(peer, index) ? &peer : nullptr;
}

PeerId Node::State::id_of(const Peer& peer) const {
  const auto at = std::ranges::find_if(peers, [&](const auto& p) { return p.get() == &peer; });
  return PeerId{static_cast<std::uint16_t>(at - peers.begin())};
}

void Node::State::advance(Peer& peer, Instant now) {
  if (!peer.tunnel.config().initiator) return;
  peer.initiator.advance(
      peer.tunnel, freshness, [&] { return fresh_index(id_of(peer)); }, now);
}

void Node::handle_frame(PeerId peer, Frame frame, Instant now) {
  state_->last_input = std::max(state_->last_input, now);
  state_->touch(peer).tunnel.handle_frame(std::move(frame), now);
}

void Node::handle_datagram(const Path& path, Bytes datagram, Instant received, Instant now) {
  State& s = *state_;
  s.last_input = std::max(s.last_input, now);
  const std::uint8_t type = datagram.empty() ? 0 : datagram[0] & 0x0f;
  switch (static_cast<wire::Type>(type)) {
    case wire::Type::data: return s.handle_data(path, datagram, std::min(received, now), now);
    case wire::Type::initiation: return s.handle_initiation(path, datagram, now);
    case wire::Type::response:
    case wire::Type::cookie: return s.handle_response(path, datagram, now);
  }
  s.drops.add(Drop::datagram_malformed);
}

void Node::State::handle_data(const Path& path, Bytes datagram, Instant received, Instant now) {
  const std::optional<wire::DataHeader> header = wire::read_header(datagram);
  if (!header || datagram.size() > datagram_bytes_max) {
    drops.add(Drop::datagram_malformed);
    return;
  }
  const std::uint32_t index = value_of(header->receiver);
  Peer* peer = find(index);
  if (peer == nullptr) {
    drops.add(Drop::unknown_index);
    return;
  }
  peer->touched = true;
  Tunnel& tunnel = peer->tunnel;
  const auto current = [&] {
    return tunnel.has_session() && tunnel.session().local == header->receiver;
  };
  if (current() && tunnel.handle_data(path, *header, datagram, received, now)) return;
  if (peer->responder.confirm(*header, datagram, tunnel, now) && current()) {
    tunnel.handle_data(path, *header, datagram, received, now);
    return;
  }
  tunnel.drops().add(Drop::unknown_epoch);
}

void Node::State::handle_initiation(const Path& path, Bytes datagram, Instant now) {
  if (check_mac1(identity, datagram) != HandshakeError::none) {
    drops.add(Drop::unauthenticated_handshake);
    return;
  }
  const bool mac2_valid = cookies.mac2_valid(datagram, path.remote, now);
  switch (limiter.admit(path.remote, mac2_valid, now)) {
    case Admission::accept: break;
    case Admission::cookie: answer_with_cookie(path, datagram, now); return;
    case Admission::source_rate:
    case Admission::cookie_rate:
    case Admission::dh_rate: drops.add(Drop::handshake_limited); return;
  }
  read_initiation(path, datagram, mac2_valid, false, now);
}

void Node::State::read_initiation(const Path& path, Bytes datagram, bool mac2_valid, bool forwarded,
                                  Instant now) {
  std::optional<ReceivedInitiation> initiation;
  if (ReceivedInitiation::read(identity, datagram, initiation) != HandshakeError::none) {
    drops.add(Drop::unauthenticated_handshake);
    return;
  }
  const auto known = std::ranges::find_if(config.peers, [&](const PeerConfig& peer) {
    return peer.public_key == initiation->peer() && !peer.initiator;
  });
  if (known == config.peers.end()) {
    const auto foreign = std::ranges::find(config.foreign, initiation->peer(),
                                           &ForeignPeer::public_key);
    if (foreign == config.foreign.end()) {
      drops.add(Drop::unauthenticated_handshake);
    } else {
      forward(ForwardedInitiation::Kind::admitted, foreign->worker, path, datagram, mac2_valid);
    }
    return;
  }
  const PeerId id{static_cast<std::uint16_t>(known - config.peers.begin())};
  Peer& peer = touch(id);
  const std::uint32_t index = initiation->payload().rekey ? 1 : fresh_index(id);
  HandshakeDatagram answer;
  switch (peer.responder.handle(*initiation, mac2_valid, path, index, peer.tunnel, answer, now)) {
    case HandshakeResponder::Verdict::answered:
      if (answers.size() < handshake_datagrams_max) answers.push_back(answer);
      break;
    case HandshakeResponder::Verdict::wants_cookie:
      if (!peer.responder.may_send_cookie(initiation->payload(), path, now)) {
        drops.add(Drop::handshake_limited);
      } else if (forwarded) {
        forward(ForwardedInitiation::Kind::wants_cookie, admitting_worker, path, datagram, false);
      } else {
        answer_stale(path, datagram, now);
      }
      break;
    case HandshakeResponder::Verdict::dropped: drops.add(Drop::unauthenticated_handshake); break;
  }
}

void Node::State::forward(ForwardedInitiation::Kind kind, unsigned worker, const Path& path,
                          Bytes datagram, bool mac2_valid) {
  if (forwards.size() >= handshake_datagrams_max) {
    drops.add(Drop::handover_full);
    return;
  }
  ForwardedInitiation initiation{.kind = kind, .worker = worker, .path = path,
                                 .mac2_valid = mac2_valid};
  std::ranges::copy(datagram, initiation.bytes.begin());
  forwards.push_back(initiation);
}

void Node::handle_forwarded(const ForwardedInitiation& initiation, Instant now) {
  State& s = *state_;
  s.last_input = std::max(s.last_input, now);
  switch (initiation.kind) {
    case ForwardedInitiation::Kind::admitted:
      s.read_initiation(initiation.path, initiation.bytes, initiation.mac2_valid, true, now);
      break;
    case ForwardedInitiation::Kind::wants_cookie:
      s.answer_stale(initiation.path, initiation.bytes, now);
      break;
  }
}

/// A cookie for an initiation that may be a recording.
void Node::State::answer_stale(const Path& path, Bytes datagram, Instant now) {
  if (limiter.take_cookie(now)) {
    answer_with_cookie(path, datagram, now);
  } else {
    drops.add(Drop::handshake_limited);
  }
}

void Node::State::answer_with_cookie(const Path& path, Bytes datagram, Instant now) {
  if (answers.size() >= handshake_datagrams_max) {
    drops.add(Drop::handshake_limited);
    return;
  }
  HandshakeDatagram answer;
  answer.path = path;
  answer.size = cookie_bytes;
  write_cookie(identity, datagram, cookies.cookie_for(path.remote, now, entropy), entropy,
               MutableBytes(answer.bytes).first(cookie_bytes));
  answers.push_back(answer);
}

void Node::State::handle_response(const Path& path, Bytes datagram, Instant now) {
  const bool response = datagram[0] == response_type;
  const std::uint32_t index = receiver_index_of(datagram);
  Peer* peer = index == 0 ? nullptr : find(index);
  if (peer == nullptr || peer->initiator.pending_index() != index) {
    drops.add(Drop::unauthenticated_handshake);
    return;
  }
  peer->touched = true;
  if (response) {
    if (!peer->initiator.handle_response(peer->tunnel, datagram, now)) {
      drops.add(Drop::unauthenticated_handshake);
    }
  } else {
    peer->initiator.handle_cookie(peer->tunnel, path, datagram, now);
  }
}

void Node::handle_timeout(Instant now) {
  State& s = *state_;
  s.last_input = std::max(s.last_input, now);
  for (const std::unique_ptr<State::Peer>& peer : s.peers) {
    if (peer->touched) s.compute_deadline(*peer);
    if (peer->deadline > now) continue;
    peer->touched = true;
    peer->tunnel.handle_timeout(now);
    peer->responder.expire(now);
    s.advance(*peer, now);
  }
}

void Node::State::compute_deadline(Peer& peer) {
  peer.deadline = std::min(peer.tunnel.poll_timeout(), peer.responder.deadline());
  if (peer.tunnel.config().initiator) {
    peer.deadline = std::min(peer.deadline, peer.initiator.deadline(peer.tunnel, last_input));
  }
  peer.touched = false;
}

Instant Node::poll_timeout() const {
  Instant first = never;
  for (const std::unique_ptr<State::Peer>& peer : state_->peers) {
    if (peer->touched) state_->compute_deadline(*peer);
    first = std::min(first, peer->deadline);
  }
  return first;
}

void Node::handle_send_error(const DatagramTag& tag, SendError error, Instant now) {
  state_->last_input = std::max(state_->last_input, now);
  if (!tag.data) {
    state_->drops.add(Drop::send_failed);
    return;
  }
  state_->touch(tag.peer).tunnel.handle_send_error(tag, error, now);
}

void Node::handle_writable(SocketId socket, Instant now) {
  for (const std::unique_ptr<State::Peer>& peer : state_->peers) {
    peer->touched = true;
    peer->tunnel.handle_writable(socket, now);
  }
}

void Node::set_link_path(PeerId peer, LinkId link, const Path& path, std::uint32_t mtu,
                         Instant now) {
  state_->last_input = std::max(state_->last_input, now);
  state_->touch(peer).tunnel.set_link_path(link, path, mtu, now);
  state_->advance(state_->touch(peer), now);
}

void Node::clear_link_path(PeerId peer, LinkId link, Instant now) {
  state_->last_input = std::max(state_->last_input, now);
  state_->touch(peer).tunnel.clear_link_path(link, now);
}

void Node::set_link_role(PeerId peer, LinkId link, LinkRole role, Instant now) {
  state_->last_input = std::max(state_->last_input, now);
  state_->touch(peer).tunnel.set_link_role(link, role, now);
}

void Node::close(Instant now) {
  for (const std::unique_ptr<State::Peer>& peer : state_->peers) {
    peer->touched = true;
    peer->tunnel.close(now);
  }
}

static OutgoingDatagram handshake_datagram(Ring<HandshakeDatagram>& queue, MutableBytes room) {
  const HandshakeDatagram datagram = queue.pop_front();
  std::copy_n(datagram.bytes.begin(), datagram.size, room.begin());
  return {datagram.path, datagram.size, {}};
}

std::optional<OutgoingDatagram> Node::poll_datagram(MutableBytes room, Instant now) {
  State& s = *state_;
  MWTUN_ASSERT(room.size() >= datagram_bytes_max);
  // In turn: what a peer has to acknowledge tells it that its session is alive, before an answer to
  // the initiation that it sent in doubt would end that.
  if (std::exchange(s.answer_next, false)) return handshake_datagram(s.answers, room);
  // A peer keeps its turn while it has something: its batch shares a stamp.
  for (std::size_t i = 0; i < s.peers.size(); ++i) {
    State::Peer& peer = *s.peers[(s.next_peer + i) % s.peers.size()];
    if (!peer.initiator.outgoing().empty()) {
      return handshake_datagram(peer.initiator.outgoing(), room);
    }
    if (std::optional<OutgoingDatagram> datagram = peer.tunnel.poll_datagram(room, now)) {
      s.answer_next = !s.answers.empty();
      peer.touched = true;
      s.next_peer = (s.next_peer + i) % s.peers.size();
      return datagram;
    }
  }
  if (!s.peers.empty()) s.next_peer = (s.next_peer + 1) % s.peers.size();
  if (!s.answers.empty()) return handshake_datagram(s.answers, room);
  return std::nullopt;
}

std::optional<DeliveredFrame> Node::poll_frame() {
  for (std::size_t i = 0; i < state_->peers.size(); ++i) {
    if (std::optional<Frame> frame = state_->peers[i]->tunnel.poll_frame()) {
      return DeliveredFrame{PeerId{static_cast<std::uint16_t>(i)}, std::move(*frame)};
    }
  }
  return std::nullopt;
}

std::optional<Event> Node::poll_event() {
  for (const std::unique_ptr<State::Peer>& peer : state_->peers) {
    if (peer->tunnel.event_ready()) return peer->tunnel.take_event();
  }
  return std::nullopt;
}

std::optional<ForwardedInitiation> Node::poll_forward() {
  if (state_->forwards.empty()) return std::nullopt;
  return state_->forwards.pop_front();
}

PeerReport Node::report(PeerId peer, Instant now) const {
  return state_->peers[index_of(peer)]->tunnel.report(now);
}

std::size_t Node::peer_count() const {
  return state_->peers.size();
}
const DropCounters& Node::drops() const {
  return state_->drops;
}

}  // namespace mwtun
