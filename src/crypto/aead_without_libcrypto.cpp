// What stands for aead_libcrypto.cpp in a program that was built without the library.
#include "crypto/aead_libcrypto.hpp"

namespace mwtun {

std::unique_ptr<LibcryptoAead> LibcryptoAead::create(Cipher, const Secret<32>&) {
  return nullptr;
}

LibcryptoAead::~LibcryptoAead() = default;

bool LibcryptoAead::seal(const AeadNonce&, Bytes, Bytes, MutableBytes) const {
  return false;
}

bool LibcryptoAead::open(const AeadNonce&, Bytes, Bytes, MutableBytes) const {
  return false;
}

}  // namespace mwtun
