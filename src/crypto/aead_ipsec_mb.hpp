#pragma once
#include <memory>

#include "crypto/aead.hpp"

namespace mwtun {

/// The two AEADs of Intel's Multi-Buffer Crypto for IPsec (libIPSec_MB, x86-64 alone), called
/// directly: a datagram is one call, with AVX-512 and VAES a quarter of libcrypto's time. Built
/// only where the library is found.
class IpsecMbAead {
 public:
  /// None: the library cannot run on this processor, or has no memory.
  static std::unique_ptr<IpsecMbAead> create(Cipher cipher, const Secret<32>& key);
  IpsecMbAead(const IpsecMbAead&) = delete;
  IpsecMbAead& operator=(const IpsecMbAead&) = delete;
  ~IpsecMbAead();

  /// As of AeadEngine.
  void seal(const AeadNonce& nonce, Bytes aad, std::span<const Bytes> plain,
            MutableBytes out) const;
  [[nodiscard]] bool open(const AeadNonce& nonce, Bytes aad, Bytes sealed, MutableBytes out) const;

 private:
  struct Keys;
  explicit IpsecMbAead(std::unique_ptr<Keys> keys);
  std::unique_ptr<Keys> keys_;
};

}  // namespace mwtun
