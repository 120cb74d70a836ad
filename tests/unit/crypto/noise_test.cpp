#include "crypto/noise.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "support/noise_patterns.hpp"
#include "support/seeded_entropy.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

struct Pair {
  HandshakeState initiator, responder;
};

struct Statics {
  PrivateKey i_secret, r_secret;
  PublicKey i_open, r_open;
};

Statics make_statics(Entropy& entropy) {
  Statics keys{generate_private_key(entropy), generate_private_key(entropy), {}, {}};
  keys.i_open = public_key_of(keys.i_secret);
  keys.r_open = public_key_of(keys.r_secret);
  return keys;
}

Pair start(const NoiseProtocol& protocol, const Statics& keys) {
  NoiseSetup setup;
  setup.pattern = &protocol.pattern;
  setup.protocol_name = protocol.name;
  setup.cipher = protocol.cipher;
  setup.prologue = bytes_of("prologue");
  setup.initiator = true;
  setup.static_key = &keys.i_secret;
  setup.remote_static = protocol.pattern.responder_pre.count > 0 ? &keys.r_open : nullptr;
  auto initiator = HandshakeState::start(setup);
  setup.initiator = false;
  setup.static_key = &keys.r_secret;
  setup.remote_static = protocol.pattern.initiator_pre.count > 0 ? &keys.i_open : nullptr;
  auto responder = HandshakeState::start(setup);
  REQUIRE(initiator);
  REQUIRE(responder);
  return {std::move(*initiator), std::move(*responder)};
}

bool exchange(HandshakeState& from, HandshakeState& to, Bytes payload, Entropy& entropy) {
  std::vector<std::uint8_t> message(payload.size() + from.overhead()), read(payload.size());
  if (from.overhead() != to.overhead() || !from.write_message(payload, message, entropy) ||
      !to.read_message(message, read)) {
    return false;
  }
  return std::equal(read.begin(), read.end(), payload.begin(), payload.end());
}

NoiseProtocol protocol_of(const char* name) {
  NoiseProtocol protocol;
  REQUIRE(parse_noise_name(name, protocol) == NoiseSupport::runs);
  return protocol;
}

}  // namespace

TEST_CASE("every pattern of the specification, with every psk place, ends in the same keys") {
  SeededEntropy entropy(1);
  const Statics keys = make_statics(entropy);
  int handshakes = 0;
  std::vector<std::string> names = {"N", "K", "X"};
  for (const char* i : {"N", "K", "K1", "X", "X1", "I", "I1"}) {
    for (const char* r : {"N", "K", "K1", "X", "X1"}) names.push_back(std::string(i) + r);
  }
  for (const std::string& name : names) {
    for (int psks = 0; psks < 32; ++psks) {  // Any set of psk0 to psk4.
      std::string modifiers;
      for (int place = 0; place < 5; ++place) {
        if ((psks >> place & 1) == 0) continue;
        modifiers += (modifiers.empty() ? "psk" : "+psk") + std::to_string(place);
      }
      NoiseProtocol protocol;
      const std::string full = "Noise_" + name + modifiers + "_25519_ChaChaPoly_BLAKE2b";
      const NoiseSupport support = parse_noise_name(full, protocol);
      if (support == NoiseSupport::unknown_pattern) {  // No such message in this pattern.
        REQUIRE(psks != 0);
        continue;
      }
      INFO(full);
      Pair pair = start(protocol, keys);
      for (int i = 0; i < 5; ++i) {
        Secret<32> psk;
        entropy.fill(psk.mutable_view());
        pair.initiator.add_psk(psk);
        pair.responder.add_psk(psk);
      }
      while (!pair.initiator.finished()) {
        const bool first = pair.initiator.our_turn();
        REQUIRE(first != pair.responder.our_turn());
        REQUIRE(exchange(first ? pair.initiator : pair.responder,
                         first ? pair.responder : pair.initiator, bytes_of("payload"), entropy));
      }
      REQUIRE(pair.responder.finished());
      REQUIRE(pair.initiator.handshake_hash() == pair.responder.handshake_hash());
      Secret<32> i1, i2, r1, r2;
      pair.initiator.split(i1, i2);
      pair.responder.split(r1, r2);
      REQUIRE(i1.equals(r1));
      REQUIRE(i2.equals(r2));
      REQUIRE_FALSE(i1.equals(i2));
      ++handshakes;
    }
  }
  CHECK(handshakes > 300);
}

TEST_CASE("another prologue, another name or another psk ends the handshake") {
  SeededEntropy entropy(2);
  const Statics keys = make_statics(entropy);
  const NoiseProtocol protocol = protocol_of("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b");
  NoiseProtocol renamed = protocol;
  renamed.name.back() = 's';
  {
    Pair one = start(protocol, keys), two = start(renamed, keys);
    CHECK_FALSE(exchange(one.initiator, two.responder, {}, entropy));
  }
  Pair pair = start(protocol, keys);
  Secret<32> psk;
  pair.responder.add_psk(psk);
  psk.mutable_view()[31] = 1;
  pair.initiator.add_psk(psk);
  REQUIRE(exchange(pair.initiator, pair.responder, {}, entropy));
  CHECK_FALSE(exchange(pair.responder, pair.initiator, {}, entropy));
}

TEST_CASE("a message that was read wrongly ends that state, but not the one it was cloned from") {
  SeededEntropy entropy(3);
  const Statics keys = make_statics(entropy);
  const NoiseProtocol protocol = protocol_of("Noise_IK_25519_ChaChaPoly_BLAKE2b");
  Pair pair = start(protocol, keys);
  std::vector<std::uint8_t> message(pair.initiator.overhead()), none;
  REQUIRE(pair.initiator.write_message({}, message, entropy));
  HandshakeState copy = pair.responder.clone();
  message[40] ^= 1;
  CHECK_FALSE(copy.read_message(message, none));
  message[40] ^= 1;
  CHECK_FALSE(copy.read_message(message, none));
  CHECK(pair.responder.read_message(message, none));
  CHECK(pair.responder.remote_static() == keys.i_open);
}

TEST_CASE("an ephemeral or static key of low order ends the handshake") {
  SeededEntropy entropy(4);
  const Statics keys = make_statics(entropy);
  const NoiseProtocol protocol = protocol_of("Noise_NN_25519_ChaChaPoly_BLAKE2b");
  Pair pair = start(protocol, keys);
  const std::vector<std::uint8_t> zeros(32);
  std::vector<std::uint8_t> none, answer(48);
  REQUIRE(pair.responder.read_message(zeros, none));
  CHECK_FALSE(pair.responder.write_message({}, answer, entropy));

  Statics weak = make_statics(entropy);
  weak.r_open = PublicKey{};
  const NoiseProtocol to_known = protocol_of("Noise_NK_25519_ChaChaPoly_BLAKE2b");
  Pair other = start(to_known, weak);
  CHECK_FALSE(other.initiator.write_message({}, answer, entropy));
}

TEST_CASE("a handshake without the keys it needs does not start, and none goes out of turn") {
  SeededEntropy entropy(5);
  const Statics keys = make_statics(entropy);
  const NoiseProtocol protocol = protocol_of("Noise_IK_25519_ChaChaPoly_BLAKE2b");
  NoiseSetup setup;
  setup.pattern = &protocol.pattern;
  setup.protocol_name = protocol.name;
  setup.initiator = true;
  setup.static_key = &keys.i_secret;
  CHECK_FALSE(HandshakeState::start(setup));
  Pair pair = start(protocol, keys);
  std::vector<std::uint8_t> message(pair.initiator.overhead()), none;
  CHECK_FALSE(pair.responder.write_message({}, message, entropy));
  CHECK_FALSE(pair.initiator.read_message(message, none));
  CHECK_FALSE(pair.responder.read_message(Bytes(message).first(95), none));
}

TEST_CASE("a cipher state stops at its last number and forgets no number for a forgery") {
  Secret<32> key;
  CipherState send(Cipher::chacha20_poly1305, key), receive(Cipher::chacha20_poly1305, key);
  std::array<std::uint8_t, 16> sealed;
  REQUIRE(send.encrypt({}, {}, sealed));
  sealed[0] ^= 1;
  CHECK_FALSE(receive.decrypt({}, sealed, {}));
  sealed[0] ^= 1;
  CHECK(receive.number() == 0);
  CHECK(receive.decrypt({}, sealed, {}));
  CHECK(receive.number() == 1);
  send.set_number(UINT64_MAX);
  CHECK_FALSE(send.encrypt({}, {}, sealed));
  CHECK(send.number() == UINT64_MAX);
}
