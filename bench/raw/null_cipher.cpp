// In place of the library's second AEAD provider: copies, and protects nothing. The start-up timing
// finds it the fastest for each cipher, so it is the one that is used. Never part of mwtun itself.
#include <cstring>

#include "crypto/aead_libcrypto.hpp"

namespace mwtun {

std::unique_ptr<LibcryptoAead> LibcryptoAead::create(Cipher, const Secret<32>&) {
  return std::unique_ptr<LibcryptoAead>(new LibcryptoAead(nullptr));
}

LibcryptoAead::~LibcryptoAead() = default;

bool LibcryptoAead::seal(const AeadNonce&, Bytes, Bytes plain, MutableBytes out) const {
  std::memmove(out.data(), plain.data(), plain.size());
  std::memset(out.data() + plain.size(), 0, aead_tag_bytes);
  return true;
}

/// As of a forgery: handshakes look for the key that opens.
bool LibcryptoAead::open(const AeadNonce&, Bytes, Bytes sealed, MutableBytes out) const {
  std::memcpy(out.data(), sealed.data(), sealed.size() - aead_tag_bytes);
  const std::uint8_t* tag = sealed.data() + sealed.size() - aead_tag_bytes;
  return tag[0] == 0 && std::memcmp(tag, tag + 1, aead_tag_bytes - 1) == 0;
}

}  // namespace mwtun
