#include <catch2/catch.hpp>
#include <vector>

#include "crypto/handshake.hpp"
#include "crypto/init.hpp"
#include "dataplane/node.hpp"
#include "support/seeded_entropy.hpp"

using namespace mwtun;
using namespace std::chrono_literals;

namespace {

/// A server just started, and whoever holds its client's key or recordings of it.
class FreshServer {
 public:
  FreshServer() : slabs_(64, 4096) {
    REQUIRE(crypto_start());
    NodeConfig config;
    config.private_key = generate_private_key(entropy_);
    server_key_ = public_key_of(config.private_key);
    PrivateKey client_key = generate_private_key(entropy_);
    PeerConfig peer;
    peer.public_key = public_key_of(client_key);
    config.peers.push_back(std::move(peer));
    config.wall_clock_ns = 1;
    client_.emplace(std::move(client_key));
    node_.emplace(std::move(config), entropy_, slabs_, now_);
  }

  std::vector<std::uint8_t> initiation(std::uint64_t freshness_ns) {
    InitiationPayload payload;
    payload.freshness_ns = freshness_ns;
    payload.instance = 7;
    payload.mtu = 1500;
    const auto attempt =
        Initiation::start(*client_, server_key_, psk_, ++index_, payload, entropy_);
    REQUIRE(attempt);
    std::vector<std::uint8_t> datagram(initiation_bytes);
    attempt->write(datagram, std::nullopt);
    return datagram;
  }
  /// The type of what comes back, 0 for silence.
  int answer_to(const std::vector<std::uint8_t>& datagram, std::size_t source) {
    const Path path{SocketId{0}, parse_address("198.51.100.7:4649"),
                    parse_address("203.0.113." + std::to_string(source) + ":5000")};
    node_->handle_datagram(path, datagram, now_, now_);
    std::vector<std::uint8_t> room(datagram_bytes_max);
    const auto answer = node_->poll_datagram(room, now_);
    return answer ? room[0] & 0x0f : 0;
  }
  void wait(Duration time) { now_ += time; }

 private:
  test::SeededEntropy entropy_{1};
  SlabPool slabs_;
  Instant now_{10s};
  PublicKey server_key_;
  PresharedKey psk_;
  std::optional<Identity> client_;
  std::optional<Node> node_;
  std::uint32_t index_ = 0;
};

}  // namespace

TEST_CASE("recordings sent again from a hundred sources keep no cookie from the client") {
  FreshServer server;
  std::vector<std::vector<std::uint8_t>> recordings;
  for (std::uint64_t i = 1; i <= 64; ++i) recordings.push_back(server.initiation(1000 * i));
  // All of them once, youngest last: then the budget is what is left of a second.
  std::size_t cookies = 0;
  for (std::size_t sent = 0; sent < 300; ++sent) {
    cookies += server.answer_to(recordings[sent % 64], sent % 100 + 1) == cookie_type;
    server.wait(10ms);
    if (sent < 100 || sent % 10 != 9) continue;
    INFO("after " << sent);
    REQUIRE(server.answer_to(server.initiation(1'000'000 + sent), 200) == cookie_type);
  }
  // Each recording is the youngest once at most; over three seconds the budget gives 20 for each.
  CHECK(cookies >= 64);
  CHECK(cookies <= 64 + 60);
}
