#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "base/bytes.hpp"
#include "crypto/secret.hpp"

namespace mwtun {

inline constexpr std::size_t blake2b_bytes = 64;

inline Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// BLAKE2b (RFC 7693) of the parts one after another.
/// @param key  empty or 16 to 64 bytes
/// @param out  its size, 16 to 64 bytes, is a parameter of the hash
void blake2b(Bytes key, std::initializer_list<Bytes> parts, MutableBytes out);

/// RFC 2104 over BLAKE2b-512: block 128 bytes, result 64. The key has at most 128 bytes.
void hmac_blake2b(Bytes key, std::initializer_list<Bytes> parts, Secret<blake2b_bytes>& out);

/// Noise §4.3 HKDF; the third output only when asked for. Outputs may be the chaining key itself.
void noise_hkdf(const Secret<blake2b_bytes>& chaining_key, Bytes input, Secret<blake2b_bytes>& out1,
                Secret<blake2b_bytes>& out2, Secret<blake2b_bytes>* out3 = nullptr);

}  // namespace mwtun
