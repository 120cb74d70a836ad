#include "crypto/keys.hpp"

#include <sodium.h>

namespace mwtun {

static_assert(crypto_scalarmult_BYTES == 32 && crypto_scalarmult_SCALARBYTES == 32);

PrivateKey generate_private_key(Entropy& entropy) {
  PrivateKey key;
  const MutableBytes bytes = key.mutable_view();
  entropy.fill(bytes);
  bytes[0] &= 0xf8;
  bytes[31] = static_cast<std::uint8_t>((bytes[31] & 0x7f) | 0x40);
  return key;
}

PublicKey public_key_of(const PrivateKey& key) {
  PublicKey open;
  crypto_scalarmult_base(open.bytes.data(), key.view().data());
  return open;
}

bool canonical_public_key(const PublicKey& key) {
  if (key.bytes[31] != 0x7f) return key.bytes[31] < 0x7f;
  for (std::size_t i = 30; i > 0; --i) {
    if (key.bytes[i] != 0xff) return true;
  }
  return key.bytes[0] < 0xed;
}

bool usable_public_key(const PublicKey& key) {
  if (!canonical_public_key(key)) return false;
  // Scalars are multiples of 8 once clamped, so any of them takes a point of low order to zero.
  const PrivateKey any;
  Secret<32> shared;
  return diffie_hellman(any, key, shared);
}

bool diffie_hellman(const PrivateKey& ours, const PublicKey& theirs, Secret<32>& shared) {
  if (crypto_scalarmult(shared.mutable_view().data(), ours.view().data(), theirs.bytes.data()) ==
      0) {
    return true;
  }
  shared.clear();
  return false;
}

std::string to_base64(Bytes bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // The length above counts a terminating zero.
  return text;
}

std::optional<Secret<32>> from_base64_32(std::string_view text) {
  constexpr std::size_t text_bytes = 44;
  if (text.size() != text_bytes) return std::nullopt;
  Secret<32> secret;
  std::size_t decoded = 0;
  const char* end = nullptr;
  if (sodium_base642bin(secret.mutable_view().data(), Secret<32>::bytes, text.data(), text.size(),
                        nullptr, &decoded, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
      decoded != Secret<32>::bytes || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return secret;
}

std::optional<PublicKey> public_key_from_base64(std::string_view text) {
  const std::optional<Secret<32>> bytes = from_base64_32(text);
  if (!bytes) return std::nullopt;
  PublicKey key;
  std::memcpy(key.bytes.data(), bytes->view().data(), key.bytes.size());
  return key;
}

}  // namespace mwtun
