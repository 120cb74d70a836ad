#include "noise_vector.hpp"

#include <algorithm>
#include <span>
#include <stdexcept>

#include "../hex.hpp"
#include "crypto/noise.hpp"
#include "support/noise_patterns.hpp"
#include "support/seeded_entropy.hpp"

namespace mwtun::test {

namespace {

using Json = nlohmann::json;

std::string text_of(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at == json.end() || !at->is_string() ? std::string() : at->get<std::string>();
}

bool flag_of(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_boolean() && at->get<bool>();
}

std::optional<PrivateKey> private_key(const Json& json, const std::string& key) {
  const auto bytes = from_hex(text_of(json, key.c_str()));
  if (bytes.size() != 32) return std::nullopt;
  return PrivateKey::copy_of(bytes);
}

std::optional<PublicKey> public_key(const Json& json, const std::string& key) {
  const auto bytes = from_hex(text_of(json, key.c_str()));
  if (bytes.size() != 32) return std::nullopt;
  PublicKey open;
  std::copy(bytes.begin(), bytes.end(), open.bytes.begin());
  return open;
}

NoiseParty read_party(const Json& json, const std::string& role) {
  NoiseParty party;
  party.prologue = from_hex(text_of(json, (role + "_prologue").c_str()));
  party.static_key = private_key(json, role + "_static");
  party.ephemeral_key = private_key(json, role + "_ephemeral");
  party.remote_static = public_key(json, role + "_remote_static");
  party.remote_ephemeral = public_key(json, role + "_remote_ephemeral");
  if (const auto list = json.find(role + "_psks"); list != json.end() && list->is_array()) {
    for (const Json& psk : *list) {
      const auto bytes = from_hex(psk.get<std::string>());
      if (bytes.size() != PresharedKey::bytes) throw std::length_error("a psk has 32 bytes");
      party.psks.push_back(PresharedKey::copy_of(bytes));
    }
  }
  if (auto psk = private_key(json, role + "_psk")) party.psks.push_back(std::move(*psk));
  if (party.psks.size() > HandshakeState::psks_max) throw std::length_error("too many psks");
  return party;
}

/// One key may be said from one side only.
void complete(NoiseParty& party, const NoiseParty& other) {
  if (!party.remote_static && other.static_key) {
    party.remote_static = public_key_of(*other.static_key);
  }
  if (!party.remote_ephemeral && other.ephemeral_key) {
    party.remote_ephemeral = public_key_of(*other.ephemeral_key);
  }
  if (party.psks.empty()) {
    for (const PresharedKey& psk : other.psks) party.psks.push_back(psk.clone());
  }
}

std::optional<HandshakeState> start(const NoiseProtocol& protocol, const NoiseParty& party,
                                    bool initiator) {
  const auto needs = [](const NoiseTokens& tokens, NoiseToken token) {
    return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
  };
  const NoisePattern& pattern = protocol.pattern;
  const NoiseTokens& ours = initiator ? pattern.initiator_pre : pattern.responder_pre;
  const NoiseTokens& theirs = initiator ? pattern.responder_pre : pattern.initiator_pre;
  NoiseSetup setup;
  setup.pattern = &pattern;
  setup.protocol_name = protocol.name;
  setup.cipher = protocol.cipher;
  setup.initiator = initiator;
  setup.prologue = party.prologue;
  // Only what the pattern calls for, so that nothing works by a key it should not have.
  if (party.static_key) setup.static_key = &*party.static_key;
  if (needs(ours, NoiseToken::e) && party.ephemeral_key) {
    setup.ephemeral_key = &*party.ephemeral_key;
  }
  if (needs(theirs, NoiseToken::s) && party.remote_static) {
    setup.remote_static = &*party.remote_static;
  }
  if (needs(theirs, NoiseToken::e) && party.remote_ephemeral) {
    setup.remote_ephemeral = &*party.remote_ephemeral;
  }
  auto state = HandshakeState::start(setup);
  if (!state) return std::nullopt;
  for (const PresharedKey& psk : party.psks) {
    if (pattern.psk) state->add_psk(psk);
  }
  return state;
}

ScriptedEntropy ephemeral_of(const NoiseParty& party) {
  return ScriptedEntropy(party.ephemeral_key ? party.ephemeral_key->view() : Bytes());
}

/// What is wrong with message `i`, or nothing.
std::string compare(std::size_t i, const char* what, Bytes is, Bytes should_be) {
  if (std::equal(is.begin(), is.end(), should_be.begin(), should_be.end())) return {};
  return "message " + std::to_string(i) + ": " + what + " is " + to_hex(is) + ", not " +
         to_hex(should_be);
}

/// The messages from the first of this protocol on.
std::string run(const NoiseProtocol& protocol, const NoiseParty& first, const NoiseParty& second,
                std::span<const NoiseMessage> messages, Bytes expected_hash, bool fail) {
  auto initiator = start(protocol, first, true), responder = start(protocol, second, false);
  if (!initiator || !responder) return "a key of the pre-messages is missing";
  if (messages.empty()) return "no messages";
  ScriptedEntropy first_e = ephemeral_of(first), second_e = ephemeral_of(second);

  std::size_t i = 0;
  for (; i < messages.size() && !initiator->finished(); ++i) {
    const bool forward = initiator->our_turn();
    HandshakeState& writer = forward ? *initiator : *responder;
    HandshakeState& reader = forward ? *responder : *initiator;
    const NoiseMessage& message = messages[i];
    const bool must_fail = fail && i + 1 == messages.size();
    if (writer.overhead() != reader.overhead()) return "the two ends disagree on a size";
    std::vector<std::uint8_t> written(message.payload.size() + writer.overhead());
    if (!writer.write_message(message.payload, written, forward ? first_e : second_e)) {
      return "message " + std::to_string(i) + " can't be written";
    }
    if (!must_fail) {
      if (auto error = compare(i, "ciphertext", written, message.ciphertext); !error.empty()) {
        return error;
      }
    }
    if (message.ciphertext.size() < reader.overhead()) {
      if (must_fail) return {};
      return "message " + std::to_string(i) + " is too short";
    }
    std::vector<std::uint8_t> read(message.ciphertext.size() - reader.overhead());
    const bool opened = reader.read_message(message.ciphertext, read);
    if (must_fail) return opened ? "the last message could be read" : "";
    if (!opened) return "message " + std::to_string(i) + " can't be read";
    if (auto error = compare(i, "payload", read, message.payload); !error.empty()) return error;
  }
  if (!initiator->finished()) {
    return expected_hash.empty() ? "" : "the messages end before the handshake does";
  }

  const Bytes hash = initiator->handshake_hash();
  if (auto error = compare(i, "the responder's handshake hash", responder->handshake_hash(), hash);
      !error.empty()) {
    return error;
  }
  if (!expected_hash.empty()) {
    if (auto error = compare(i, "handshake hash", hash, expected_hash); !error.empty()) {
      return error;
    }
  }

  Secret<32> i_first, i_second, r_first, r_second;
  initiator->split(i_first, i_second);
  responder->split(r_first, r_second);
  CipherState forward_write(protocol.cipher, i_first), forward_read(protocol.cipher, r_first);
  CipherState back_write(protocol.cipher, r_second), back_read(protocol.cipher, i_second);
  for (; i < messages.size(); ++i) {
    const bool forward = protocol.one_way || i % 2 == 0;
    const NoiseMessage& message = messages[i];
    const bool must_fail = fail && i + 1 == messages.size();
    std::vector<std::uint8_t> written(message.payload.size() + aead_tag_bytes);
    if (!(forward ? forward_write : back_write).encrypt({}, message.payload, written)) {
      return "transport message " + std::to_string(i) + " can't be written";
    }
    if (!must_fail) {
      if (auto error = compare(i, "ciphertext", written, message.ciphertext); !error.empty()) {
        return error;
      }
    }
    std::vector<std::uint8_t> read(std::max(message.ciphertext.size(), aead_tag_bytes) -
                                   aead_tag_bytes);
    const bool opened = (forward ? forward_read : back_read).decrypt({}, message.ciphertext, read);
    if (must_fail) return opened ? "the last message could be read" : "";
    if (!opened) return "transport message " + std::to_string(i) + " can't be read";
    if (auto error = compare(i, "payload", read, message.payload); !error.empty()) return error;
  }
  return {};
}

/// Noise Pipes (§10.4): the first message is of `tried`; the responder can't read it, takes its `e`
/// and goes on as the initiator of `switched`.
std::string run_pipe(const NoiseProtocol& tried, const NoiseProtocol& switched,
                     const NoiseVector& vector, const NoiseParty& alice, NoiseParty bob) {
  const NoiseMessage& message = vector.messages[0];
  auto initiator = start(tried, alice, true), responder = start(tried, bob, false);
  if (!initiator || !responder) return "a key of the pre-messages is missing";
  ScriptedEntropy e = ephemeral_of(alice);
  std::vector<std::uint8_t> written(message.payload.size() + initiator->overhead());
  if (!initiator->write_message(message.payload, written, e)) return "message 0 can't be written";
  if (auto error = compare(0, "ciphertext", written, message.ciphertext); !error.empty()) {
    return error;
  }
  std::vector<std::uint8_t> read(message.payload.size());
  if (responder->read_message(message.ciphertext, read)) return "the responder read message 0";
  std::copy_n(message.ciphertext.begin(), 32, bob.remote_ephemeral.emplace().bytes.begin());
  return run(switched, bob, alice, std::span(vector.messages).subspan(1), vector.handshake_hash,
             vector.fail);
}

std::string with_pattern(const std::string& name, const std::string& pattern) {
  if (pattern.rfind("Noise_", 0) == 0) return pattern;
  const std::size_t from = name.find('_') + 1;
  return name.substr(0, from) + pattern + name.substr(name.find('_', from));
}

}  // namespace

NoiseVector read_noise_vector(const Json& json) {
  NoiseVector vector;
  vector.name = text_of(json, "protocol_name");
  if (vector.name.empty()) vector.name = text_of(json, "name");
  vector.pattern = text_of(json, "pattern");
  if (vector.name.rfind("Noise", 0) != 0 && !vector.pattern.empty()) {
    vector.name = "Noise_" + vector.pattern + "_" + text_of(json, "dh") + "_" +
                  text_of(json, "cipher") + "_" + text_of(json, "hash");
  }
  vector.fallback_pattern = text_of(json, "fallback_pattern");
  vector.fallback = flag_of(json, "fallback");
  vector.fail = flag_of(json, "fail");
  for (const char* key : {"hybrid", "init_ssk", "resp_ssk", "init_semiephemeral"}) {
    vector.extension |= !text_of(json, key).empty();
  }
  NoiseProtocol protocol;
  if (vector.extension ||
      parse_noise_name(vector.name, protocol) == NoiseSupport::other_algorithm) {
    vector.extension = true;  // Its keys may have other sizes.
    return vector;
  }
  vector.initiator = read_party(json, "init");
  vector.responder = read_party(json, "resp");
  complete(vector.initiator, vector.responder);
  complete(vector.responder, vector.initiator);
  for (const Json& message : json.at("messages")) {
    vector.messages.push_back(
        {from_hex(text_of(message, "payload")), from_hex(text_of(message, "ciphertext"))});
  }
  vector.handshake_hash = from_hex(text_of(json, "handshake_hash"));
  return vector;
}

NoiseOutcome run_noise_vector(const NoiseVector& vector, std::string& why) {
  NoiseProtocol protocol;
  const NoiseSupport support = parse_noise_name(vector.name, protocol);
  if (vector.extension || support == NoiseSupport::other_algorithm) {
    return NoiseOutcome::not_expressible;
  }
  if (support == NoiseSupport::unknown_pattern) {
    why = "no such pattern";
    return NoiseOutcome::failed;
  }
  if ((available_ciphers() & cipher_bit(protocol.cipher)) == 0) {
    return NoiseOutcome::not_expressible;
  }
  if (vector.messages.empty()) {
    why = "no messages";
    return NoiseOutcome::failed;
  }
  const NoiseParty &alice = vector.initiator, &bob = vector.responder;
  const auto clone = [](const NoiseParty& party) {
    NoiseParty copy;
    copy.prologue = party.prologue;
    if (party.static_key) copy.static_key = party.static_key->clone();
    if (party.ephemeral_key) copy.ephemeral_key = party.ephemeral_key->clone();
    copy.remote_static = party.remote_static;
    copy.remote_ephemeral = party.remote_ephemeral;
    for (const PresharedKey& psk : party.psks) copy.psks.push_back(psk.clone());
    return copy;
  };

  if (vector.fallback) {
    // Either the name is of what is switched to, or of what was tried.
    std::string tried_name = vector.name, switched_name = vector.name;
    if (protocol.fallback) {
      tried_name = with_pattern(vector.name, vector.pattern.empty() ? "IK" : vector.pattern);
    } else {
      switched_name = with_pattern(
          vector.name, vector.fallback_pattern.empty() ? "XXfallback" : vector.fallback_pattern);
    }
    NoiseProtocol tried, switched;
    const NoiseSupport one = parse_noise_name(tried_name, tried),
                       two = parse_noise_name(switched_name, switched);
    if (one == NoiseSupport::other_algorithm || two == NoiseSupport::other_algorithm) {
      return NoiseOutcome::not_expressible;
    }
    why = one == NoiseSupport::runs && two == NoiseSupport::runs
              ? run_pipe(tried, switched, vector, alice, clone(bob))
              : "no such pattern";
  } else if (protocol.fallback) {
    // The specification has no format for this alone: "init" can be who sends first, or who sent
    // the message before. All bytes must fit in one of the two readings.
    why = run(protocol, alice, bob, vector.messages, vector.handshake_hash, vector.fail);
    if (!why.empty()) {
      const std::string other =
          run(protocol, bob, alice, vector.messages, vector.handshake_hash, vector.fail);
      if (other.empty()) why.clear();
    }
  } else {
    why = run(protocol, alice, bob, vector.messages, vector.handshake_hash, vector.fail);
  }
  return why.empty() ? NoiseOutcome::passed : NoiseOutcome::failed;
}

}  // namespace mwtun::test
