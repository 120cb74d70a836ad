#include "support/sim_tunnel.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/init.hpp"

#include "support/addresses.hpp"

namespace mwtun::test {
namespace {

constexpr std::uint16_t server_port = 4649, client_port_first = 20'000;

PrivateKey key_of(std::uint64_t seed) {
  SeededEntropy entropy(seed);
  return generate_private_key(entropy);
}
constexpr std::uint64_t server_key_seed = 0x5e47e4, client_key_seed = 0xc11e47;

}  // namespace

TunnelNet::TunnelNet(Agenda& agenda, std::vector<DuplexLine*> lines, const TunnelOptions& options)
    : agenda_(agenda), lines_(std::move(lines)), options_(options), chance_(options.seed) {
  MWTUN_ASSERT(crypto_start());
  options_.links.resize(lines_.size());
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    if (options_.links[i].name.empty()) options_.links[i].name = fmt::format("line{}", i);
  }
  agenda_.add(static_cast<Settler&>(*this));
  client_ = std::make_unique<End>(*this, Side::client, chance_.next(), options_.slabs_max);
  server_ = std::make_unique<End>(*this, Side::server, chance_.next(), options_.slabs_max);
  for (End* const it : {server_.get(), client_.get()}) {
    it->actor = agenda_.add(static_cast<Actor&>(*it));
    it->clock_offset = milliseconds(chance_.below(900'000'000));
    it->node = std::make_unique<Node>(config_of(it->side), it->entropy, it->slabs, local(*it));
    it->dirty = true;
  }
  for (std::size_t i = 0; i < lines_.size(); ++i) give_interface(i);
}

TunnelNet::~TunnelNet() = default;

NodeConfig TunnelNet::config_of(Side side) const {
  const bool client = side == Side::client;
  NodeConfig config;
  config.ciphers = available_ciphers();
  config.limits = options_.limits;
  config.wall_clock_ns = 1'790'000'000'000'000'000;
  config.private_key = key_of(client ? client_key_seed : server_key_seed);
  PeerConfig peer;
  peer.name = client ? "server" : "client";
  peer.public_key = public_key_of(key_of(client ? server_key_seed : client_key_seed));
  peer.initiator = client;
  peer.mtu = options_.mtu;
  peer.scheduler = options_.scheduler;
  peer.cipher = options_.cipher;
  if (client) peer.links = options_.links;
  config.peers.push_back(std::move(peer));
  return config;
}

Path TunnelNet::path_towards(Side at, std::size_t line) const {
  const auto number = static_cast<std::uint8_t>(line);
  const Address server = v4(198, 51, 100, 7, server_port);
  const auto port = static_cast<std::uint16_t>(client_port_first + line);
  if (at == Side::server) return {SocketId{0}, server, v4(203, 0, 113, number, port)};
  return {SocketId{number}, v4(192, 168, 0, number, port), server};
}

void TunnelNet::give_interface(std::size_t line) {
  const LinkId link{static_cast<std::uint8_t>(line)};
  client_->node->set_link_path(PeerId{0}, link, path_towards(Side::client, line), 1500,
                               local(*client_));
  client_->dirty = true;
}

void TunnelNet::take_interface(std::size_t line) {
  const LinkId link{static_cast<std::uint8_t>(line)};
  client_->node->clear_link_path(PeerId{0}, link, local(*client_));
  client_->dirty = true;
}

PeerReport TunnelNet::report(Side at) const {
  return end(at).node->report(PeerId{0}, local(end(at)));
}

MutableBytes TunnelNet::room(Side from) {
  End& it = end(from);
  if (!it.frame.slab) it.frame.slab = it.slabs.take();
  if (!it.frame.slab) {
    ++it.refused;
    return {};
  }
  it.frame.size = it.frame.slab.capacity();
  return it.frame.mutable_bytes();
}

void TunnelNet::send(Side from, std::uint32_t bytes) {
  End& it = end(from);
  it.frame.size = bytes;
  it.node->handle_frame(PeerId{0}, std::move(it.frame), local(it));
  it.frame = {};
  it.dirty = true;
}

void TunnelNet::arrive(std::size_t line, Side at, const Packet& packet, bool corrupt, Instant) {
  End& it = end(at);
  Bytes bytes = Bytes(packet.bytes).first(packet.size);
  std::vector<std::uint8_t> altered;
  if (corrupt) {
    altered.assign(bytes.begin(), bytes.end());
    altered[altered.size() / 2] ^= 0x10;
    bytes = altered;
  }
  it.node->handle_datagram(path_towards(at, line), bytes, local(it), local(it));
  it.dirty = true;
}

void TunnelNet::End::act(Instant) {
  armed = never;
  if (node->poll_timeout() <= net.local(*this)) node->handle_timeout(net.local(*this));
  dirty = true;
}

void TunnelNet::settle(Instant) {
  while (client_->dirty || server_->dirty) {
    for (End* const it : {server_.get(), client_.get()}) {
      if (it->dirty) drain(*it);
    }
  }
}

void TunnelNet::drain(End& it) {
  it.dirty = false;
  PacketPool& pool = lines_[0]->pool();
  while (const auto out = it.node->poll_datagram(room_, local(it))) {
    const std::size_t line = it.side == Side::client
                                 ? index_of(out->path.socket)
                                 : std::size_t{out->path.remote.port} - client_port_first;
    const linkem::Token token = pool.take();
    Packet& packet = pool[token];
    MWTUN_ASSERT(line < lines_.size() && out->size <= packet.bytes.size());
    std::copy_n(room_.begin(), out->size, packet.bytes.begin());
    packet.size = static_cast<std::uint32_t>(out->size), packet.user = this;
    lines_[line]->send(it.side, token, packet.size + out->path.remote.header_bytes());
  }
  while (auto frame = it.node->poll_frame()) it.delivered.push_back(std::move(*frame));
  while (const auto event = it.node->poll_event()) {
    if (event->kind == Event::Kind::session_down) ++sessions_lost_;
  }
  rearm(it);
  // The hosts may answer at once, into the same node.
  for (const DeliveredFrame& delivered : it.delivered) {
    deliver(it.side, delivered.frame.bytes(), agenda_.now());
  }
  it.delivered.clear();
}

void TunnelNet::rearm(End& it) {
  const Instant due = it.node->poll_timeout();
  if (due == it.armed) return;
  it.armed = due;
  if (due == never) return agenda_.set(it.actor, never);
  Instant at = std::max(agenda_.now(), due - it.clock_offset);
  if (options_.wake_late_max > Duration{}) {
    const auto limit = static_cast<std::uint64_t>(options_.wake_late_max.count());
    at += Duration(static_cast<Duration::rep>(chance_.below(limit)));
  }
  agenda_.set(it.actor, at);
}

}  // namespace mwtun::test
