#pragma once
#include <array>
#include <cstdint>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/entropy.hpp"
#include "base/time.hpp"
#include "crypto/handshake.hpp"
#include "crypto/identity.hpp"
#include "crypto/secret.hpp"

namespace mwtun {

/// The responder's proof that a source address can hear us, without remembering who asked: a cookie
/// is a MAC of the address under a secret that changes every 120 s. The secret before is taken for
/// 5 s more.
class CookieSecret {
 public:
  static constexpr Duration lifetime = seconds(120);
  static constexpr Duration grace = seconds(5);

  /// Makes a new secret when there is none or it is too old.
  Mac cookie_for(const Address& from, Instant now, Entropy& entropy);
  /// @param initiation  200 bytes that have passed check_mac1()
  [[nodiscard]] bool mac2_valid(Bytes initiation, const Address& from, Instant now) const;

 private:
  struct Generation {
    Secret<32> secret;
    Instant born;
    bool exists = false;
  };
  static Mac cookie(const Secret<32>& secret, const Address& from);

  Generation present_;
  Generation previous_;
};

/// A cookie datagram that answers the initiation. Only who sent (or saw) that initiation and knows
/// the responder's public key can read it.
/// @param initiation  200 bytes that have passed check_mac1()
void write_cookie(const Identity& identity, Bytes initiation, const Mac& cookie, Entropy& entropy,
                  MutableBytes out64);

/// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), for cookies.
using XNonce = std::array<std::uint8_t, 24>;
void xchacha_seal(const Secret<32>& key, const XNonce& nonce, Bytes aad, Bytes plain,
                  MutableBytes out);
[[nodiscard]] bool xchacha_open(const Secret<32>& key, const XNonce& nonce, Bytes aad, Bytes sealed,
                                MutableBytes out);

}  // namespace mwtun
