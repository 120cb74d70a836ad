// One datagram sealed or opened, by cipher and library.
#include <benchmark/benchmark.h>

#include "crypto/aead.hpp"
#include "crypto/init.hpp"

namespace mwtun {
namespace {

struct Bytes1400 {
  std::array<std::uint8_t, 1400> plain{};
  std::array<std::uint8_t, 1400 + aead_tag_bytes> sealed{};
  std::array<std::uint8_t, 10> aad{};
};

bool ready(benchmark::State& state, Cipher cipher, AeadProvider provider) {
  if (crypto_start() && available(provider, cipher)) return true;
  state.SkipWithError("not available here");
  return false;
}

void seal(benchmark::State& state, Cipher cipher, AeadProvider provider) {
  if (!ready(state, cipher, provider)) return;
  const AeadKey key(cipher, Secret<32>{}, provider);
  Bytes1400 bytes;
  std::uint64_t number = 0;
  for (auto _ : state) {
    key.seal(number++, bytes.aad, bytes.plain, bytes.sealed);
    benchmark::DoNotOptimize(bytes.sealed);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * 1400);
}

void open(benchmark::State& state, Cipher cipher, AeadProvider provider) {
  if (!ready(state, cipher, provider)) return;
  const AeadKey key(cipher, Secret<32>{}, provider);
  Bytes1400 bytes;
  key.seal(7, bytes.aad, bytes.plain, bytes.sealed);
  for (auto _ : state) {
    if (!key.open(7, bytes.aad, bytes.sealed, bytes.plain)) return state.SkipWithError("forged");
    benchmark::DoNotOptimize(bytes.plain);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * 1400);
}

BENCHMARK_CAPTURE(seal, chacha_libsodium, Cipher::chacha20_poly1305, AeadProvider::libsodium);
BENCHMARK_CAPTURE(seal, chacha_libcrypto, Cipher::chacha20_poly1305, AeadProvider::libcrypto);
BENCHMARK_CAPTURE(seal, aes_libsodium, Cipher::aes_256_gcm, AeadProvider::libsodium);
BENCHMARK_CAPTURE(seal, aes_libcrypto, Cipher::aes_256_gcm, AeadProvider::libcrypto);
BENCHMARK_CAPTURE(seal, chacha_ipsec_mb, Cipher::chacha20_poly1305, AeadProvider::ipsec_mb);
BENCHMARK_CAPTURE(seal, aes_ipsec_mb, Cipher::aes_256_gcm, AeadProvider::ipsec_mb);
BENCHMARK_CAPTURE(open, chacha_libsodium, Cipher::chacha20_poly1305, AeadProvider::libsodium);
BENCHMARK_CAPTURE(open, chacha_libcrypto, Cipher::chacha20_poly1305, AeadProvider::libcrypto);
BENCHMARK_CAPTURE(open, aes_libsodium, Cipher::aes_256_gcm, AeadProvider::libsodium);
BENCHMARK_CAPTURE(open, aes_libcrypto, Cipher::aes_256_gcm, AeadProvider::libcrypto);
BENCHMARK_CAPTURE(open, chacha_ipsec_mb, Cipher::chacha20_poly1305, AeadProvider::ipsec_mb);
BENCHMARK_CAPTURE(open, aes_ipsec_mb, Cipher::aes_256_gcm, AeadProvider::ipsec_mb);

}  // namespace
}  // namespace mwtun
