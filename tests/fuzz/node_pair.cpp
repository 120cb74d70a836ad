#include "fuzz/node_pair.hpp"

#include "base/assert.hpp"
#include "crypto/init.hpp"

namespace mwtun::test {
namespace {

PrivateKey key_of(std::uint64_t seed) {
  SeededEntropy entropy(seed);
  return generate_private_key(entropy);
}
const Address server_address = parse_address("198.51.100.7:4649");
Address client_address(std::size_t link) {
  return parse_address(link == 0 ? "192.0.2.1:1000" : "203.0.113.1:2000");
}

}  // namespace

PrivateKey NodePair::server_key() {
  return key_of(1);
}
PrivateKey NodePair::client_key() {
  return key_of(2);
}

NodeConfig NodePair::server_config() {
  NodeConfig config;
  config.private_key = server_key();
  config.wall_clock_ns = 1'790'000'000'000'000'000;
  PeerConfig peer;
  peer.name = "client";
  peer.public_key = public_key_of(client_key());
  config.peers.push_back(std::move(peer));
  return config;
}

NodePair::NodePair() {
  MWTUN_ASSERT(crypto_start());
  NodeConfig config;
  config.private_key = client_key();
  config.wall_clock_ns = 1'790'000'000'000'000'000;
  PeerConfig peer;
  peer.name = "server";
  peer.public_key = public_key_of(server_key());
  peer.initiator = true;
  peer.links.resize(2);
  peer.links[0].name = "a", peer.links[1].name = "b";
  config.peers.push_back(std::move(peer));
  server_ = std::make_unique<Node>(server_config(), entropy_, server_slabs_, now_);
  client_ = std::make_unique<Node>(std::move(config), entropy_, client_slabs_, now_);
  drain(true);
  for (std::size_t link = 0; link < 2; ++link) {
    client_->set_link_path(PeerId{0}, LinkId{static_cast<std::uint8_t>(link)}, path_at_client(link),
                           1500, now_);
    drain(false);
  }
}

Path NodePair::path_at_server(std::size_t link) const {
  return {SocketId{0}, server_address, client_address(link)};
}
Path NodePair::path_at_client(std::size_t link) const {
  return {SocketId{static_cast<std::uint16_t>(link)}, client_address(link), server_address};
}

void NodePair::advance(Duration time) {
  const Instant until = now_ + time;
  for (int i = 0; i < 1000; ++i) {
    Node* first =
        server_->poll_timeout() <= client_->poll_timeout() ? server_.get() : client_.get();
    const Instant due = std::max(now_, first->poll_timeout());
    if (due > until) break;
    now_ = due;
    first->handle_timeout(now_);
    drain(first == server_.get());
    MWTUN_ASSERT(first->poll_timeout() > now_);
  }
  now_ = until;
}

void NodePair::exchange(int rounds) {
  for (int i = 0; i < rounds && !on_their_way_.empty(); ++i) {
    for (std::size_t count = on_their_way_.size(); count > 0; --count) {
      const PairDatagram datagram = std::move(on_their_way_.front());
      on_their_way_.pop_front();
      deliver(datagram);
    }
    now_ += milliseconds(5);
  }
}

void NodePair::deliver(const PairDatagram& datagram) {
  Node& node = datagram.to_server ? *server_ : *client_;
  node.handle_datagram(datagram.path, datagram.bytes, now_, now_);
  drain(datagram.to_server);
}

void NodePair::send_frame(bool from_client, FlowKind kind, std::size_t bytes) {
  FlowShape shape;
  shape.kind = kind;
  shape.id = static_cast<std::uint16_t>(static_cast<unsigned>(kind) * 2 + (from_client ? 1 : 0));
  Frame frame;
  frame.slab = (from_client ? client_slabs_ : server_slabs_).take();
  if (!frame.slab) return;
  frame.size =
      static_cast<std::uint32_t>(std::clamp<std::size_t>(bytes, frame_bytes_min(shape), 1514));
  make_frame(shape, delivered_[shape.id].size(), frame.mutable_bytes());
  delivered_[shape.id].push_back(false);
  (from_client ? *client_ : *server_).handle_frame(PeerId{0}, std::move(frame), now_);
  drain(!from_client);
}

void NodePair::drain(bool at_server) {
  Node& node = at_server ? *server_ : *client_;
  for (int i = 0; const auto out = node.poll_datagram(room_, now_); ++i) {
    MWTUN_ASSERT(i < 10'000 && out->size > 0 && out->size <= room_.size());
    PairDatagram datagram;
    datagram.to_server = !at_server;
    const std::size_t link =
        at_server ? (out->path.remote == client_address(1) ? 1 : 0) : index_of(out->path.socket);
    datagram.path = at_server ? path_at_client(link) : path_at_server(link);
    datagram.bytes.assign(room_.begin(), room_.begin() + static_cast<std::ptrdiff_t>(out->size));
    if (on_their_way_.size() < 2000) on_their_way_.push_back(std::move(datagram));
  }
  while (const auto delivered = node.poll_frame()) {
    const auto tag = read_frame(delivered->frame.bytes());
    MWTUN_ASSERT(tag && tag->flow < delivered_.size() && (tag->flow % 2 == 1) == at_server);
    MWTUN_ASSERT(tag->sequence < delivered_[tag->flow].size());
    MWTUN_ASSERT(!delivered_[tag->flow][tag->sequence]);
    delivered_[tag->flow][tag->sequence] = true;
  }
  while (node.poll_event()) {
  }
}

}  // namespace mwtun::test
