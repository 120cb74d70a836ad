#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.hpp"
#include "crypto/secret.hpp"

namespace mwtun {

/// The value is the cipher's bit in the bitmaps of the handshake.
enum class Cipher : std::uint8_t { chacha20_poly1305 = 0, aes_256_gcm = 1 };

inline constexpr std::size_t aead_tag_bytes = 16;

constexpr std::uint16_t cipher_bit(Cipher cipher) {
  return static_cast<std::uint16_t>(1u << static_cast<unsigned>(cipher));
}

/// Bitmap of what this processor and the library can do; ChaCha20-Poly1305 always.
std::uint16_t available_ciphers();

/// "chacha20-poly1305", "aes-256-gcm"
const char* to_string(Cipher cipher);
std::optional<Cipher> cipher_from_name(std::string_view name);

/// The responder's choice: the pinned one when both ends have it, else AES-256-GCM when both ends
/// have it (a processor with AES instructions does it about twice as fast), else ChaCha20-Poly1305.
/// Nothing when the two sets have nothing in common, or not the pinned one.
constexpr std::optional<Cipher> choose_cipher(std::uint16_t offered, std::uint16_t ours,
                                              std::optional<Cipher> pinned) {
  for (const Cipher cipher : {Cipher::aes_256_gcm, Cipher::chacha20_poly1305}) {
    if ((offered & ours & cipher_bit(cipher)) != 0 && pinned.value_or(cipher) == cipher) {
      return cipher;
    }
  }
  return std::nullopt;
}

/// Which library computes an AEAD. All give the same bytes.
enum class AeadProvider : std::uint8_t { libsodium, libcrypto, ipsec_mb };
inline constexpr std::array aead_providers{AeadProvider::libsodium, AeadProvider::libcrypto,
                                           AeadProvider::ipsec_mb};

/// "libsodium", "libcrypto", "ipsec-mb"
const char* to_string(AeadProvider provider);
/// Whether this program was built with it, and it can do the cipher here.
bool available(AeadProvider provider, Cipher cipher);

/// The one to use for each cipher.
struct AeadProviders {
  AeadProvider chacha20_poly1305 = AeadProvider::libsodium;
  AeadProvider aes_256_gcm = AeadProvider::libsodium;

  constexpr AeadProvider of(Cipher cipher) const {
    return cipher == Cipher::aes_256_gcm ? aes_256_gcm : chacha20_poly1305;
  }
  bool operator==(const AeadProviders&) const = default;
};

/// 96 bits, as the AEADs take it.
using AeadNonce = std::array<std::uint8_t, 12>;

/// Noise §12: four zero bytes, then the number, little-endian for ChaCha20-Poly1305 and big-endian
/// for AES-256-GCM.
constexpr AeadNonce noise_nonce(Cipher cipher, std::uint64_t number) {
  if (cipher == Cipher::aes_256_gcm) number = __builtin_bswap64(number);
  AeadNonce nonce{};
  // As it is copied: what was stored otherwise is waited for.
  store_le(nonce.data(), number << 32, 8);
  store_le(nonce.data() + 8, number >> 32, 4);
  return nonce;
}

class IpsecMbAead;
class LibcryptoAead;

/// One AEAD with one key, ready for use: the AES key schedule and GCM tables are made once.
/// Move-only, wiped. For one thread at a time.
class AeadEngine {
 public:
  /// The cipher must be among available_ciphers(). Where the provider is not available(), libsodium
  /// stands in.
  AeadEngine(Cipher cipher, const Secret<32>& key, AeadProvider provider = AeadProvider::libsodium);
  AeadEngine(const AeadEngine&) = delete;
  AeadEngine& operator=(const AeadEngine&) = delete;
  AeadEngine(AeadEngine&& other) noexcept;
  AeadEngine& operator=(AeadEngine&& other) noexcept;
  ~AeadEngine();

  /// Writes plain.size() + 16 bytes. `out` may be the very memory of `plain`, else must not overlap
  /// it.
  void seal(const AeadNonce& nonce, Bytes aad, Bytes plain, MutableBytes out) const;
  /// The same of a plain text in pieces, none of which may overlap `out`.
  void seal(const AeadNonce& nonce, Bytes aad, std::span<const Bytes> plain,
            MutableBytes out) const;
  /// Writes sealed.size() - 16 bytes; no overlap. False: forged or too short, and `out` is then
  /// zeros or untouched.
  [[nodiscard]] bool open(const AeadNonce& nonce, Bytes aad, Bytes sealed, MutableBytes out) const;

  Cipher cipher() const { return cipher_; }
  AeadProvider provider() const {
    if (ipsec_mb_) return AeadProvider::ipsec_mb;
    return libcrypto_ ? AeadProvider::libcrypto : AeadProvider::libsodium;
  }

 private:
  Cipher cipher_;
  std::unique_ptr<LibcryptoAead> libcrypto_;  // At most one of these two; none: libsodium.
  std::unique_ptr<IpsecMbAead> ipsec_mb_;
  // ChaCha20: the key. AES: what the library precomputes of it, which wants this size and
  // alignment.
  alignas(16) std::array<std::uint8_t, 512> state_{};
};

/// One direction of one key epoch. Who calls seal() sees to it that no number is used twice.
class AeadKey {
 public:
  /// @param noise_key  a key of Noise Split(); AES-256-GCM derives its own from it, so that no key
  /// is ever
  ///                   used by two ciphers
  AeadKey(Cipher cipher, const Secret<32>& noise_key,
          AeadProvider provider = AeadProvider::libsodium);

  /// Writes plain.size() + 16 bytes to out. `out` may be exactly the same memory as `plain`,
  /// otherwise must not overlap it.
  void seal(std::uint64_t nonce, Bytes aad, Bytes plain, MutableBytes out) const {
    engine_.seal(noise_nonce(engine_.cipher(), nonce), aad, plain, out);
  }
  /// The same of a plain text in pieces, none of which may overlap `out`.
  void seal(std::uint64_t nonce, Bytes aad, std::span<const Bytes> plain, MutableBytes out) const {
    engine_.seal(noise_nonce(engine_.cipher(), nonce), aad, plain, out);
  }
  /// Writes sealed.size() - 16 bytes to out (no overlap). False: forged; `out` is then unspecified.
  [[nodiscard]] bool open(std::uint64_t nonce, Bytes aad, Bytes sealed, MutableBytes out) const {
    return engine_.open(noise_nonce(engine_.cipher(), nonce), aad, sealed, out);
  }
  Cipher cipher() const { return engine_.cipher(); }
  AeadProvider provider() const { return engine_.provider(); }

 private:
  AeadEngine engine_;
};

}  // namespace mwtun
