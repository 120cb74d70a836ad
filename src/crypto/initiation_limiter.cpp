#include "crypto/initiation_limiter.hpp"

#include <sodium.h>

#include <algorithm>

#include "base/bytes.hpp"

namespace mwtun {

static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == 8);

const char* to_string(Admission admission) {
  switch (admission) {
    case Admission::accept: return "accept";
    case Admission::cookie: return "cookie";
    case Admission::source_rate: return "source rate";
    case Admission::cookie_rate: return "cookie rate";
    case Admission::dh_rate: return "Diffie-Hellman rate";
  }
  return "unknown";
}

InitiationLimiter::InitiationLimiter(Entropy& entropy, bool read_twice)
    : table_(sources), dh_each_(dh_per_initiation + (read_twice ? dh_per_reading : 0)) {
  entropy.fill(hash_key_.mutable_view());
}

bool InitiationLimiter::take_source(const Address& from, Instant now) {
  // Port first: what it refuses costs the neighbours behind the same address nothing.
  return take_source(from, from.port, {source_interval, source_burst}, now) &&
         take_source(from, 0, {address_interval, address_burst}, now);
}

bool InitiationLimiter::take_source(const Address& from, std::uint16_t port, const Rate& rate,
                                    Instant now) {
  // A v4-mapped address is an IPv4 source; all of them would share one /64.
  static constexpr std::uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::array<std::uint8_t, 11> name{};
  store_le(name.data() + 9, port, 2);
  if (from.family == Family::v4) {
    name[0] = 4;
    std::copy_n(from.ip.begin(), 4, name.begin() + 1);
  } else if (std::equal(std::begin(mapped), std::end(mapped), from.ip.begin())) {
    name[0] = 4;
    std::copy_n(from.ip.begin() + 12, 4, name.begin() + 1);
  } else {
    name[0] = 6;
    std::copy_n(from.ip.begin(), 8, name.begin() + 1);
  }
  std::uint8_t hash[crypto_shorthash_BYTES];
  crypto_shorthash(hash, name.data(), name.size(), hash_key_.view().data());
  const std::uint64_t tag = load_le64(hash);

  // A source lives in one of the `ways` places its hash allows. A new one takes the place of
  // whoever has the most of his burst left: a busy source can't be pushed out by quiet ones, so it
  // can't wash its own bucket clean, and a flood of sources can't lock a new one out.
  Source* const set = table_.data() + tag % (sources / ways) * ways;
  Source* place = std::find_if(set, set + ways, [&](const Source& s) { return s.tag == tag; });
  if (place == set + ways) {
    place = std::min_element(set, set + ways,
                             [](const Source& a, const Source& b) { return a.full < b.full; });
    *place = Source{tag, Instant::min()};
  }
  const Instant full = std::max(place->full, now) + rate.interval;
  if (full > now + rate.interval * rate.burst) return false;
  place->full = full;
  return true;
}

Admission InitiationLimiter::admit(const Address& from, bool mac2_valid, Instant now) {
  if (!take_source(from, now)) return Admission::source_rate;
  if (!under_load(now) || mac2_valid) {
    if (dh_.take(dh_each_, now)) return Admission::accept;
    loaded_until_ = now + load_hold;
    if (mac2_valid) return Admission::dh_rate;
  }
  return cookies_.take(1, now) ? Admission::cookie : Admission::cookie_rate;
}

}  // namespace mwtun
