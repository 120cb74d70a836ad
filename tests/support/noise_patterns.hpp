#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "crypto/aead.hpp"
#include "crypto/noise.hpp"

namespace mwtun::test {

/// A protocol name of the Noise specification, revision 34, taken apart.
struct NoiseProtocol {
  std::string name;
  NoisePattern pattern;
  Cipher cipher = Cipher::chacha20_poly1305;
  bool one_way = false;
  /// The fallback modifier exchanged the roles (§10.2): the pattern's initiator is the responder of
  /// the handshake that went before, whose first `e` is now a pre-message.
  bool fallback = false;
};

/// Tokens of any one-way, fundamental or deferred pattern, by the derivation rules of §18.3, with
/// the modifiers psk0, psk1, … and fallback in any number, as "IKpsk2", "NXpsk0+psk1",
/// "XXfallback+psk0". Nothing when it is no such name.
std::optional<NoiseProtocol> noise_pattern(std::string_view text);

enum class NoiseSupport { runs, other_algorithm, unknown_pattern };

/// "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b"; `other_algorithm` is for a name whose Diffie-Hellman,
/// cipher or hash we do not have, or an extension outside of revision 34 (hfs, signatures).
NoiseSupport parse_noise_name(std::string_view name, NoiseProtocol& protocol);

}  // namespace mwtun::test
