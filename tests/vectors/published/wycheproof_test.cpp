#include <algorithm>
#include <catch2/catch.hpp>

#include "../hex.hpp"
#include "crypto/aead.hpp"
#include "crypto/cookie.hpp"
#include "crypto/keys.hpp"
#include "vector_files.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

using Json = nlohmann::json;
using Buffer = std::vector<std::uint8_t>;

Buffer hex(const Json& test, const char* key) {
  return from_hex(test.at(key).get<std::string>());
}

/// True when it could be run.
bool run_dh(const Json& group, const Json& test) {
  const Buffer open = hex(test, "public"), secret = hex(test, "private"),
               expected = hex(test, "shared");
  if (group.value("curve", "") != "curve25519" || open.size() != 32 || secret.size() != 32) {
    return false;
  }
  PublicKey theirs;
  std::copy(open.begin(), open.end(), theirs.bytes.begin());
  Secret<32> shared;
  const bool done = diffie_hellman(PrivateKey::copy_of(secret), theirs, shared);
  if (std::all_of(expected.begin(), expected.end(), [](std::uint8_t byte) { return byte == 0; })) {
    CHECK_FALSE(done);
  } else if (test.at("result") == "invalid") {
    CHECK_FALSE((done && equal_constant_time(shared.view(), expected)));
  } else {
    CHECK(done);
    CHECK(equal_constant_time(shared.view(), expected));
  }
  return true;
}

template <typename Seal, typename Open>
void run_aead(const Json& test, Seal seal, Open open) {
  const Buffer plain = hex(test, "msg"), aad = hex(test, "aad"), tag = hex(test, "tag");
  Buffer expected = hex(test, "ct");
  expected.insert(expected.end(), tag.begin(), tag.end());
  Buffer opened(expected.size() - tag.size());
  if (test.at("result") == "invalid") {
    CHECK_FALSE(open(aad, expected, opened));
    return;
  }
  Buffer sealed(plain.size() + aead_tag_bytes);
  seal(aad, plain, sealed);
  CHECK(to_hex(sealed) == to_hex(expected));
  REQUIRE(open(aad, expected, opened));
  CHECK(opened == plain);
}

bool run_cipher(Cipher cipher, const Json& test) {
  const Buffer key = hex(test, "key"), iv = hex(test, "iv");
  AeadNonce nonce;
  if (key.size() != 32 || iv.size() != nonce.size() || hex(test, "tag").size() != aead_tag_bytes ||
      (available_ciphers() & cipher_bit(cipher)) == 0) {
    return false;
  }
  std::copy(iv.begin(), iv.end(), nonce.begin());
  for (const AeadProvider provider : aead_providers) {
    if (!available(provider, cipher)) continue;
    const AeadEngine engine(cipher, Secret<32>::copy_of(key), provider);
    REQUIRE(engine.provider() == provider);
    run_aead(
        test,
        [&](Bytes aad, Bytes plain, MutableBytes out) { engine.seal(nonce, aad, plain, out); },
        [&](Bytes aad, Bytes sealed, MutableBytes out) {
          return engine.open(nonce, aad, sealed, out);
        });
  }
  return true;
}

bool run_xchacha(const Json& test) {
  const Buffer key_bytes = hex(test, "key"), iv = hex(test, "iv");
  XNonce nonce;
  if (key_bytes.size() != 32 || iv.size() != nonce.size() ||
      hex(test, "tag").size() != aead_tag_bytes) {
    return false;
  }
  std::copy(iv.begin(), iv.end(), nonce.begin());
  const Secret<32> key = Secret<32>::copy_of(key_bytes);
  run_aead(
      test,
      [&](Bytes aad, Bytes plain, MutableBytes out) { xchacha_seal(key, nonce, aad, plain, out); },
      [&](Bytes aad, Bytes sealed, MutableBytes out) {
        return xchacha_open(key, nonce, aad, sealed, out);
      });
  return true;
}

bool run_one(const std::string& algorithm, const Json& group, const Json& test) {
  if (algorithm == "XDH") return run_dh(group, test);
  if (algorithm == "AES-GCM") return run_cipher(Cipher::aes_256_gcm, test);
  if (algorithm == "CHACHA20-POLY1305") return run_cipher(Cipher::chacha20_poly1305, test);
  if (algorithm == "XCHACHA20-POLY1305") return run_xchacha(test);
  return false;
}

}  // namespace

TEST_CASE("every Wycheproof vector of X25519 and the AEADs is answered as it must be") {
  for (const VectorFile& file : vector_files("wycheproof_")) {
    Tally tally;
    const auto algorithm = file.content.at("algorithm").get<std::string>();
    for (const Json& group : file.content.at("testGroups")) {
      for (const Json& test : group.at("tests")) {
        INFO(file.name << " tcId " << test.at("tcId") << " " << test.value("comment", ""));
        ++(run_one(algorithm, group, test) ? tally.run : tally.not_expressible);
      }
    }
    print(file.name, tally);
    CHECK(tally.run + tally.not_expressible > 0);
  }
}
