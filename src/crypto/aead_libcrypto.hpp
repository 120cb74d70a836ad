#pragma once
#include <memory>

#include "crypto/aead.hpp"

namespace mwtun {

/// The two AEADs of OpenSSL's libcrypto (3.0 or later), whose assembler is about twice as fast as
/// libsodium's. Built only where the library is found.
class LibcryptoAead {
 public:
  /// None: the library cannot do this cipher, or has no memory.
  static std::unique_ptr<LibcryptoAead> create(Cipher cipher, const Secret<32>& key);
  LibcryptoAead(const LibcryptoAead&) = delete;
  LibcryptoAead& operator=(const LibcryptoAead&) = delete;
  ~LibcryptoAead();

  /// As of AeadEngine. False, with `out` wiped: the library failed, which it has no reason to.
  [[nodiscard]] bool seal(const AeadNonce& nonce, Bytes aad, Bytes plain, MutableBytes out) const;
  [[nodiscard]] bool open(const AeadNonce& nonce, Bytes aad, Bytes sealed, MutableBytes out) const;

 private:
  explicit LibcryptoAead(void* context) : context_(context) {}
  // EVP_CIPHER_CTX; its headers stay out of ours.
  [[maybe_unused]] void* context_;
};

}  // namespace mwtun
