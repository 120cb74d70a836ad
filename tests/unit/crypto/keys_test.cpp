#include "crypto/keys.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "support/seeded_entropy.hpp"

using namespace mwtun;
using test::SeededEntropy;

static PublicKey from_hex(std::string_view hex) {
  PublicKey key;
  for (std::size_t i = 0; i < 32; ++i) {
    key.bytes[i] =
        static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(2 * i, 2)), nullptr, 16));
  }
  return key;
}

TEST_CASE("generated private keys are clamped and differ") {
  SeededEntropy entropy(1);
  for (int i = 0; i < 200; ++i) {
    const PrivateKey one = generate_private_key(entropy), two = generate_private_key(entropy);
    CHECK((one.view()[0] & 7) == 0);
    CHECK((one.view()[31] & 0xc0) == 0x40);
    CHECK_FALSE(one.equals(two));
    CHECK(usable_public_key(public_key_of(one)));
  }
}

TEST_CASE("both sides of a Diffie-Hellman get the same secret") {
  SeededEntropy entropy(2);
  const PrivateKey a = generate_private_key(entropy), b = generate_private_key(entropy);
  Secret<32> ab, ba;
  REQUIRE(diffie_hellman(a, public_key_of(b), ab));
  REQUIRE(diffie_hellman(b, public_key_of(a), ba));
  CHECK(ab.equals(ba));
}

// The seven X-coordinates of low order (RFC 7748 §7 speaks of them) and, with 2^255 - 19 added
// where that still fits into 255 bits, their second spellings.
static const char* const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

TEST_CASE("public keys of low order are refused") {
  SeededEntropy entropy(3);
  const PrivateKey ours = generate_private_key(entropy);
  for (const char* hex : low_order) {
    INFO(hex);
    PublicKey key = from_hex(hex);
    CHECK_FALSE(usable_public_key(key));
    Secret<32> shared = ours.clone();
    CHECK_FALSE(diffie_hellman(ours, key, shared));
    CHECK(shared.equals(Secret<32>()));
    key.bytes[31] |= 0x80;
    CHECK_FALSE(usable_public_key(key));
    CHECK_FALSE(diffie_hellman(ours, key, shared));
  }
}

TEST_CASE("a public key has one spelling") {
  SeededEntropy entropy(4);
  PublicKey key = public_key_of(generate_private_key(entropy));
  CHECK(canonical_public_key(key));
  key.bytes[31] |= 0x80;
  CHECK_FALSE(canonical_public_key(key));
  CHECK_FALSE(usable_public_key(key));
  // 2^255 - 19 + k is k once more; 9 is the base point, not of low order.
  for (int k = 0; k < 19; ++k) {
    PublicKey second = from_hex(low_order[5]);
    second.bytes[0] = static_cast<std::uint8_t>(0xed + k);
    CHECK_FALSE(canonical_public_key(second));
    CHECK_FALSE(usable_public_key(second));
  }
  PublicKey last = from_hex(low_order[4]);
  CHECK(canonical_public_key(last));
  last.bytes[0] = 0xeb;
  CHECK(usable_public_key(last));
  PublicKey middle = from_hex(low_order[5]);
  middle.bytes[17] = 0xfe;
  CHECK(canonical_public_key(middle));
  PublicKey nine;
  nine.bytes[0] = 9;
  CHECK(usable_public_key(nine));
}

TEST_CASE("base64 of RFC 4648 comes out") {
  const auto text = [](std::string_view plain) {
    return to_base64({reinterpret_cast<const std::uint8_t*>(plain.data()), plain.size()});
  };
  CHECK(text("") == "");
  CHECK(text("f") == "Zg==");
  CHECK(text("fo") == "Zm8=");
  CHECK(text("foo") == "Zm9v");
  CHECK(text("foobar") == "Zm9vYmFy");
}

TEST_CASE("a key survives base64") {
  SeededEntropy entropy(5);
  for (int i = 0; i < 500; ++i) {
    Secret<32> secret;
    entropy.fill(secret.mutable_view());
    const std::string text = to_base64(secret.view());
    REQUIRE(text.size() == 44);
    const auto back = from_base64_32(text);
    REQUIRE(back);
    CHECK(back->equals(secret));
    const auto open = public_key_from_base64(text);
    REQUIRE(open);
    CHECK(equal_constant_time(open->bytes, secret.view()));
  }
}

TEST_CASE("base64 that is not canonical, or not of 32 bytes, is refused") {
  // 32 bytes end in two characters and a bit-pair of zeros: only every fourth last character is
  // canonical.
  const std::string good = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  REQUIRE(from_base64_32(good));
  const auto refused = [](const std::string& text) {
    INFO(text);
    CHECK_FALSE(from_base64_32(text));
    CHECK_FALSE(public_key_from_base64(text));
  };
  for (const char stray : {'9', '+', '/'}) {
    std::string text = good;
    text[42] = stray;
    refused(text);
  }
  refused("");
  refused(good.substr(0, 43));
  refused(good + "=");
  refused(good + "\n");
  refused(" " + good);
  refused(" " + good.substr(0, 43));
  refused(good.substr(0, 43) + "A");
  refused(good.substr(0, 42) + "==");
  refused(good.substr(0, 20) + "\n" + good.substr(21));
  refused(good.substr(0, 20) + "-" + good.substr(21));
  refused(good.substr(0, 20) + "_" + good.substr(21));
  refused(good.substr(0, 20) + "=" + good.substr(21));
  refused(good.substr(0, 20) + std::string(1, '\0') + good.substr(21));
  refused(to_base64(std::array<std::uint8_t, 31>{}));
  refused(to_base64(std::array<std::uint8_t, 33>{}));
  refused(std::string(100000, 'A'));
}
