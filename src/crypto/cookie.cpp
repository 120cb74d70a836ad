#include "crypto/cookie.hpp"

#include <sodium.h>

#include <algorithm>
#include <utility>

#include "crypto/blake2b.hpp"

namespace mwtun {

static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == std::tuple_size_v<XNonce>);

static constexpr std::size_t mac1_at = 168, mac2_at = 184;

Mac CookieSecret::cookie(const Secret<32>& secret, const Address& from) {
  std::array<std::uint8_t, 19> source{};
  source[0] = from.family == Family::v6 ? 6 : 4;
  std::copy_n(from.ip.begin(), from.family == Family::v6 ? 16 : 4, source.begin() + 1);
  store_le(source.data() + 17, from.port, 2);
  Mac mac;
  blake2b(secret.view(), {source}, mac);
  return mac;
}

Mac CookieSecret::cookie_for(const Address& from, Instant now, Entropy& entropy) {
  if (!present_.exists || now >= present_.born + lifetime) {
    previous_ = std::move(present_);
    present_ = Generation{};
    entropy.fill(present_.secret.mutable_view());
    present_.born = now;
    present_.exists = true;
  }
  return cookie(present_.secret, from);
}

bool CookieSecret::mac2_valid(Bytes initiation, const Address& from, Instant now) const {
  if (initiation.size() != initiation_bytes) return false;
  for (const Generation* generation : {&present_, &previous_}) {
    if (!generation->exists || now >= generation->born + lifetime + grace) continue;
    Mac expected;
    blake2b(cookie(generation->secret, from), {initiation.first(mac2_at)}, expected);
    if (equal_constant_time(expected, initiation.subspan(mac2_at, mac_bytes))) return true;
  }
  return false;
}

void write_cookie(const Identity& identity, Bytes initiation, const Mac& cookie, Entropy& entropy,
                  MutableBytes out64) {
  MWTUN_ASSERT(initiation.size() == initiation_bytes && out64.size() == cookie_bytes);
  XNonce nonce;
  entropy.fill(nonce);
  Writer writer(out64);
  writer.u8(cookie_type);
  writer.u8(wire_version);
  writer.u16(0);
  writer.u32(sender_index_of(initiation));
  writer.bytes(nonce);
  xchacha_seal(identity.receiver_keys().cookie(), nonce, initiation.subspan(mac1_at, mac_bytes),
               cookie, out64.subspan(writer.size()));
}

void xchacha_seal(const Secret<32>& key, const XNonce& nonce, Bytes aad, Bytes plain,
                  MutableBytes out) {
  MWTUN_ASSERT(out.size() == plain.size() + aead_tag_bytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(),
                                             aad.data(), aad.size(), nullptr, nonce.data(),
                                             key.view().data());
}

bool xchacha_open(const Secret<32>& key, const XNonce& nonce, Bytes aad, Bytes sealed,
                  MutableBytes out) {
  if (sealed.size() < aead_tag_bytes) return false;
  MWTUN_ASSERT(out.size() == sealed.size() - aead_tag_bytes);
  return crypto_aead_xchacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(),
                                                    sealed.size(), aad.data(), aad.size(),
                                                    nonce.data(), key.view().data()) == 0;
}

}  // namespace mwtun
