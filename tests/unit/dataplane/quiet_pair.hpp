#pragma once
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <optional>
#include <vector>

#include "base/prng.hpp"
#include "crypto/init.hpp"
#include "dataplane/node.hpp"
#include "support/seeded_entropy.hpp"

namespace mwtun::test {

inline constexpr Duration one_way = milliseconds(5);

/// Two nodes with the links "dsl" (0) and "lte" (1) between them, at virtual time. Nothing is lost
/// unless the test says so, and the lines carry whatever they are given.
class QuietPair {
 public:
  /// @param change  called with the client's peer before anything starts
  /// @param loss    from the first datagram on; with it, links may not be up so far
  /// @param server_takes_offload  frames that are not done (PROTOCOL.md 4.6)
  explicit QuietPair(const std::function<void(PeerConfig&)>& change = {}, double loss = 0,
                     bool server_takes_offload = true)
      : slabs_(2048, 8192) {
    slabs_.set_larger(large_slabs_);
    REQUIRE(crypto_start());
    NodeConfig client, server;
    client.private_key = generate_private_key(entropy_);
    server.private_key = generate_private_key(entropy_);
    PeerConfig to_server, to_client;
    to_server.public_key = public_key_of(server.private_key);
    to_server.initiator = true;
    to_server.links.resize(2);
    to_server.links[0].name = "dsl", to_server.links[1].name = "lte";
    if (change) change(to_server);
    loss_ = loss;
    to_client.public_key = public_key_of(client.private_key);
    client.peers.push_back(std::move(to_server));
    server.peers.push_back(std::move(to_client));
    client.wall_clock_ns = server.wall_clock_ns = 1;
    server.offload = server_takes_offload;
    ends_[0].emplace(std::move(client), entropy_, slabs_, now_);
    ends_[1].emplace(std::move(server), entropy_, slabs_, now_);
    for (std::uint8_t link = 0; link < 2; ++link) {
      client_node().set_link_path({}, LinkId{link}, path_of(link, true), 1500, now_);
    }
    run(seconds(2));
    if (loss > 0) return;
    REQUIRE(link(0, 1).state == LinkState::up);
    REQUIRE(link(1, 1).state == LinkState::up);
  }

  Node& client_node() { return *ends_[0]; }
  Instant now() const { return now_; }
  /// What one end (0: client) says of a link.
  LinkReport link(std::size_t end, std::size_t id) const {
    return ends_[end]->report({}, now_).links.at(id);
  }
  PeerReport report(std::size_t end) const { return ends_[end]->report({}, now_); }
  /// An IPv4 packet of UDP; `flow` is its source port.
  void send_frame(std::size_t end, std::uint8_t dscp = 0, std::uint16_t flow = 1000,
                  std::uint32_t bytes = 100) {
    Frame frame;
    frame.slab = slabs_.take();
    REQUIRE(bool(frame.slab));
    frame.size = bytes;
    std::uint8_t* at = frame.slab.data();
    std::fill_n(at, bytes, std::uint8_t{0});
    store_be16(at + 12, 0x0800);
    at[14] = 0x45, at[15] = static_cast<std::uint8_t>(dscp << 2), at[14 + 9] = 17;
    store_be16(at + 34, flow);
    ends_[end]->handle_frame({}, std::move(frame), now_);
  }
  void send_frame(std::size_t end, Frame frame) {
    ends_[end]->handle_frame({}, std::move(frame), now_);
  }
  /// Called with each frame that arrives, at its end.
  std::function<void(std::size_t end, const Frame& frame)> on_frame;
  /// Called with the size of each datagram, at the end that sends it.
  std::function<void(std::size_t end, std::size_t bytes)> on_sent;
  /// Of every datagram, both ways, from now on.
  void set_loss(double share) { loss_ = share; }
  /// Every datagram from now on has a bit turned.
  void forge() { forged_ = true; }
  /// Nobody has a slab left; as long as what is returned lives.
  std::vector<SlabRef> take_all_slabs() {
    std::vector<SlabRef> taken;
    while (SlabRef slab = slabs_.take()) taken.push_back(std::move(slab));
    return taken;
  }
  std::uint64_t drops(std::size_t end, Drop reason) const {
    return ends_[end]->report({}, now_).drops.of(reason);
  }
  /// The link carries nothing any more, or again, and nobody is told.
  void cut(std::size_t link, bool dead = true) { cut_[link] = dead; }
  /// The link keeps what it is given, both ways, and then delivers all of it at once.
  void hold(std::size_t link, bool held) { held_[link] = held; }
  /// The processor of an end runs somebody else, or again that end: it neither sends nor receives.
  void set_away(std::size_t end, bool away) { away_[end] = away; }
  /// Whatever comes to an end waits so long in its socket's buffer.
  void set_backlog(std::size_t end, Duration wait) { backlog_[end] = wait; }
  std::uint64_t frames_delivered(std::size_t end) const {
    return ends_[end]->report({}, now_).frames.frames_out;
  }
  void run(Duration time) {
    for (const Instant until = now_ + time; now_ < until; now_ += milliseconds(1)) {
      for (std::size_t end = 0; end < 2; ++end) {
        if (away_[end]) continue;
        Node& node = *ends_[end];
        std::vector<Flight> still;
        for (Flight& flight : flights_) {
          const Instant taken = flight.arrives + backlog_[end];
          if (flight.to == end && taken <= now_ && !held_[flight.link]) {
            node.handle_datagram(flight.path, flight.bytes, now_ - backlog_[end], now_);
          } else {
            still.push_back(std::move(flight));
          }
        }
        flights_ = std::move(still);
        if (node.poll_timeout() <= now_) node.handle_timeout(now_);
        drain(end);
      }
    }
  }

 private:
  struct Flight {
    std::size_t to = 0, link = 0;
    Instant arrives;
    Path path;
    std::vector<std::uint8_t> bytes;
  };
  /// As the client sees a link, or the server.
  static Path path_of(std::uint8_t link, bool client) {
    const Address local = parse_address(link == 0 ? "192.0.2.10:1000" : "203.0.113.5:1001");
    const Address remote = parse_address("198.51.100.7:4649");
    if (client) return {SocketId{link}, local, remote};
    return {SocketId{0}, remote, local};
  }
  void drain(std::size_t end) {
    std::vector<std::uint8_t> room(datagram_bytes_max);
    while (const auto datagram = ends_[end]->poll_datagram(room, now_)) {
      if (on_sent) on_sent(end, datagram->size);
      const bool first = end == 0 ? datagram->path.socket == SocketId{0}
                                  : datagram->path.remote == path_of(0, true).local;
      if (cut_[first ? 0 : 1] || random_.chance(loss_)) continue;
      flights_.push_back({1 - end,
                          first ? 0u : 1u,
                          now_ + one_way,
                          path_of(first ? 0 : 1, end == 1),
                          {room.begin(), room.begin() + static_cast<long>(datagram->size)}});
      if (forged_) flights_.back().bytes.back() ^= 1;
    }
    while (const auto delivered = ends_[end]->poll_frame()) {
      if (on_frame) on_frame(end, delivered->frame);
    }
    while (ends_[end]->poll_event()) {
    }
  }

  test::SeededEntropy entropy_{1};
  SlabPool large_slabs_{70'000, 256};
  SlabPool slabs_;
  Instant now_{seconds(10)};
  std::optional<Node> ends_[2];
  std::vector<Flight> flights_;
  Prng random_{2};
  double loss_ = 0;
  bool cut_[2] = {}, held_[2] = {}, away_[2] = {};
  Duration backlog_[2] = {};
  bool forged_ = false;
};

}  // namespace mwtun::test
