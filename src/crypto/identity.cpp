#include "crypto/identity.hpp"

#include "crypto/blake2b.hpp"

namespace mwtun {

ReceiverKeys::ReceiverKeys(const PublicKey& receiver) {
  blake2b({}, {bytes_of("mwtun mac1"), receiver.bytes}, mac1_.mutable_view());
  blake2b({}, {bytes_of("mwtun cookie"), receiver.bytes}, cookie_.mutable_view());
}

ReceiverKeys ReceiverKeys::clone() const {
  ReceiverKeys copy;
  copy.mac1_ = mac1_.clone();
  copy.cookie_ = cookie_.clone();
  return copy;
}

Identity::Identity(PrivateKey key)
    : private_key_(std::move(key)),
      public_key_(public_key_of(private_key_)),
      receiver_keys_(public_key_) {}

}  // namespace mwtun
