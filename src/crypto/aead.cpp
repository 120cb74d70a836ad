#include "crypto/aead.hpp"

#include <sodium.h>

#include "crypto/aead_ipsec_mb.hpp"
#include "crypto/aead_libcrypto.hpp"
#include "crypto/blake2b.hpp"

namespace mwtun {

static_assert(sizeof(crypto_aead_aes256gcm_state) == 512 &&
                  alignof(crypto_aead_aes256gcm_state) == 16,
              "AeadEngine::state_ stands for crypto_aead_aes256gcm_state");
static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == aead_tag_bytes);
static_assert(crypto_aead_aes256gcm_ABYTES == aead_tag_bytes);

std::uint16_t available_ciphers() {
  std::uint16_t ciphers = cipher_bit(Cipher::chacha20_poly1305);
  if (crypto_aead_aes256gcm_is_available() == 1) ciphers |= cipher_bit(Cipher::aes_256_gcm);
  return ciphers;
}

const char* to_string(Cipher cipher) {
  return cipher == Cipher::aes_256_gcm ? "aes-256-gcm" : "chacha20-poly1305";
}

std::optional<Cipher> cipher_from_name(std::string_view name) {
  for (const Cipher cipher : {Cipher::chacha20_poly1305, Cipher::aes_256_gcm}) {
    if (name == to_string(cipher)) return cipher;
  }
  return std::nullopt;
}

const char* to_string(AeadProvider provider) {
  switch (provider) {
    case AeadProvider::libsodium: break;
    case AeadProvider::libcrypto: return "libcrypto";
    case AeadProvider::ipsec_mb: return "ipsec-mb";
  }
  return "libsodium";
}

bool available(AeadProvider provider, Cipher cipher) {
  if ((available_ciphers() & cipher_bit(cipher)) == 0) return false;
  switch (provider) {
    case AeadProvider::libsodium: break;
    case AeadProvider::libcrypto: return LibcryptoAead::create(cipher, Secret<32>{}) != nullptr;
    case AeadProvider::ipsec_mb: return IpsecMbAead::create(cipher, Secret<32>{}) != nullptr;
  }
  return true;
}

static const crypto_aead_aes256gcm_state* aes_state(const std::array<std::uint8_t, 512>& bytes) {
  return reinterpret_cast<const crypto_aead_aes256gcm_state*>(bytes.data());
}

AeadEngine::AeadEngine(Cipher cipher, const Secret<32>& key, AeadProvider provider)
    : cipher_(cipher) {
  MWTUN_ASSERT((available_ciphers() & cipher_bit(cipher)) != 0);
  if (provider == AeadProvider::libcrypto) libcrypto_ = LibcryptoAead::create(cipher, key);
  if (provider == AeadProvider::ipsec_mb) ipsec_mb_ = IpsecMbAead::create(cipher, key);
  if (libcrypto_ || ipsec_mb_) return;
  if (cipher == Cipher::aes_256_gcm) {
    crypto_aead_aes256gcm_beforenm(reinterpret_cast<crypto_aead_aes256gcm_state*>(state_.data()),
                                   key.view().data());
  } else {
    std::memcpy(state_.data(), key.view().data(), key.view().size());
  }
}

AeadEngine::~AeadEngine() {
  wipe(state_);
}

AeadEngine::AeadEngine(AeadEngine&& other) noexcept
    : cipher_(other.cipher_),
      libcrypto_(std::move(other.libcrypto_)),
      ipsec_mb_(std::move(other.ipsec_mb_)),
      state_(other.state_) {
  wipe(other.state_);
}

AeadEngine& AeadEngine::operator=(AeadEngine&& other) noexcept {
  if (this != &other) {
    cipher_ = other.cipher_;
    libcrypto_ = std::move(other.libcrypto_);
    ipsec_mb_ = std::move(other.ipsec_mb_);
    state_ = other.state_;
    wipe(other.state_);
  }
  return *this;
}

void AeadEngine::seal(const AeadNonce& nonce, Bytes aad, Bytes plain, MutableBytes out) const {
  MWTUN_ASSERT(out.size() == plain.size() + aead_tag_bytes);
  if (ipsec_mb_) return ipsec_mb_->seal(nonce, aad, {&plain, 1}, out);
  if (libcrypto_) {
    const bool sealed = libcrypto_->seal(nonce, aad, plain, out);
    // Nothing of the plain text is left to be sent then.
    MWTUN_ASSERT(sealed);
    return;
  }
  if (cipher_ == Cipher::aes_256_gcm) {
    crypto_aead_aes256gcm_encrypt_afternm(out.data(), nullptr, plain.data(), plain.size(),
                                          aad.data(), aad.size(), nullptr, nonce.data(),
                                          aes_state(state_));
  } else {
    crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(),
                                              aad.data(), aad.size(), nullptr, nonce.data(),
                                              state_.data());
  }
}

void AeadEngine::seal(const AeadNonce& nonce, Bytes aad, std::span<const Bytes> plain,
                      MutableBytes out) const {
  if (ipsec_mb_) return ipsec_mb_->seal(nonce, aad, plain, out);
  // The other two take pieces slowly or not at all: together first, then sealed in place.
  Writer whole(out);
  for (const Bytes piece : plain) whole.bytes(piece);
  seal(nonce, aad, whole.written(), out);
}

bool AeadEngine::open(const AeadNonce& nonce, Bytes aad, Bytes sealed, MutableBytes out) const {
  if (sealed.size() < aead_tag_bytes) return false;
  MWTUN_ASSERT(out.size() == sealed.size() - aead_tag_bytes);
  if (ipsec_mb_) return ipsec_mb_->open(nonce, aad, sealed, out);
  if (libcrypto_) return libcrypto_->open(nonce, aad, sealed, out);
  if (cipher_ == Cipher::aes_256_gcm) {
    return crypto_aead_aes256gcm_decrypt_afternm(out.data(), nullptr, nullptr, sealed.data(),
                                                 sealed.size(), aad.data(), aad.size(),
                                                 nonce.data(), aes_state(state_)) == 0;
  }
  return crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(),
                                                   sealed.size(), aad.data(), aad.size(),
                                                   nonce.data(), state_.data()) == 0;
}

static Secret<32> cipher_key(Cipher cipher, const Secret<32>& noise_key) {
  if (cipher == Cipher::chacha20_poly1305) return noise_key.clone();
  Secret<32> key;
  blake2b(noise_key.view(), {bytes_of("mwtun1 aes256gcm")}, key.mutable_view());
  return key;
}

AeadKey::AeadKey(Cipher cipher, const Secret<32>& noise_key, AeadProvider provider)
    : engine_(cipher, cipher_key(cipher, noise_key), provider) {}

}  // namespace mwtun
