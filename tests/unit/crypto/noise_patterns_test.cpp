#include "support/noise_patterns.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace mwtun;
using namespace mwtun::test;

static std::string text_of(const NoiseTokens& tokens) {
  static const char* const names[] = {"e", "s", "ee", "es", "se", "ss", "psk"};
  std::string text;
  for (const NoiseToken token : tokens) {
    text += (text.empty() ? "" : " ") + std::string(names[static_cast<std::size_t>(token)]);
  }
  return text;
}

/// "initiator's pre-message, responder's: first message / second / …"
static std::string text_of(const NoisePattern& pattern) {
  std::string text = text_of(pattern.initiator_pre) + ", " + text_of(pattern.responder_pre) + ":";
  for (std::size_t i = 0; i < pattern.message_count; ++i) {
    text += (i == 0 ? " " : " / ") + text_of(pattern.messages[i]);
  }
  return text;
}

struct Known {
  const char* name;
  const char* tokens;
};

// §7.4, §7.5, §18.1, §9.4 and §10.2 of the specification.
static const Known known[] = {
    {"N", ", s: e es"},
    {"K", "s, s: e es ss"},
    {"X", ", s: e es s ss"},
    {"NN", ", : e / e ee"},
    {"NK", ", s: e es / e ee"},
    {"NX", ", : e / e ee s es"},
    {"KN", "s, : e / e ee se"},
    {"KK", "s, s: e es ss / e ee se"},
    {"KX", "s, : e / e ee se s es"},
    {"XN", ", : e / e ee / s se"},
    {"XK", ", s: e es / e ee / s se"},
    {"XX", ", : e / e ee s es / s se"},
    {"IN", ", : e s / e ee se"},
    {"IK", ", s: e es s ss / e ee se"},
    {"IX", ", : e s / e ee se s es"},
    {"NK1", ", s: e / e ee es"},
    {"NX1", ", : e / e ee s / es"},
    {"X1N", ", : e / e ee / s / se"},
    {"X1K", ", s: e es / e ee / s / se"},
    {"XK1", ", s: e / e ee es / s se"},
    {"X1K1", ", s: e / e ee es / s / se"},
    {"X1X", ", : e / e ee s es / s / se"},
    {"XX1", ", : e / e ee s / es s se"},
    {"X1X1", ", : e / e ee s / es s / se"},
    {"K1N", "s, : e / e ee / se"},
    {"K1K", "s, s: e es / e ee / se"},
    {"KK1", "s, s: e / e ee se es"},
    {"K1K1", "s, s: e / e ee es / se"},
    {"K1X", "s, : e / e ee s es / se"},
    {"KX1", "s, : e / e ee se s / es"},
    {"K1X1", "s, : e / e ee s / se es"},
    {"I1N", ", : e s / e ee / se"},
    {"I1K", ", s: e es s / e ee / se"},
    {"IK1", ", s: e s / e ee se es"},
    {"I1K1", ", s: e s / e ee es / se"},
    {"I1X", ", : e s / e ee s es / se"},
    {"IX1", ", : e s / e ee se s / es"},
    {"I1X1", ", : e s / e ee s / se es"},
    {"Npsk0", ", s: psk e es"},
    {"Xpsk1", ", s: e es s ss psk"},
    {"XXpsk3", ", : e / e ee s es / s se psk"},
    {"IKpsk2", ", s: e es s ss / e ee se psk"},
    {"XXpsk0+psk3", ", : psk e / e ee s es / s se psk"},
    {"XXfallback", ", e: e ee s se / s es"},
    {"XXfallback+psk0", ", e: psk e ee s se / s es"},
};

TEST_CASE("the derivation rules give the patterns the specification lists") {
  for (const Known& one : known) {
    INFO(one.name);
    const auto protocol = noise_pattern(one.name);
    REQUIRE(protocol);
    CHECK(text_of(protocol->pattern) == one.tokens);
    CHECK(protocol->one_way == (std::string("NKX").find(one.name[0]) != std::string::npos &&
                                (one.name[1] == '\0' || one.name[1] == 'p')));
    CHECK(protocol->pattern.psk == (std::string(one.name).find("psk") != std::string::npos));
  }
}

TEST_CASE("names that are no pattern are refused") {
  for (const char* name :
       {"",          "I",       "NI",         "XI",      "N1N",        "NN1",
        "XXX",       "K1",      "X2X",        "XX11",    "XXpsk",      "XXpsk4",
        "NNpsk3",    "XXpsk0+", "XXpsk0psk1", "XXpsk12", "IKfallback", "XXfallback+fallback",
        "Nfallback", "xx"}) {
    INFO(name);
    CHECK_FALSE(noise_pattern(name));
  }
}

TEST_CASE("a protocol name is told apart from one of other algorithms") {
  NoiseProtocol protocol;
  CHECK(parse_noise_name("Noise_XK_25519_AESGCM_BLAKE2b", protocol) == NoiseSupport::runs);
  CHECK(protocol.cipher == Cipher::aes_256_gcm);
  CHECK(parse_noise_name("Noise_XQ_25519_AESGCM_BLAKE2b", protocol) ==
        NoiseSupport::unknown_pattern);
  for (const char* name :
       {"Noise_XK_448_AESGCM_BLAKE2b", "Noise_XK_25519_AESGCM_BLAKE2s",
        "Noise_XK_25519_XChaChaPoly_BLAKE2b", "Noise_XXhfs_25519_ChaChaPoly_BLAKE2b",
        "Noise_XXpsk3+hfs_25519_ChaChaPoly_BLAKE2b", "Noise_XK_25519_AESGCM_BLAKE2b:SSK",
        "NoisePSK_XK_25519_AESGCM_BLAKE2b", "Noise_XK_25519+448_AESGCM_BLAKE2b", "XK", ""}) {
    INFO(name);
    CHECK(parse_noise_name(name, protocol) == NoiseSupport::other_algorithm);
  }
}
