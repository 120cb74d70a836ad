// What stands for aead_ipsec_mb.cpp in a program that was built without the library.
#include "crypto/aead_ipsec_mb.hpp"

namespace mwtun {

struct IpsecMbAead::Keys {};

IpsecMbAead::IpsecMbAead(std::unique_ptr<Keys> keys) : keys_(std::move(keys)) {}
IpsecMbAead::~IpsecMbAead() = default;

std::unique_ptr<IpsecMbAead> IpsecMbAead::create(Cipher, const Secret<32>&) {
  return nullptr;
}

void IpsecMbAead::seal(const AeadNonce&, Bytes, std::span<const Bytes>, MutableBytes) const {}

bool IpsecMbAead::open(const AeadNonce&, Bytes, Bytes, MutableBytes) const {
  return false;
}

}  // namespace mwtun
