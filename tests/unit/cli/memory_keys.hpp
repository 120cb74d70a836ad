#pragma once
#include <map>
#include <string>

#include "cli/config.hpp"
#include "crypto/init.hpp"
#include "support/seeded_entropy.hpp"

namespace mwtun {

inline PrivateKey key_of_seed(std::uint64_t seed) {
  test::SeededEntropy entropy(seed);
  return generate_private_key(entropy);
}

inline std::string public_text_of_seed(std::uint64_t seed) {
  return to_base64(public_key_of(key_of_seed(seed)).bytes);
}

/// Key files that exist in memory only: "own.key" (seed 1), "a.psk" (seed 2) and "zero.key".
class MemoryKeys : public KeyReader {
 public:
  MemoryKeys() { REQUIRE(crypto_start()); }
  Result<Secret<32>> read_key(std::string_view path) override {
    ++reads;
    if (path == "own.key") return key_of_seed(1);
    if (path == "a.psk") return key_of_seed(2);
    if (path == "zero.key") return Secret<32>();
    return Error{"there is no key file " + std::string(path), 78};
  }
  int reads = 0;
};

}  // namespace mwtun
