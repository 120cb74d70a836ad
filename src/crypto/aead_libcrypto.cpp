#include "crypto/aead_libcrypto.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace mwtun {

/// Looked up once: doing so for each key takes a lock and many microseconds.
static EVP_CIPHER* algorithm(Cipher cipher) {
  // What a system's openssl.cnf says of providers is not meant for a tunnel.
  static const bool started = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1;
  if (!started) return nullptr;
  static EVP_CIPHER* const chacha = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  static EVP_CIPHER* const aes = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return cipher == Cipher::aes_256_gcm ? aes : chacha;
}

std::unique_ptr<LibcryptoAead> LibcryptoAead::create(Cipher cipher, const Secret<32>& key) {
  EVP_CIPHER* const found = algorithm(cipher);
  if (found == nullptr) return nullptr;
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  if (context == nullptr) return nullptr;
  std::unique_ptr<LibcryptoAead> made(new LibcryptoAead(context));
  // Twelve bytes of nonce are what both take by default.
  if (EVP_CipherInit_ex2(context, found, key.view().data(), nullptr, 1, nullptr) != 1) {
    return nullptr;
  }
  return made;
}

LibcryptoAead::~LibcryptoAead() {
  // Wipes the key schedule, too.
  EVP_CIPHER_CTX_free(static_cast<EVP_CIPHER_CTX*>(context_));
}

static bool update(EVP_CIPHER_CTX* context, std::uint8_t* out, Bytes in) {
  int count = 0;
  return EVP_CipherUpdate(context, out, &count, in.data(), static_cast<int>(in.size())) == 1;
}

bool LibcryptoAead::seal(const AeadNonce& nonce, Bytes aad, Bytes plain, MutableBytes out) const {
  auto* const context = static_cast<EVP_CIPHER_CTX*>(context_);
  int count = 0;
  const bool done = EVP_CipherInit_ex2(context, nullptr, nullptr, nonce.data(), 1, nullptr) == 1 &&
                    update(context, nullptr, aad) &&
                    (plain.empty() || update(context, out.data(), plain)) &&
                    EVP_CipherFinal_ex(context, out.data() + plain.size(), &count) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, aead_tag_bytes,
                                        out.data() + plain.size()) == 1;
  if (!done) wipe(out);
  return done;
}

bool LibcryptoAead::open(const AeadNonce& nonce, Bytes aad, Bytes sealed, MutableBytes out) const {
  auto* const context = static_cast<EVP_CIPHER_CTX*>(context_);
  const Bytes text = sealed.first(sealed.size() - aead_tag_bytes);
  std::array<std::uint8_t, aead_tag_bytes> tag;
  std::memcpy(tag.data(), sealed.data() + text.size(), tag.size());
  int count = 0;
  std::uint8_t none = 0;
  const bool done =
      EVP_CipherInit_ex2(context, nullptr, nullptr, nonce.data(), 0, nullptr) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tag.size(), tag.data()) == 1 &&
      update(context, nullptr, aad) && (text.empty() || update(context, out.data(), text)) &&
      EVP_CipherFinal_ex(context, &none, &count) == 1;
  if (!done) wipe(out);
  return done;
}

}  // namespace mwtun
