#include "crypto/aead.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "support/seeded_entropy.hpp"

using namespace mwtun;
using test::SeededEntropy;

static std::vector<Cipher> ciphers() {
  std::vector<Cipher> list;
  for (const Cipher cipher : {Cipher::chacha20_poly1305, Cipher::aes_256_gcm}) {
    if ((available_ciphers() & cipher_bit(cipher)) != 0) list.push_back(cipher);
  }
  return list;
}

struct Choice {
  Cipher cipher;
  AeadProvider provider;
};

static std::vector<Choice> choices() {
  std::vector<Choice> list;
  for (const Cipher cipher : ciphers()) {
    for (const AeadProvider provider : aead_providers) {
      if (available(provider, cipher)) list.push_back({cipher, provider});
    }
  }
  return list;
}

static std::vector<std::uint8_t> random_bytes(std::size_t count, Entropy& entropy) {
  std::vector<std::uint8_t> bytes(count);
  entropy.fill(bytes);
  return bytes;
}

static Secret<32> random_key(Entropy& entropy) {
  Secret<32> key;
  entropy.fill(key.mutable_view());
  return key;
}

TEST_CASE("what is sealed opens again, at every size") {
  SeededEntropy entropy(1);
  for (const auto& [cipher, provider] : choices()) {
    const AeadKey key(cipher, random_key(entropy), provider);
    CHECK(key.cipher() == cipher);
    CHECK(key.provider() == provider);
    for (std::size_t size = 0; size <= 1500; size += size < 300 ? 1 : 97) {
      const auto plain = random_bytes(size, entropy), aad = random_bytes(size % 40, entropy);
      std::vector<std::uint8_t> sealed(size + aead_tag_bytes), opened(size);
      key.seal(size, aad, plain, sealed);
      REQUIRE(key.open(size, aad, sealed, opened));
      REQUIRE(opened == plain);
    }
  }
}

TEST_CASE("sealing in place gives the same bytes as sealing elsewhere") {
  SeededEntropy entropy(2);
  for (const auto& [cipher, provider] : choices()) {
    const AeadKey key(cipher, random_key(entropy), provider);
    for (std::size_t size = 0; size <= 2100; size += size < 400 ? 1 : 53) {
      const auto plain = random_bytes(size, entropy), aad = random_bytes(10, entropy);
      std::vector<std::uint8_t> elsewhere(size + aead_tag_bytes), in_place = plain;
      in_place.resize(size + aead_tag_bytes);
      key.seal(7, aad, plain, elsewhere);
      key.seal(7, aad, Bytes(in_place).first(size), in_place);
      REQUIRE(in_place == elsewhere);
    }
  }
}

TEST_CASE("a text in pieces is sealed to the same bytes as in one") {
  SeededEntropy entropy(8);
  for (const auto& [cipher, provider] : choices()) {
    const AeadKey key(cipher, random_key(entropy), provider);
    for (std::size_t size = 0; size <= 2100; size += size < 400 ? 1 : 53) {
      const auto plain = random_bytes(size, entropy), aad = random_bytes(10, entropy);
      std::vector<std::uint8_t> whole(size + aead_tag_bytes), in_pieces(whole);
      key.seal(7, aad, plain, whole);
      std::vector<Bytes> pieces;
      for (std::size_t at = 0, take = 0; at < size; at += take) {
        take = std::min<std::size_t>(size - at, entropy.u64() % (size / 3 + 2));
        pieces.push_back(Bytes(plain).subspan(at, take));
      }
      key.seal(7, aad, pieces, in_pieces);
      REQUIRE(in_pieces == whole);
    }
  }
}

TEST_CASE("no flipped bit of a sealed datagram or its header opens") {
  SeededEntropy entropy(3);
  for (const auto& [cipher, provider] : choices()) {
    const AeadKey key(cipher, random_key(entropy), provider);
    const auto plain = random_bytes(70, entropy);
    auto aad = random_bytes(10, entropy);
    std::vector<std::uint8_t> sealed(plain.size() + aead_tag_bytes), opened(plain.size());
    key.seal(9, aad, plain, sealed);
    for (auto* bytes : {&aad, &sealed}) {
      for (std::size_t bit = 0; bit < bytes->size() * 8; ++bit) {
        (*bytes)[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
        REQUIRE_FALSE(key.open(9, aad, sealed, opened));
        (*bytes)[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      }
    }
    REQUIRE(key.open(9, aad, sealed, opened));
    for (std::size_t size = aead_tag_bytes; size < sealed.size(); ++size) {
      std::vector<std::uint8_t> room(size - aead_tag_bytes);
      REQUIRE_FALSE(key.open(9, aad, Bytes(sealed).first(size), room));
    }
    for (std::size_t size = 0; size < aead_tag_bytes; ++size) {
      REQUIRE_FALSE(key.open(9, aad, Bytes(sealed).first(size), {}));
    }
  }
}

static void check_same_bytes(AeadProvider provider) {
  SeededEntropy entropy(6);
  for (const Cipher cipher : ciphers()) {
    if (!available(provider, cipher)) {
      WARN("built without " << to_string(provider) << ", or it cannot do " << to_string(cipher)
                            << ": not compared");
      continue;
    }
    const Secret<32> noise_key = random_key(entropy);
    const AeadKey one(cipher, noise_key, AeadProvider::libsodium);
    const AeadKey other(cipher, noise_key, provider);
    for (std::size_t size = 0; size <= 2100; size += size < 300 ? 1 : 53) {
      const auto plain = random_bytes(size, entropy), aad = random_bytes(size % 40, entropy);
      std::vector<std::uint8_t> by_one(size + aead_tag_bytes), by_other(by_one), opened(size);
      one.seal(size, aad, plain, by_one);
      other.seal(size, aad, plain, by_other);
      REQUIRE(by_one == by_other);
      REQUIRE(other.open(size, aad, by_one, opened));
      REQUIRE(opened == plain);
      // Sealing after opening, with the same key, as one context does both.
      other.seal(size + 5000, aad, plain, by_other);
      REQUIRE(one.open(size + 5000, aad, by_other, opened));
    }
  }
}

TEST_CASE("all libraries make the same bytes and open each other's") {
  check_same_bytes(AeadProvider::libcrypto);
  check_same_bytes(AeadProvider::ipsec_mb);
}

TEST_CASE("a forged datagram leaves nothing of its text behind") {
  SeededEntropy entropy(7);
  for (const auto& [cipher, provider] : choices()) {
    const AeadKey key(cipher, random_key(entropy), provider);
    const auto plain = random_bytes(100, entropy);
    std::vector<std::uint8_t> sealed(116), opened(100, 0xaa);
    key.seal(1, {}, plain, sealed);
    sealed.back() ^= 1;
    REQUIRE_FALSE(key.open(1, {}, sealed, opened));
    CHECK(opened == std::vector<std::uint8_t>(100));
  }
}

TEST_CASE("another number, another key or the other cipher opens nothing") {
  SeededEntropy entropy(4);
  const Secret<32> noise_key = random_key(entropy);
  const auto plain = random_bytes(40, entropy);
  std::vector<std::uint8_t> sealed(56), opened(40);
  for (const Cipher cipher : ciphers()) {
    const AeadKey key(cipher, noise_key);
    key.seal(5, {}, plain, sealed);
    for (unsigned bit = 0; bit < 64; ++bit) {
      REQUIRE_FALSE(key.open(5 ^ std::uint64_t{1} << bit, {}, sealed, opened));
    }
    CHECK_FALSE(AeadKey(cipher, random_key(entropy)).open(5, {}, sealed, opened));
    for (const Cipher other : ciphers()) {
      CHECK(AeadKey(other, noise_key).open(5, {}, sealed, opened) == (other == cipher));
    }
    // The data key is not the Noise key itself where two ciphers could share it.
    const bool same =
        AeadEngine(cipher, noise_key).open(noise_nonce(cipher, 5), {}, sealed, opened);
    CHECK(same == (cipher == Cipher::chacha20_poly1305));
  }
}

TEST_CASE("the number stands in the nonce as Noise says") {
  constexpr std::uint64_t number = 0x0102030405060708;
  CHECK(noise_nonce(Cipher::chacha20_poly1305, number) ==
        AeadNonce{0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1});
  CHECK(noise_nonce(Cipher::aes_256_gcm, number) == AeadNonce{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("the cipher chosen is one both ends have, and the pinned one or none") {
  constexpr std::uint16_t chacha = 1, aes = 2, both = 3;
  constexpr auto c = Cipher::chacha20_poly1305, a = Cipher::aes_256_gcm;
  CHECK(choose_cipher(both, both, {}) == a);
  CHECK(choose_cipher(both, chacha, {}) == c);
  CHECK(choose_cipher(chacha, both, {}) == c);
  CHECK(choose_cipher(aes, chacha, {}) == std::nullopt);
  CHECK(choose_cipher(0xfffc, both, {}) == std::nullopt);
  CHECK(choose_cipher(0xffff, both, c) == c);
  CHECK(choose_cipher(both, both, a) == a);
  CHECK(choose_cipher(chacha, both, a) == std::nullopt);
  CHECK(choose_cipher(both, chacha, a) == std::nullopt);
}

TEST_CASE("cipher names go both ways") {
  for (const Cipher cipher : {Cipher::chacha20_poly1305, Cipher::aes_256_gcm}) {
    CHECK(cipher_from_name(to_string(cipher)) == cipher);
  }
  CHECK(cipher_from_name("aes-256-gcm") == Cipher::aes_256_gcm);
  CHECK_FALSE(cipher_from_name("AES-256-GCM"));
  CHECK_FALSE(cipher_from_name(""));
  CHECK((available_ciphers() & cipher_bit(Cipher::chacha20_poly1305)) != 0);
}
