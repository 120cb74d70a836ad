#include "dataplane/io/aead_timing.hpp"

#include <algorithm>

#include "dataplane/io/system_clock.hpp"

namespace mwtun {

static constexpr std::size_t datagram_bytes = 1400;
static constexpr unsigned rounds = 5;
static constexpr Duration round_least = microseconds(300);

/// The best of some short rounds: whatever else runs only makes it slower.
static std::uint64_t sealing_bps(const AeadEngine& engine) {
  std::array<std::uint8_t, datagram_bytes + aead_tag_bytes> bytes{};
  std::uint64_t best = 0, number = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    const Instant began = monotonic_now();
    std::uint64_t sealed = 0;
    Duration spent{};
    while (spent < round_least) {
      for (unsigned i = 0; i < 16; ++i, ++sealed) {
        engine.seal(noise_nonce(engine.cipher(), number++), Bytes(bytes).first(12),
                    Bytes(bytes).first(datagram_bytes), bytes);
      }
      spent = monotonic_now() - began;
    }
    const auto bits = static_cast<double>(sealed * datagram_bytes * 8);
    best =
        std::max(best, static_cast<std::uint64_t>(bits * 1e9 / static_cast<double>(spent.count())));
  }
  return best;
}

AeadTimings time_aeads() {
  AeadTimings timings;
  std::size_t next = 0;
  for (const Cipher cipher : {Cipher::chacha20_poly1305, Cipher::aes_256_gcm}) {
    for (const AeadProvider provider : aead_providers) {
      AeadTiming& timing = timings.all[next++];
      timing.cipher = cipher, timing.provider = provider;
      if (available(provider, cipher)) {
        timing.bps = sealing_bps(AeadEngine(cipher, Secret<32>{}, provider));
      }
    }
  }
  return timings;
}

std::uint64_t AeadTimings::bps(Cipher cipher, AeadProvider provider) const {
  for (const AeadTiming& timing : all) {
    if (timing.cipher == cipher && timing.provider == provider) return timing.bps;
  }
  return 0;
}

AeadProviders AeadTimings::best() const {
  const auto best_of = [&](Cipher cipher) {
    return *std::max_element(aead_providers.begin(), aead_providers.end(),
                             [&](AeadProvider one, AeadProvider other) {
                               return bps(cipher, one) < bps(cipher, other);
                             });
  };
  return {best_of(Cipher::chacha20_poly1305), best_of(Cipher::aes_256_gcm)};
}

}  // namespace mwtun
