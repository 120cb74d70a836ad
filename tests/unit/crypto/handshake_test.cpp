#include "crypto/handshake.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <vector>

#include "support/noise_patterns.hpp"
#include "support/seeded_entropy.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

using Datagram1 = std::array<std::uint8_t, initiation_bytes>;
using Datagram2 = std::array<std::uint8_t, response_bytes>;

/// Two peers and all a handshake between them needs.
struct Peers {
  SeededEntropy entropy;
  Identity initiator{generate_private_key(entropy)};
  Identity responder{generate_private_key(entropy)};
  PresharedKey psk;

  explicit Peers(std::uint64_t seed) : entropy(seed) { entropy.fill(psk.mutable_view()); }

  Initiation start(const InitiationPayload& payload, std::uint32_t index = 0x11223344) {
    auto attempt =
        Initiation::start(initiator, responder.public_key(), psk, index, payload, entropy);
    REQUIRE(attempt);
    return std::move(*attempt);
  }
  ReceivedInitiation receive(Bytes datagram) {
    REQUIRE(check_mac1(responder, datagram) == HandshakeError::none);
    std::optional<ReceivedInitiation> received;
    REQUIRE(ReceivedInitiation::read(responder, datagram, received) == HandshakeError::none);
    return std::move(*received);
  }
};

InitiationPayload offer() {
  InitiationPayload payload;
  payload.freshness_ns = 0x0123456789abcdef;
  payload.instance = 0xfedcba9876543210;
  payload.features = 5;
  payload.ciphers = 3;
  payload.links_max = 8;
  payload.mtu = 1500;
  return payload;
}

InitiationPayload rekey_offer() {
  InitiationPayload payload = offer();
  payload.rekey = true;
  payload.epoch = 3;
  payload.resume_index = 0x55667788;
  return payload;
}

ResponsePayload answer() {
  ResponsePayload payload;
  payload.features = 4;
  payload.cipher = Cipher::aes_256_gcm;
  payload.links_max = 8;
  payload.mtu = 1400;
  payload.instance = 42;
  payload.observed = parse_address("192.0.2.7:4649");
  payload.session_index = 0x55667788;
  return payload;
}

Datagram1 written(const Initiation& attempt) {
  Datagram1 datagram;
  attempt.write(datagram, std::nullopt);
  return datagram;
}

/// Anyone who knows the receiver's public key can make mac1 right again after a change.
void set_mac1(const PublicKey& receiver, MutableBytes datagram) {
  const std::size_t at = datagram.size() == initiation_bytes ? 168 : 108;
  blake2b(ReceiverKeys(receiver).mac1().view(), {datagram.first(at)}, datagram.subspan(at, 16));
}

/// A peer that knows all keys and says what it likes: built from the bare pattern, apart from the
/// code under test.
class FreePeer {
 public:
  explicit FreePeer(Peers& peers) : peers_(peers) {
    REQUIRE(parse_noise_name("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b", protocol_) ==
            NoiseSupport::runs);
  }

  Datagram1 initiation(Bytes header, Bytes plain) {
    Datagram1 datagram{};
    std::copy(header.begin(), header.end(), datagram.begin());
    HandshakeState noise = start(true, datagram);
    REQUIRE(noise.write_message(plain, MutableBytes(datagram).subspan(8, 160), peers_.entropy));
    set_mac1(peers_.responder.public_key(), datagram);
    return datagram;
  }

  Datagram2 response(Bytes initiation, Bytes header, Bytes plain) {
    HandshakeState noise = start(false, initiation);
    std::array<std::uint8_t, 64> ignored;
    REQUIRE(noise.read_message(initiation.subspan(8, 160), ignored));
    Datagram2 datagram{};
    std::copy(header.begin(), header.end(), datagram.begin());
    REQUIRE(noise.write_message(plain, MutableBytes(datagram).subspan(12, 96), peers_.entropy));
    set_mac1(peers_.initiator.public_key(), datagram);
    return datagram;
  }

 private:
  HandshakeState start(bool initiator, Bytes initiation) {
    std::array<std::uint8_t, 40> prologue{};
    const std::string_view name = "mwtun/1 udp-l2";
    std::copy(name.begin(), name.end(), prologue.begin());
    prologue[30] = 1;
    std::copy_n(initiation.begin(), 8, prologue.begin() + 32);
    NoiseSetup setup;
    setup.pattern = &protocol_.pattern;
    setup.protocol_name = protocol_.name;
    setup.initiator = initiator;
    setup.prologue = prologue;
    setup.static_key = &(initiator ? peers_.initiator : peers_.responder).private_key();
    if (initiator) setup.remote_static = &peers_.responder.public_key();
    auto noise = HandshakeState::start(setup);
    REQUIRE(noise);
    noise->add_psk(peers_.psk);
    return std::move(*noise);
  }

  Peers& peers_;
  NoiseProtocol protocol_;
};

constexpr std::array<std::uint8_t, 8> header1 = {1, 1, 0, 0, 0x44, 0x33, 0x22, 0x11};
constexpr std::array<std::uint8_t, 12> header2 = {2,    1,    0,    0,    0x88, 0x77,
                                                  0x66, 0x55, 0x44, 0x33, 0x22, 0x11};

}  // namespace

TEST_CASE("a handshake gives both ends the same keys and each the other's words") {
  for (const InitiationPayload& offered : {offer(), rekey_offer()}) {
    Peers peers(1);
    Initiation attempt = peers.start(offered);
    const Datagram1 initiation = written(attempt);
    ReceivedInitiation received = peers.receive(initiation);
    CHECK(received.peer() == peers.initiator.public_key());
    CHECK(received.payload() == offered);
    CHECK(received.sender_index() == 0x11223344);
    CHECK(equal_constant_time(received.ephemeral(), Bytes(initiation).subspan(8, 32)));

    ResponsePayload said = answer();
    said.epoch = offered.epoch;
    Datagram2 response;
    SessionKeys theirs, ours;
    REQUIRE(received.respond(peers.psk, said, peers.entropy, response, theirs));
    CHECK(receiver_index_of(response) == 0x11223344);
    ResponsePayload heard;
    REQUIRE(attempt.read_response(response, heard, ours) == HandshakeError::none);
    CHECK(heard == said);
    CHECK(ours.send.equals(theirs.receive));
    CHECK(ours.receive.equals(theirs.send));
    CHECK_FALSE(ours.send.equals(ours.receive));
    CHECK(ours.handshake_hash == theirs.handshake_hash);
    CHECK_FALSE(received.respond(peers.psk, said, peers.entropy, response, theirs));
  }
}

TEST_CASE("the address the responder saw comes through") {
  for (const char* text :
       {"192.0.2.7:4649", "[2001:db8::7]:65535", "[::ffff:0:0]:1", "0.0.0.0:9"}) {
    Peers peers(2);
    Initiation attempt = peers.start(offer());
    ReceivedInitiation received = peers.receive(written(attempt));
    ResponsePayload said = answer();
    said.observed = parse_address(text);
    Datagram2 response;
    SessionKeys theirs, ours;
    ResponsePayload heard;
    REQUIRE(received.respond(peers.psk, said, peers.entropy, response, theirs));
    REQUIRE(attempt.read_response(response, heard, ours) == HandshakeError::none);
    if (std::string(text) == "[::ffff:0:0]:1") said.observed = parse_address("0.0.0.0:1");
    CHECK(to_string(heard.observed) == to_string(said.observed));
  }
}

TEST_CASE("every flipped bit of an initiation is refused") {
  Peers peers(3);
  const Initiation attempt = peers.start(offer());
  Datagram1 datagram = written(attempt);
  for (std::size_t bit = 0; bit < 184 * 8; ++bit) {
    INFO(bit);
    datagram[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    REQUIRE(check_mac1(peers.responder, datagram) != HandshakeError::none);
    datagram[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  }
  REQUIRE(check_mac1(peers.responder, datagram) == HandshakeError::none);
}

TEST_CASE("every flipped bit of an initiation is refused even when mac1 is made right again") {
  Peers peers(4);
  const Initiation attempt = peers.start(offer());
  const Datagram1 good = written(attempt);
  for (std::size_t bit = 0; bit < 168 * 8; ++bit) {
    INFO(bit);
    Datagram1 datagram = good;
    datagram[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    set_mac1(peers.responder.public_key(), datagram);
    if (check_mac1(peers.responder, datagram) != HandshakeError::none) {
      REQUIRE(bit < 32);  // Type, version, reserved: what needs no key to judge.
      continue;
    }
    std::optional<ReceivedInitiation> received;
    REQUIRE(ReceivedInitiation::read(peers.responder, datagram, received) != HandshakeError::none);
    REQUIRE_FALSE(received);
  }
}

TEST_CASE("every flipped bit of a response is refused and the attempt lives on") {
  Peers peers(5);
  const Initiation attempt = peers.start(offer());
  ReceivedInitiation received = peers.receive(written(attempt));
  Datagram2 good;
  SessionKeys theirs, ours;
  REQUIRE(received.respond(peers.psk, answer(), peers.entropy, good, theirs));
  ResponsePayload heard;
  for (const bool fixed : {false, true}) {
    for (std::size_t bit = 0; bit < response_bytes * 8; ++bit) {
      INFO(bit);
      Datagram2 datagram = good;
      datagram[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      if (fixed && bit / 8 >= 108 && bit / 8 < 124) continue;  // mac1 itself would be undone.
      if (fixed) set_mac1(peers.initiator.public_key(), datagram);
      REQUIRE(attempt.read_response(datagram, heard, ours) != HandshakeError::none);
    }
  }
  CHECK(heard == ResponsePayload{});
  CHECK(ours.send.equals(Secret<32>()));
  REQUIRE(attempt.read_response(good, heard, ours) == HandshakeError::none);
  CHECK(ours.send.equals(theirs.receive));
}

TEST_CASE("datagrams of a wrong size, type or version are refused before any key is used") {
  Peers peers(6);
  const Initiation attempt = peers.start(offer());
  const Datagram1 good = written(attempt);
  std::vector<std::uint8_t> bytes(good.begin(), good.end());
  const auto mac1_says = [&] { return check_mac1(peers.responder, bytes); };
  for (std::size_t size = 0; size <= 300; ++size) {
    bytes.resize(size);
    if (size > 0) bytes[0] = 1;
    if (size != initiation_bytes) REQUIRE(mac1_says() == HandshakeError::bad_size);
    if (size > 0) bytes[0] = 2;
    if (size != response_bytes) REQUIRE(mac1_says() == HandshakeError::bad_size);
  }
  for (unsigned type = 0; type < 256; ++type) {
    bytes.assign(good.begin(), good.end());
    bytes[0] = static_cast<std::uint8_t>(type);
    if (type != 1) REQUIRE(mac1_says() != HandshakeError::none);
  }
  bytes.assign(good.begin(), good.end());
  bytes[1] = 2;
  CHECK(mac1_says() == HandshakeError::bad_version);
  bytes[1] = 1, bytes[3] = 1;
  CHECK(mac1_says() == HandshakeError::bad_reserved);
  bytes[3] = 0, bytes[0] = 0x41;
  CHECK(mac1_says() == HandshakeError::bad_reserved);
  bytes[0] = 1;
  std::fill_n(bytes.begin() + 4, 4, std::uint8_t{0});
  set_mac1(peers.responder.public_key(), bytes);
  CHECK(mac1_says() == HandshakeError::wrong_index);
}

TEST_CASE("an initiation for another responder is refused") {
  Peers peers(7), others(8);
  const Datagram1 datagram = written(peers.start(offer()));
  CHECK(check_mac1(others.responder, datagram) == HandshakeError::bad_mac1);
  std::optional<ReceivedInitiation> received;
  CHECK(ReceivedInitiation::read(others.responder, datagram, received) ==
        HandshakeError::undecryptable);
}

TEST_CASE("a response under another pre-shared key, or from another responder, is refused") {
  Peers peers(9), others(10);
  const Initiation attempt = peers.start(offer());
  const Datagram1 initiation = written(attempt);
  Datagram2 response;
  SessionKeys keys;
  ResponsePayload heard;
  for (std::size_t bit = 0; bit < 256; ++bit) {
    PresharedKey wrong = peers.psk.clone();
    wrong.mutable_view()[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    ReceivedInitiation received = peers.receive(initiation);
    REQUIRE(received.respond(wrong, answer(), peers.entropy, response, keys));
    REQUIRE(attempt.read_response(response, heard, keys) == HandshakeError::undecryptable);
  }
  const Initiation to_others = others.start(offer());
  ReceivedInitiation received = others.receive(written(to_others));
  REQUIRE(received.respond(others.psk, answer(), others.entropy, response, keys));
  CHECK(attempt.read_response(response, heard, keys) == HandshakeError::bad_mac1);
}

TEST_CASE("a response answers one initiation only") {
  Peers peers(11);
  const Initiation first = peers.start(offer()), second = peers.start(offer()),
                   third = peers.start(offer(), 99);
  ReceivedInitiation received = peers.receive(written(first));
  Datagram2 response;
  SessionKeys keys;
  ResponsePayload heard;
  REQUIRE(received.respond(peers.psk, answer(), peers.entropy, response, keys));
  CHECK(second.read_response(response, heard, keys) == HandshakeError::undecryptable);
  CHECK(third.read_response(response, heard, keys) == HandshakeError::wrong_index);
  CHECK(first.read_response(written(first), heard, keys) == HandshakeError::bad_type);
  CHECK(first.read_response({}, heard, keys) == HandshakeError::bad_size);
  CHECK(first.read_response(response, heard, keys) == HandshakeError::none);
}

TEST_CASE("two attempts share no byte that could link them beyond the clear header") {
  Peers peers(12);
  const Datagram1 one = written(peers.start(offer())), two = written(peers.start(offer()));
  std::size_t same = 0;
  for (std::size_t i = 8; i < 184; ++i) same += one[i] == two[i] ? 1u : 0u;
  CHECK(same < 8);  // 176/256 expected.
}

TEST_CASE("keys of low order and second spellings are refused in both messages") {
  Peers peers(13);
  const Initiation attempt = peers.start(offer());
  ReceivedInitiation received = peers.receive(written(attempt));
  Datagram2 response;
  SessionKeys keys;
  ResponsePayload heard;
  REQUIRE(received.respond(peers.psk, answer(), peers.entropy, response, keys));
  std::array<std::uint8_t, 32> e{};
  const auto judged = [&](HandshakeError initiation_error, HandshakeError response_error) {
    Datagram1 one = written(attempt);
    std::copy(e.begin(), e.end(), one.begin() + 8);
    set_mac1(peers.responder.public_key(), one);
    std::optional<ReceivedInitiation> out;
    CHECK(ReceivedInitiation::read(peers.responder, one, out) == initiation_error);
    Datagram2 two = response;
    std::copy(e.begin(), e.end(), two.begin() + 12);
    set_mac1(peers.initiator.public_key(), two);
    CHECK(attempt.read_response(two, heard, keys) == response_error);
  };
  judged(HandshakeError::undecryptable, HandshakeError::undecryptable);  // 0
  e[0] = 1;
  judged(HandshakeError::undecryptable, HandshakeError::undecryptable);
  e.fill(0xff);
  judged(HandshakeError::bad_key, HandshakeError::bad_key);
  e[31] = 0x7f;
  judged(HandshakeError::bad_key, HandshakeError::bad_key);
  e[0] = 0xec;  // p - 1
  judged(HandshakeError::undecryptable, HandshakeError::undecryptable);

  CHECK_FALSE(
      Initiation::start(peers.initiator, PublicKey{}, peers.psk, 1, offer(), peers.entropy));
}

TEST_CASE("an initiation that may not be sent is not made") {
  Peers peers(14);
  const auto made = [&](const std::function<void(InitiationPayload&)>& change,
                        std::uint32_t index = 1) {
    InitiationPayload payload = offer();
    change(payload);
    return Initiation::start(peers.initiator, peers.responder.public_key(), peers.psk, index,
                             payload, peers.entropy)
        .has_value();
  };
  CHECK(made([](auto&) {}));
  CHECK_FALSE(made([](auto&) {}, 0));
  CHECK_FALSE(made([](auto& p) { p.links_max = 0; }));
  CHECK_FALSE(made([](auto& p) { p.links_max = 17; }));
  CHECK_FALSE(made([](auto& p) { p.ciphers = 2; }));
  CHECK_FALSE(made([](auto& p) { p.epoch = 1; }));
  CHECK_FALSE(made([](auto& p) { p.rekey = true; }));
  CHECK_FALSE(made([](auto& p) { p.resume_index = 1; }));
  CHECK_FALSE(made([](auto& p) { p.rekey = true, p.resume_index = 1, p.epoch = 4; }));
}

TEST_CASE(
    "an authentic initiation with a field out of bounds is refused, with spare bytes set it is "
    "not") {
  Peers peers(15);
  FreePeer free(peers);
  const auto read = [&](std::size_t at, std::uint8_t value) {
    std::array<std::uint8_t, 64> plain{};
    plain[24] = 3, plain[26] = 4;
    plain[at] = value;
    const Datagram1 datagram = free.initiation(header1, plain);
    REQUIRE(check_mac1(peers.responder, datagram) == HandshakeError::none);
    std::optional<ReceivedInitiation> received;
    const HandshakeError error = ReceivedInitiation::read(peers.responder, datagram, received);
    CHECK(received.has_value() == (error == HandshakeError::none));
    return error;
  };
  CHECK(read(26, 16) == HandshakeError::none);
  CHECK(read(26, 0) == HandshakeError::bad_payload);
  CHECK(read(26, 17) == HandshakeError::bad_payload);
  CHECK(read(24, 2) == HandshakeError::bad_payload);
  CHECK(read(24, 0xff) == HandshakeError::none);
  CHECK(read(25, 0xff) == HandshakeError::none);
  CHECK(read(27, 1) == HandshakeError::bad_payload);  // A rekey of no session.
  CHECK(read(27, 2) == HandshakeError::bad_payload);
  CHECK(read(30, 1) == HandshakeError::bad_payload);
  CHECK(read(31, 1) == HandshakeError::bad_payload);
  CHECK(read(32, 1) == HandshakeError::bad_payload);
  for (std::size_t spare = 36; spare < 64; ++spare)
    CHECK(read(spare, 0xff) == HandshakeError::none);
}

TEST_CASE("an authentic response that does not fit the offer is refused") {
  Peers peers(16);
  FreePeer free(peers);
  InitiationPayload offered = offer();
  const auto read = [&](std::size_t at, std::uint8_t value) {
    const Initiation attempt = peers.start(offered);
    std::array<std::uint8_t, 48> plain{};
    plain[8] = 1, plain[10] = 4;
    std::copy_n(header2.begin() + 4, 4, plain.begin() + 42);
    plain[14] = offered.epoch;
    plain[at] = value;
    ResponsePayload heard;
    SessionKeys keys;
    return attempt.read_response(free.response(written(attempt), header2, plain), heard, keys);
  };
  CHECK(read(0, 4) == HandshakeError::none);
  CHECK(read(0, 2) == HandshakeError::bad_payload);  // A feature nobody offered.
  CHECK(read(7, 0x80) == HandshakeError::bad_payload);
  CHECK(read(8, 2) == HandshakeError::none);
  CHECK(read(8, 0) == HandshakeError::wrong_cipher);
  CHECK(read(8, 3) == HandshakeError::wrong_cipher);
  CHECK(read(8, 4) == HandshakeError::wrong_cipher);
  CHECK(read(9, 1) == HandshakeError::wrong_cipher);
  CHECK(read(10, 0) == HandshakeError::bad_payload);
  CHECK(read(10, 9) == HandshakeError::bad_payload);
  CHECK(read(11, 1) == HandshakeError::bad_payload);
  CHECK(read(14, 1) == HandshakeError::wrong_epoch);
  CHECK(read(15, 1) == HandshakeError::bad_payload);
  CHECK(read(42, 0x89) == HandshakeError::wrong_index);
  CHECK(read(47, 0xff) == HandshakeError::none);
  offered.ciphers = 1;
  CHECK(read(8, 1) == HandshakeError::none);
  CHECK(read(8, 2) == HandshakeError::wrong_cipher);
  offered = rekey_offer();
  CHECK(read(8, 1) == HandshakeError::none);
  offered.resume_index ^= 1;  // A rekey cannot change the session's name.
  CHECK(read(8, 1) == HandshakeError::wrong_index);
}

TEST_CASE("a response that would not fit the offer is not made") {
  Peers peers(17);
  const Datagram1 datagram = written(peers.start(offer()));
  const auto made = [&](const std::function<void(ResponsePayload&)>& change) {
    ReceivedInitiation received = peers.receive(datagram);
    ResponsePayload payload = answer();
    change(payload);
    Datagram2 response;
    SessionKeys keys;
    return received.respond(peers.psk, payload, peers.entropy, response, keys);
  };
  CHECK(made([](auto&) {}));
  CHECK_FALSE(made([](auto& p) { p.session_index = 0; }));
  CHECK_FALSE(made([](auto& p) { p.links_max = 9; }));
  CHECK_FALSE(made([](auto& p) { p.features = 2; }));
  CHECK_FALSE(made([](auto& p) { p.epoch = 1; }));
}
