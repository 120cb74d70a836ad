#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "crypto/keys.hpp"

namespace mwtun::test {

/// One party of a vector. What the vector leaves out is empty.
struct NoiseParty {
  std::vector<std::uint8_t> prologue;
  std::optional<PrivateKey> static_key;
  std::optional<PrivateKey> ephemeral_key;
  std::optional<PublicKey> remote_static;
  std::optional<PublicKey> remote_ephemeral;
  std::vector<PresharedKey> psks;
};

struct NoiseMessage {
  std::vector<std::uint8_t> payload;
  std::vector<std::uint8_t> ciphertext;
};

/// A test vector in the format of the Noise wiki, as cacophony, snow and noise-c write it, with
/// what these differ in: "name" or "protocol_name", one psk or a list, with or without a handshake
/// hash.
struct NoiseVector {
  std::string name;
  std::string pattern;           // noise-c: that of the first message, when there is a fallback.
  std::string fallback_pattern;  // To what the handshake falls back.
  bool fallback = false;         // The responder can't read the first message.
  bool fail = false;             // The last message must not be readable.
  bool extension = false;        // Has keys of an extension that is not part of revision 34.
  NoiseParty initiator, responder;
  std::vector<NoiseMessage> messages;
  std::vector<std::uint8_t> handshake_hash;
};

/// Throws std::exception on what is no vector at all.
NoiseVector read_noise_vector(const nlohmann::json& json);

enum class NoiseOutcome { passed, failed, not_expressible };

/// Both roles, byte by byte: every message written and read, the handshake hash, then transport
/// messages.
/// @param why  what went wrong
NoiseOutcome run_noise_vector(const NoiseVector& vector, std::string& why);

}  // namespace mwtun::test
