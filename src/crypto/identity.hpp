#pragma once
#include <array>
#include <cstdint>

#include "base/bytes.hpp"
#include "crypto/keys.hpp"
#include "crypto/secret.hpp"

namespace mwtun {

/// What a receiver's public key gives for the parts of a datagram that need no handshake: anyone
/// who knows the key can make them, and nobody else can make us answer.
class ReceiverKeys {
 public:
  explicit ReceiverKeys(const PublicKey& receiver);
  ReceiverKeys clone() const;

  const Secret<32>& mac1() const { return mac1_; }
  const Secret<32>& cookie() const { return cookie_; }

 private:
  ReceiverKeys() = default;
  Secret<32> mac1_;
  Secret<32> cookie_;
};

/// Our static key pair, with what is derived from it. Move-only.
class Identity {
 public:
  explicit Identity(PrivateKey key);

  const PublicKey& public_key() const { return public_key_; }
  const PrivateKey& private_key() const { return private_key_; }
  /// For datagrams to us.
  const ReceiverKeys& receiver_keys() const { return receiver_keys_; }

 private:
  PrivateKey private_key_;
  PublicKey public_key_;
  ReceiverKeys receiver_keys_;
};

}  // namespace mwtun
