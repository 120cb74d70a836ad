#include "crypto/cookie.hpp"

#include <catch2/catch.hpp>

#include "support/seeded_entropy.hpp"

using namespace mwtun;
using test::SeededEntropy;

namespace {

struct Fixture {
  SeededEntropy entropy{77};
  Identity initiator{generate_private_key(entropy)};
  Identity responder{generate_private_key(entropy)};
  PresharedKey psk;
  CookieSecret secret;
  Instant start{seconds(1000)};

  Initiation attempt() {
    auto made =
        Initiation::start(initiator, responder.public_key(), psk, 7, InitiationPayload{}, entropy);
    REQUIRE(made);
    return std::move(*made);
  }
  /// As the initiator would send it again with that cookie.
  std::array<std::uint8_t, initiation_bytes> with(const Initiation& made,
                                                  const std::optional<Mac>& cookie) {
    std::array<std::uint8_t, initiation_bytes> datagram;
    made.write(datagram, cookie);
    return datagram;
  }
};

const Address v4 = parse_address("192.0.2.7:4649");
const Address v6 = parse_address("[2001:db8::7]:4649");

}  // namespace

TEST_CASE_METHOD(Fixture, "a cookie goes out, comes back as mac2 and is valid") {
  const Initiation made = attempt();
  const auto first = with(made, std::nullopt);
  CHECK_FALSE(secret.mac2_valid(first, v4, start));
  const Mac cookie = secret.cookie_for(v4, start, entropy);
  CHECK_FALSE(secret.mac2_valid(first, v4, start));
  std::array<std::uint8_t, cookie_bytes> datagram;
  write_cookie(responder, first, cookie, entropy, datagram);
  CHECK(receiver_index_of(datagram) == 7);
  Mac read{};
  REQUIRE(made.read_cookie(datagram, read) == HandshakeError::none);
  CHECK(read == cookie);
  const auto again = with(made, read);
  CHECK(std::equal(first.begin(), first.begin() + 184, again.begin()));
  CHECK(check_mac1(responder, again) == HandshakeError::none);
  CHECK(secret.mac2_valid(again, v4, start));
  CHECK_FALSE(secret.mac2_valid(Bytes(again).first(199), v4, start));
}

TEST_CASE_METHOD(Fixture, "a cookie is good for one address, port and family") {
  const Initiation made = attempt();
  for (const Address& from : {v4, v6}) {
    const auto datagram = with(made, secret.cookie_for(from, start, entropy));
    CHECK(secret.mac2_valid(datagram, from, start));
    CHECK_FALSE(secret.mac2_valid(datagram, from.with_port(4650), start));
    const std::size_t ip_bytes = from.family == Family::v4 ? 4 : 16;
    for (std::size_t bit = 0; bit < ip_bytes * 8; ++bit) {
      Address other = from;
      other.ip[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      CHECK_FALSE(secret.mac2_valid(datagram, other, start));
    }
    Address same_bytes = from;
    same_bytes.family = from.family == Family::v4 ? Family::v6 : Family::v4;
    CHECK_FALSE(secret.mac2_valid(datagram, same_bytes, start));
  }
}

TEST_CASE_METHOD(Fixture, "a cookie is good for 120 s and 5 s more, and no longer") {
  const Initiation made = attempt();
  const Mac early = secret.cookie_for(v4, start, entropy);
  const Mac late = secret.cookie_for(v4, start + seconds(120) - nanoseconds(1), entropy);
  CHECK(early == late);
  const auto datagram = with(made, late);
  SECTION("when nobody asked for another") {}
  SECTION("when the secret has changed since") {
    const Mac next = secret.cookie_for(v4, start + seconds(120), entropy);
    CHECK(next != late);
    const auto newer = with(made, next);
    CHECK(secret.mac2_valid(newer, v4, start + seconds(120)));
    CHECK(secret.mac2_valid(newer, v4, start + seconds(245) - nanoseconds(1)));
    CHECK_FALSE(secret.mac2_valid(newer, v4, start + seconds(245)));
  }
  CHECK(secret.mac2_valid(datagram, v4, start + seconds(125) - nanoseconds(1)));
  CHECK_FALSE(secret.mac2_valid(datagram, v4, start + seconds(125)));
}

TEST_CASE_METHOD(Fixture, "every flipped bit of a cookie datagram is refused") {
  const Initiation made = attempt();
  const auto first = with(made, std::nullopt);
  std::array<std::uint8_t, cookie_bytes> datagram;
  write_cookie(responder, first, secret.cookie_for(v4, start, entropy), entropy, datagram);
  Mac read{};
  for (std::size_t bit = 0; bit < cookie_bytes * 8; ++bit) {
    INFO(bit);
    datagram[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    REQUIRE(made.read_cookie(datagram, read) != HandshakeError::none);
    datagram[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  }
  CHECK(read == Mac{});
  for (std::size_t size = 0; size < cookie_bytes; ++size) {
    REQUIRE(made.read_cookie(Bytes(datagram).first(size), read) != HandshakeError::none);
  }
  CHECK(made.read_cookie(datagram, read) == HandshakeError::none);
}

TEST_CASE_METHOD(Fixture, "a cookie for another attempt or from another responder is refused") {
  const Initiation one = attempt(), two = attempt();
  std::array<std::uint8_t, cookie_bytes> datagram;
  Mac read{};
  write_cookie(responder, with(one, std::nullopt), Mac{1}, entropy, datagram);
  CHECK(two.read_cookie(datagram, read) == HandshakeError::undecryptable);
  write_cookie(initiator, with(one, std::nullopt), Mac{1}, entropy, datagram);
  CHECK(one.read_cookie(datagram, read) == HandshakeError::undecryptable);
}

TEST_CASE_METHOD(Fixture, "every flipped bit of a mac2, or of what it covers, makes it invalid") {
  auto datagram = with(attempt(), secret.cookie_for(v6, start, entropy));
  for (std::size_t bit = 0; bit < initiation_bytes * 8; ++bit) {
    datagram[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    REQUIRE_FALSE(secret.mac2_valid(datagram, v6, start));
    datagram[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  }
  CHECK(secret.mac2_valid(datagram, v6, start));
}

TEST_CASE_METHOD(Fixture, "two responders give different cookies") {
  CookieSecret other;
  CHECK(secret.cookie_for(v4, start, entropy) != other.cookie_for(v4, start, entropy));
}
