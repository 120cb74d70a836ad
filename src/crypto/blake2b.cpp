#include "crypto/blake2b.hpp"

#include <sodium.h>

namespace mwtun {

void blake2b(Bytes key, std::initializer_list<Bytes> parts, MutableBytes out) {
  MWTUN_ASSERT(key.size() <= crypto_generichash_blake2b_KEYBYTES_MAX);
  MWTUN_ASSERT(out.size() >= crypto_generichash_blake2b_BYTES_MIN &&
               out.size() <= crypto_generichash_blake2b_BYTES_MAX);
  crypto_generichash_blake2b_state state;
  crypto_generichash_blake2b_init(&state, key.data(), key.size(), out.size());
  for (const Bytes part : parts) {
    crypto_generichash_blake2b_update(&state, part.data(), part.size());
  }
  crypto_generichash_blake2b_final(&state, out.data(), out.size());
  sodium_memzero(&state, sizeof state);
}

void hmac_blake2b(Bytes key, std::initializer_list<Bytes> parts, Secret<blake2b_bytes>& out) {
  constexpr std::size_t block_bytes = 128;
  MWTUN_ASSERT(key.size() <= block_bytes);
  Secret<block_bytes> pad;
  const MutableBytes block = pad.mutable_view();
  std::memcpy(block.data(), key.data(), key.size());

  for (std::uint8_t& byte : block) byte ^= 0x36;
  crypto_generichash_blake2b_state state;
  crypto_generichash_blake2b_init(&state, nullptr, 0, blake2b_bytes);
  crypto_generichash_blake2b_update(&state, block.data(), block.size());
  for (const Bytes part : parts) {
    crypto_generichash_blake2b_update(&state, part.data(), part.size());
  }
  Secret<blake2b_bytes> inner;
  crypto_generichash_blake2b_final(&state, inner.mutable_view().data(), blake2b_bytes);
  sodium_memzero(&state, sizeof state);

  for (std::uint8_t& byte : block) byte ^= 0x36 ^ 0x5c;
  blake2b({}, {block, inner.view()}, out.mutable_view());
}

void noise_hkdf(const Secret<blake2b_bytes>& chaining_key, Bytes input, Secret<blake2b_bytes>& out1,
                Secret<blake2b_bytes>& out2, Secret<blake2b_bytes>* out3) {
  static constexpr std::uint8_t counters[3] = {1, 2, 3};
  Secret<blake2b_bytes> temporary;
  hmac_blake2b(chaining_key.view(), {input}, temporary);
  hmac_blake2b(temporary.view(), {Bytes(&counters[0], 1)}, out1);
  hmac_blake2b(temporary.view(), {out1.view(), Bytes(&counters[1], 1)}, out2);
  if (out3 != nullptr) {
    hmac_blake2b(temporary.view(), {out2.view(), Bytes(&counters[2], 1)}, *out3);
  }
}

}  // namespace mwtun
