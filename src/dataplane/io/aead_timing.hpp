#pragma once
#include <array>
#include <cstdint>

#include "crypto/aead.hpp"

namespace mwtun {

/// How fast one library does one cipher here.
struct AeadTiming {
  Cipher cipher{};
  AeadProvider provider{};
  std::uint64_t bps = 0;  // Sealing full datagrams, one core; 0: it cannot.
};

struct AeadTimings {
  std::array<AeadTiming, 2 * aead_providers.size()> all{};
  /// The fastest for each cipher.
  AeadProviders best() const;
  std::uint64_t bps(Cipher cipher, AeadProvider provider) const;
};

/// Measures all ciphers and libraries, which takes some milliseconds.
AeadTimings time_aeads();

}  // namespace mwtun
