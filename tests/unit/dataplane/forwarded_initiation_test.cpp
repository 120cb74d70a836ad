#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "crypto/handshake.hpp"
#include "crypto/init.hpp"
#include "crypto/initiation_limiter.hpp"
#include "dataplane/node.hpp"
#include "support/seeded_entropy.hpp"

using namespace mwtun;
using namespace std::chrono_literals;

namespace {

constexpr unsigned workers = 3;
using Datagram = std::vector<std::uint8_t>;

/// A server just started, whose peers are dealt out to three nodes in turn; and the keys of its
/// clients.
class Process {
 public:
  explicit Process(std::size_t clients = 6) : slabs_(2048, 4096) {
    REQUIRE(crypto_start());
    const PrivateKey server_key = generate_private_key(entropy_);
    server_ = public_key_of(server_key);
    std::vector<NodeConfig> configs(workers);
    for (std::size_t i = 0; i < clients; ++i) {
      clients_.emplace_back(generate_private_key(entropy_));
      const unsigned worker = WorkerSeat::of(static_cast<PeerId>(i), workers).number;
      configs[worker].peers.emplace_back().public_key = clients_.back().public_key();
      if (worker != admitting_worker) {
        configs[admitting_worker].foreign.push_back({clients_.back().public_key(), worker});
      }
    }
    for (unsigned i = 0; i < workers; ++i) {
      configs[i].private_key = server_key.clone();
      configs[i].wall_clock_ns = 1;
      configs[i].seat = {i, workers};
      nodes_.push_back(std::make_unique<Node>(std::move(configs[i]), entropy_, slabs_, now_));
    }
  }

  Initiation attempt_of(const Identity& client, std::uint64_t freshness_ns) {
    InitiationPayload payload;
    payload.freshness_ns = freshness_ns;
    payload.instance = 7;
    payload.mtu = 1500;
    auto attempt = Initiation::start(client, server_, psk_, ++index_, payload, entropy_);
    REQUIRE(attempt);
    return std::move(*attempt);
  }
  Datagram initiation_of(std::size_t client, std::uint64_t freshness_ns) {
    return datagram_of(attempt_of(clients_[client], freshness_ns));
  }
  static Datagram datagram_of(const Initiation& attempt, const std::optional<Mac>& cookie = {}) {
    Datagram datagram(initiation_bytes);
    attempt.write(datagram, cookie);
    return datagram;
  }
  Identity stranger() { return Identity(generate_private_key(entropy_)); }
  const Identity& client(std::size_t number) const { return clients_[number]; }

  /// What comes back to `source`, of all nodes: once the nodes have given each other what they had.
  std::vector<Datagram> answers_to(const Datagram& datagram, std::size_t source = 1) {
    const Address from = parse_address("203.0." + std::to_string(source / 250 % 250) + "." +
                                       std::to_string(source % 250 + 1) + ":5000");
    const Path path{SocketId{0}, parse_address("198.51.100.7:4649"), from};
    nodes_[worker_of(datagram, workers)]->handle_datagram(path, datagram, now_, now_);
    std::vector<Datagram> answers;
    Datagram room(datagram_bytes_max);
    // To the worker of the peer, and back for a cookie.
    for (int round = 0; round < 3; ++round) {
      for (const auto& node : nodes_) {
        while (const auto answer = node->poll_datagram(room, now_)) {
          CHECK(answer->path.remote == from);
          CHECK(answer->path.socket == SocketId{0});
          answers.emplace_back(room.begin(), room.begin() + static_cast<long>(answer->size));
        }
        if (deaf) continue;
        while (const auto forwarded = node->poll_forward()) {
          ++forwards;
          admitted += forwarded->kind == ForwardedInitiation::Kind::admitted;
          nodes_[forwarded->worker]->handle_forwarded(*forwarded, now_);
        }
      }
    }
    return answers;
  }
  /// Type of the one answer; 0: silence.
  int answer_to(const Datagram& datagram, std::size_t source = 1) {
    const std::vector<Datagram> answers = answers_to(datagram, source);
    REQUIRE(answers.size() <= 1);
    return answers.empty() ? 0 : answers[0][0];
  }
  std::uint64_t drops(unsigned worker, Drop reason) { return nodes_[worker]->drops().of(reason); }
  Node& node(unsigned worker) { return *nodes_[worker]; }
  void wait(Duration time) { now_ += time; }
  Instant now() const { return now_; }

  std::size_t forwards = 0, admitted = 0;
  bool deaf = false;  // Nobody takes what is forwarded.
  PresharedKey psk_;

 private:
  test::SeededEntropy entropy_{1};
  SlabPool slabs_;
  Instant now_{10s};
  PublicKey server_;
  std::vector<Identity> clients_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::uint32_t index_ = 0;
};

}  // namespace

TEST_CASE(
    "a datagram is for the worker that its receiver's index names, or for the admitting one") {
  Datagram data(40), response(140), cookie(64), initiation(200);
  data[0] = 0x34, response[0] = 2, cookie[0] = 3, initiation[0] = 1;
  for (unsigned count = 1; count <= workers_max; ++count) {
    for (unsigned low = 0; low < 256; ++low) {
      data[2] = response[8] = cookie[4] = static_cast<std::uint8_t>(low);
      // The rest of the index plays no part.
      data[3] = response[9] = cookie[5] = static_cast<std::uint8_t>(low * 7);
      initiation[2] = initiation[4] = initiation[8] = static_cast<std::uint8_t>(low);
      CHECK(worker_of(data, count) == worker_of_index(low, count));
      CHECK(worker_of(response, count) == worker_of_index(low, count));
      CHECK(worker_of(cookie, count) == worker_of_index(low, count));
      CHECK(worker_of(initiation, count) == admitting_worker);
    }
  }
  CHECK(worker_of({}, 8) == admitting_worker);
  for (std::uint8_t type = 0; type < 16; ++type) {
    Datagram shortest(index_offset(static_cast<wire::Type>(type)), 0xff);
    if (!shortest.empty()) shortest[0] = type;
    CHECK(worker_of(shortest, 8) == admitting_worker);
    if (type >= 1 && type <= 4) continue;
    const Datagram unknown(100, type);
    CHECK(worker_of(unknown, 8) == admitting_worker);
  }
}

TEST_CASE("peers are dealt out in turn and keep their number in the process") {
  for (unsigned count = 1; count <= workers_max; ++count) {
    for (std::uint16_t i = 0; i < 100; ++i) {
      const WorkerSeat seat = WorkerSeat::of(PeerId{i}, count);
      CHECK(seat.number == i % count);
      CHECK(seat.own_number(PeerId{i}) == PeerId{static_cast<std::uint16_t>(i / count)});
      CHECK(seat.process_number(seat.own_number(PeerId{i})) == PeerId{i});
    }
  }
}

TEST_CASE(
    "each peer's initiation is answered by its own worker, with a cookie by the admitting one") {
  Process process;
  for (std::size_t client = 0; client < 6; ++client) {
    INFO("client " << client);
    const Initiation attempt = process.attempt_of(process.client(client), 1000);
    // Nobody has been heard since the start, so a cookie has to come first.
    const auto cookies = process.answers_to(Process::datagram_of(attempt), client);
    REQUIRE(cookies.size() == 1);
    Mac cookie{};
    REQUIRE(attempt.read_cookie(cookies[0], cookie) == HandshakeError::none);
    const auto responses = process.answers_to(Process::datagram_of(attempt, cookie), client);
    REQUIRE(responses.size() == 1);
    ResponsePayload payload;
    SessionKeys keys;
    REQUIRE(attempt.read_response(responses[0], payload, keys) == HandshakeError::none);
    CHECK(worker_of_index(payload.session_index, workers) == client % workers);
    // From elsewhere the cookie is worth nothing, whoever's peer it is.
    const Initiation again = process.attempt_of(process.client(client), 500);
    CHECK(process.answer_to(Process::datagram_of(again, cookie), client + 100) != response_type);
  }
  // What is fresher than all before needs no cookie, at any worker.
  for (std::size_t client = 0; client < 6; ++client) {
    CHECK(process.answer_to(process.initiation_of(client, 2000), client) == response_type);
  }
  for (unsigned worker = 0; worker < workers; ++worker) {
    CHECK(process.drops(worker, Drop::unauthenticated_handshake) == 0);
  }
}

TEST_CASE("what is not authentic is forwarded to nobody and answered by nobody") {
  Process process;
  const Datagram good = process.initiation_of(1, 1000);
  std::size_t sent = 0;
  for (std::size_t at = 1; at < good.size() - mac_bytes; ++at) {
    Datagram spoilt = good;
    spoilt[at] ^= 0x10;
    CHECK(process.answer_to(spoilt, ++sent) == 0);
  }
  for (std::size_t size = 1; size < good.size(); size += 13) {
    CHECK(process.answer_to(Datagram(good.begin(), good.begin() + static_cast<long>(size)),
                            ++sent) == 0);
  }
  // With a right mac1, from somebody who is no peer.
  CHECK(process.answer_to(Process::datagram_of(process.attempt_of(process.stranger(), 1000)),
                          ++sent) == 0);
  CHECK(process.forwards == 0);
  CHECK(process.drops(admitting_worker, Drop::unauthenticated_handshake) == sent);
  // Nor does a worker that is handed what is not for its peers take it, or hand it on.
  ForwardedInitiation misled;
  misled.kind = ForwardedInitiation::Kind::admitted;
  misled.worker = 2;
  misled.mac2_valid = true;
  std::ranges::copy(good, misled.bytes.begin());
  process.node(2).handle_forwarded(misled, process.now());
  CHECK(process.drops(2, Drop::unauthenticated_handshake) == 1);
  CHECK_FALSE(process.node(2).poll_forward());
  Datagram room(datagram_bytes_max);
  CHECK_FALSE(process.node(2).poll_datagram(room, process.now()));
}

TEST_CASE("another worker's peer is safe from its own recordings") {
  Process process;
  const Initiation attempt = process.attempt_of(process.client(1), 1000);
  Mac cookie{};
  REQUIRE(attempt.read_cookie(process.answers_to(Process::datagram_of(attempt)).at(0), cookie) ==
          HandshakeError::none);
  const Datagram accepted = Process::datagram_of(attempt, cookie);
  const auto first = process.answers_to(accepted);
  REQUIRE(first.size() == 1);
  // The same one: the same response again, ten times at most.
  std::size_t responses = 0;
  for (int i = 0; i < 40; ++i) {
    process.wait(50ms);
    const auto again = process.answers_to(accepted);
    if (again.empty()) continue;
    CHECK(again == first);
    ++responses;
  }
  CHECK(responses == 10);
  // Forgotten as half open, remembered as seen: no response any more, with or without the cookie.
  process.wait(11s);
  CHECK(process.answer_to(accepted) != response_type);
  CHECK(process.answer_to(Process::datagram_of(attempt), 7) != response_type);
  CHECK(process.answer_to(process.initiation_of(1, 1001)) == response_type);
}

TEST_CASE("a flood of recordings costs the process no more than its Diffie-Hellman budget") {
  Process process;
  std::vector<Initiation> recordings;
  for (std::uint64_t i = 1; i <= 32; ++i) {
    recordings.push_back(process.attempt_of(process.client(1), 1000 * i));
  }
  // From 500 addresses that the attacker has, so that each gets its cookie.
  constexpr std::size_t sources = 500;
  std::vector<Mac> cookies(sources);
  std::size_t known = 0;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t source = 0; source < sources; ++source) {
      const Initiation& recording = recordings[source % recordings.size()];
      const auto answers = process.answers_to(Process::datagram_of(recording), source);
      process.wait(1ms);
      if (answers.empty() || answers[0][0] != cookie_type) continue;
      REQUIRE(recording.read_cookie(answers[0], cookies[source]) == HandshakeError::none);
      ++known;
    }
  }
  REQUIRE(known > sources);
  process.wait(2s);
  process.admitted = 0;
  // Two seconds at 5,000 a second, half as much as the sources may send.
  for (std::size_t i = 0; i < 10'000; ++i) {
    const std::size_t source = i % sources;
    process.answers_to(
        Process::datagram_of(recordings[i / sources % recordings.size()], cookies[source]), source);
    process.wait(200us);
  }
  // Two Diffie-Hellmans here, two there, and three that an answer would take.
  constexpr std::int64_t each =
      InitiationLimiter::dh_per_initiation + InitiationLimiter::dh_per_reading;
  constexpr auto admitted_max =
      static_cast<std::size_t>((2 * 2000 + InitiationLimiter::dh_burst) / each + 1);
  CHECK(process.admitted > admitted_max / 2);
  CHECK(process.admitted <= admitted_max);
  CHECK(process.drops(admitting_worker, Drop::handshake_limited) > 8000);
  // The peer itself gets through when it is over.
  process.wait(2s);
  CHECK(process.answer_to(process.initiation_of(1, 1'000'000), 700) != 0);
}

TEST_CASE("what nobody takes over is bounded and counted") {
  Process process;
  process.deaf = true;
  const Datagram recording = process.initiation_of(1, 1000);
  for (std::size_t i = 0; i < 600; ++i) {
    process.answer_to(recording, i);
    process.wait(10ms);
  }
  CHECK(process.drops(admitting_worker, Drop::handover_full) == 600 - 256);
  std::size_t waiting = 0;
  while (process.node(admitting_worker).poll_forward()) ++waiting;
  CHECK(waiting == 256);
}

TEST_CASE("sessions of all workers' peers come up, and every datagram goes to the right one") {
  REQUIRE(crypto_start());
  test::SeededEntropy entropy(3);
  SlabPool slabs(2048, 8192);
  Instant now{10s};
  constexpr std::size_t clients = 5;
  const PrivateKey server_key = generate_private_key(entropy);
  const Address server = parse_address("198.51.100.7:4649");
  std::vector<NodeConfig> configs(workers);
  std::vector<std::unique_ptr<Node>> servers, ends;
  std::vector<Address> addresses;
  for (std::size_t i = 0; i < clients; ++i) {
    NodeConfig client;
    client.private_key = generate_private_key(entropy);
    client.wall_clock_ns = 1;
    PeerConfig to_server;
    to_server.public_key = public_key_of(server_key);
    to_server.initiator = true;
    to_server.links.resize(1);
    client.peers.push_back(std::move(to_server));
    const PublicKey key = public_key_of(client.private_key);
    const unsigned worker = WorkerSeat::of(static_cast<PeerId>(i), workers).number;
    configs[worker].peers.emplace_back().public_key = key;
    if (worker != admitting_worker) configs[admitting_worker].foreign.push_back({key, worker});
    ends.push_back(std::make_unique<Node>(std::move(client), entropy, slabs, now));
    addresses.push_back(parse_address("203.0.113." + std::to_string(i + 1) + ":1000"));
    ends[i]->set_link_path({}, {}, {SocketId{0}, addresses[i], server}, 1500, now);
  }
  for (unsigned i = 0; i < workers; ++i) {
    configs[i].private_key = server_key.clone();
    configs[i].seat = {i, workers};
    servers.push_back(std::make_unique<Node>(std::move(configs[i]), entropy, slabs, now));
  }
  Datagram room(datagram_bytes_max);
  const auto drain = [&](Node& node, auto&& deliver) {
    while (const auto out = node.poll_datagram(room, now)) deliver(*out);
    while (node.poll_frame()) {
    }
    while (node.poll_event()) {
    }
    while (const auto forwarded = node.poll_forward()) {
      servers[forwarded->worker]->handle_forwarded(*forwarded, now);
    }
  };
  // Longer than a key lives.
  for (const Instant until = now + 130s; now < until; now += 2ms) {
    for (std::size_t i = 0; i < clients; ++i) {
      if (ends[i]->poll_timeout() <= now) ends[i]->handle_timeout(now);
      drain(*ends[i], [&](const OutgoingDatagram& out) {
        const Bytes bytes = Bytes(room).first(out.size);
        servers[worker_of(bytes, workers)]->handle_datagram({SocketId{0}, server, addresses[i]},
                                                            bytes, now, now);
      });
    }
    for (const auto& node : servers) {
      if (node->poll_timeout() <= now) node->handle_timeout(now);
      drain(*node, [&](const OutgoingDatagram& out) {
        const auto to = std::ranges::find(addresses, out.path.remote) - addresses.begin();
        ends[static_cast<std::size_t>(to)]->handle_datagram({SocketId{0}, out.path.remote, server},
                                                            Bytes(room).first(out.size), now, now);
      });
    }
  }
  for (std::size_t i = 0; i < clients; ++i) {
    const PeerReport near = ends[i]->report({}, now);
    CHECK(near.links[0].state == LinkState::up);
    CHECK(near.rekeys == 1);
    const WorkerSeat seat = WorkerSeat::of(static_cast<PeerId>(i), workers);
    const PeerReport far =
        servers[seat.number]->report(seat.own_number(static_cast<PeerId>(i)), now);
    CHECK(far.session);
    CHECK(far.rekeys == 1);
    CHECK(far.links[0].times_down == 0);
  }
  for (const auto& node : servers) {
    CHECK(node->drops().of(Drop::unknown_index) == 0);
    CHECK(node->drops().of(Drop::unauthenticated_handshake) == 0);
    CHECK(node->drops().of(Drop::handover_full) == 0);
  }
}
