// The bytes of the protocol, compared with what is written in the files beside this one. The files
// were derived from docs/PROTOCOL.md by other code than ours and are never written by a test.
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../hex.hpp"
#include "crypto/aead.hpp"
#include "crypto/cookie.hpp"
#include "crypto/handshake.hpp"
#include "crypto/init.hpp"
#include "support/seeded_entropy.hpp"

using namespace mwtun;
using namespace mwtun::test;
using Json = nlohmann::json;

namespace {

[[maybe_unused]] const bool started = crypto_start();

Json golden(const char* name) {
  std::ifstream stream(std::string(MWTUN_GOLDEN_FOLDER) + "/" + name);
  REQUIRE(stream.good());
  return Json::parse(stream);
}

std::vector<std::uint8_t> hex(const Json& json, const char* key) {
  return from_hex(json.at(key).get<std::string>());
}
std::string text(const Json& json, const char* key) {
  return json.at(key).get<std::string>();
}
/// 64-bit numbers stand in the files as text.
std::uint64_t number(const Json& json, const char* key) {
  return std::stoull(text(json, key));
}

Secret<32> secret(const Json& json, const char* key) {
  return Secret<32>::copy_of(hex(json, key));
}

InitiationPayload p1_of(const Json& json) {
  InitiationPayload payload;
  payload.freshness_ns = number(json, "freshness_ns");
  payload.instance = number(json, "instance");
  payload.features = number(json, "features");
  payload.ciphers = json.at("ciphers");
  payload.links_max = json.at("links_max");
  payload.rekey = json.at("rekey");
  payload.mtu = json.at("mtu");
  payload.epoch = json.at("epoch");
  payload.resume_index = json.at("resume_index");
  return payload;
}

ResponsePayload p2_of(const Json& json, const Address& observed) {
  ResponsePayload payload;
  payload.features = number(json, "features");
  payload.cipher = cipher_from_name(text(json, "cipher")).value();
  payload.links_max = json.at("links_max");
  payload.mtu = json.at("mtu");
  payload.epoch = json.at("epoch");
  payload.instance = number(json, "instance");
  payload.observed = observed;
  payload.session_index = json.at("session_index");
  return payload;
}

}  // namespace

TEST_CASE("initiation, response and cookie are the bytes of the protocol") {
  const Json cases = golden("handshake.json");
  REQUIRE(cases.size() == 2);
  for (const Json& one : cases) {
    INFO(text(one, "title"));
    const Identity initiator(secret(one, "initiator_private"));
    const Identity responder(secret(one, "responder_private"));
    CHECK(to_hex(initiator.public_key().bytes) == text(one, "initiator_public"));
    CHECK(to_hex(responder.public_key().bytes) == text(one, "responder_public"));
    const PresharedKey psk = secret(one, "psk");
    const InitiationPayload p1 = p1_of(one.at("p1"));
    const Address source = parse_address(text(one, "source"));
    const ResponsePayload p2 = p2_of(one.at("p2"), source);

    ScriptedEntropy initiator_e(hex(one, "initiator_ephemeral_private"));
    const auto attempt = Initiation::start(initiator, responder.public_key(), psk,
                                           one.at("initiator_index"), p1, initiator_e);
    REQUIRE(attempt);
    CHECK(initiator_e.used_up());
    std::array<std::uint8_t, initiation_bytes> initiation;
    attempt->write(initiation, std::nullopt);
    CHECK(to_hex(initiation) == text(one, "initiation"));

    // Both sides read the literal bytes too, not what was just written.
    const auto literal_initiation = hex(one, "initiation");
    REQUIRE(check_mac1(responder, literal_initiation) == HandshakeError::none);
    std::optional<ReceivedInitiation> received;
    REQUIRE(ReceivedInitiation::read(responder, literal_initiation, received) ==
            HandshakeError::none);
    CHECK(received->peer() == initiator.public_key());
    CHECK(received->payload() == p1);

    ScriptedEntropy responder_e(hex(one, "responder_ephemeral_private"));
    std::array<std::uint8_t, response_bytes> response;
    SessionKeys responder_keys, initiator_keys;
    REQUIRE(received->respond(psk, p2, responder_e, response, responder_keys));
    CHECK(to_hex(response) == text(one, "response"));
    ResponsePayload heard;
    REQUIRE(attempt->read_response(hex(one, "response"), heard, initiator_keys) ==
            HandshakeError::none);
    CHECK(heard == p2);
    for (const SessionKeys* keys : {&responder_keys, &initiator_keys}) {
      const bool forward = keys == &initiator_keys;
      CHECK(to_hex(keys->handshake_hash) == text(one, "handshake_hash"));
      CHECK(to_hex((forward ? keys->send : keys->receive).view()) ==
            text(one, "initiator_to_responder"));
      CHECK(to_hex((forward ? keys->receive : keys->send).view()) ==
            text(one, "responder_to_initiator"));
    }

    CookieSecret cookies;
    const Instant now{seconds(1)};
    ScriptedEntropy cookie_secret(hex(one, "cookie_secret"));
    const Mac cookie = cookies.cookie_for(source, now, cookie_secret);
    CHECK(to_hex(cookie) == text(one, "cookie"));
    ScriptedEntropy nonce(hex(one, "cookie_nonce"));
    std::array<std::uint8_t, cookie_bytes> cookie_datagram;
    write_cookie(responder, literal_initiation, cookie, nonce, cookie_datagram);
    CHECK(to_hex(cookie_datagram) == text(one, "cookie_datagram"));
    Mac read{};
    REQUIRE(attempt->read_cookie(hex(one, "cookie_datagram"), read) == HandshakeError::none);
    attempt->write(initiation, read);
    CHECK(to_hex(initiation) == text(one, "initiation_with_cookie"));
    CHECK(cookies.mac2_valid(hex(one, "initiation_with_cookie"), source, now));
  }
}

TEST_CASE("data datagrams are sealed under the nonce of their link and number") {
  const Json cases = golden("data.json");
  REQUIRE(cases.size() == 18);
  for (const Json& one : cases) {
    const Cipher cipher = cipher_from_name(text(one, "cipher")).value();
    if ((available_ciphers() & cipher_bit(cipher)) == 0) {
      WARN("this processor has no " << to_string(cipher));
      continue;
    }
    const std::uint64_t nonce = one.at("link").get<std::uint64_t>() << 48 | number(one, "number");
    INFO(to_string(cipher) << " " << nonce);
    const AeadKey key(cipher, secret(one, "noise_key"));
    const auto header = hex(one, "header"), plain = hex(one, "plain"), sealed = hex(one, "sealed");
    std::vector<std::uint8_t> out(plain.size() + aead_tag_bytes), opened(plain.size());
    key.seal(nonce, header, plain, out);
    CHECK(to_hex(out) == to_hex(sealed));
    REQUIRE(key.open(nonce, header, sealed, opened));
    CHECK(opened == plain);
  }
}
