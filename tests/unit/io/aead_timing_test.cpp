#include "dataplane/io/aead_timing.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("the library that was the fastest is chosen, for each cipher by itself", "[io]") {
  constexpr Cipher chacha = Cipher::chacha20_poly1305, aes = Cipher::aes_256_gcm;
  constexpr AeadProvider sodium = AeadProvider::libsodium, libcrypto = AeadProvider::libcrypto;
  constexpr AeadProvider ipsec_mb = AeadProvider::ipsec_mb;
  AeadTimings timings;
  timings.all = {{{chacha, sodium, 700},
                  {chacha, libcrypto, 600},
                  {aes, sodium, 1200},
                  {aes, libcrypto, 2300},
                  {aes, ipsec_mb, 9000}}};
  CHECK(timings.best() == AeadProviders{sodium, ipsec_mb});
  timings.all[4].bps = 0;
  CHECK(timings.best() == AeadProviders{sodium, libcrypto});
  timings.all[3].bps = 0;
  CHECK(timings.best() == AeadProviders{sodium, sodium});
}

TEST_CASE("what is available is timed, and what is not is never chosen", "[io]") {
  const AeadTimings timings = time_aeads();
  for (const AeadTiming& timing : timings.all) {
    CAPTURE(to_string(timing.cipher), to_string(timing.provider), timing.bps);
    CHECK((timing.bps > 0) == available(timing.provider, timing.cipher));
  }
  CHECK(available(timings.best().chacha20_poly1305, Cipher::chacha20_poly1305));
}
