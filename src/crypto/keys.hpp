#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/entropy.hpp"
#include "crypto/secret.hpp"

namespace mwtun {

/// An X25519 public key as it stands on the wire.
struct PublicKey {
  std::array<std::uint8_t, 32> bytes{};

  auto operator<=>(const PublicKey&) const = default;
};

using PrivateKey = Secret<32>;
/// All zeros for a pair that has none.
using PresharedKey = Secret<32>;

/// A clamped X25519 scalar.
PrivateKey generate_private_key(Entropy& entropy);
PublicKey public_key_of(const PrivateKey& key);

/// False when the number is not below 2^255 - 19 or has its top bit set: such a key has a second
/// spelling, and an identity must have one only.
bool canonical_public_key(const PublicKey& key);
/// Canonical and not of low order, so a Diffie-Hellman with it depends on our key. Costs one.
bool usable_public_key(const PublicKey& key);

/// X25519. False, with `shared` zeroed, when the result is all zeros.
[[nodiscard]] bool diffie_hellman(const PrivateKey& ours, const PublicKey& theirs,
                                  Secret<32>& shared);

/// RFC 4648 §4, with padding.
std::string to_base64(Bytes bytes);
/// Exactly 44 characters of canonical base64; no white space, no other alphabet, no stray low bits.
std::optional<Secret<32>> from_base64_32(std::string_view text);
/// As above. Says nothing about the key's worth: see usable_public_key.
std::optional<PublicKey> public_key_from_base64(std::string_view text);

}  // namespace mwtun
