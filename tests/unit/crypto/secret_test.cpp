#include "crypto/secret.hpp"

#include <catch2/catch.hpp>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "crypto/aead.hpp"
#include "crypto/handshake.hpp"
#include "crypto/identity.hpp"

using namespace mwtun;

template <typename T>
concept printable = requires(std::ostream& out, const T& value) {
  out << value;
};
template <typename T>
constexpr bool text_like = std::is_convertible_v<T, std::string_view> ||
                           std::is_convertible_v<T, std::string> || std::is_convertible_v<T, Bytes>;
template <typename T>
constexpr bool move_only = !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
                           std::is_move_constructible_v<T>;

static_assert(printable<std::string> && !printable<Secret<32>>);
static_assert(!text_like<Secret<32>> && !text_like<Identity> && !text_like<AeadKey>);
static_assert(!std::equality_comparable<Secret<32>>, "== would not be constant time");
static_assert(move_only<Secret<32>> && move_only<Identity> && move_only<ReceiverKeys>);
static_assert(move_only<AeadKey> && move_only<AeadEngine> && move_only<SessionKeys>);
static_assert(move_only<HandshakeState> && move_only<Initiation> && move_only<ReceivedInitiation>);

static Secret<32> pattern_secret() {
  std::array<std::uint8_t, 32> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i + 1);
  return Secret<32>::copy_of(bytes);
}

static bool all_zero(Bytes bytes) {
  for (const std::uint8_t byte : bytes) {
    if (byte != 0) return false;
  }
  return true;
}

TEST_CASE("a secret that was moved from is wiped") {
  Secret<32> first = pattern_secret();
  const Secret<32> second = std::move(first);
  CHECK(all_zero(first.view()));
  CHECK(second.equals(pattern_secret()));
  Secret<32> third;
  first = pattern_secret();
  third = std::move(first);
  CHECK(all_zero(first.view()));
  CHECK(third.equals(pattern_secret()));
}

TEST_CASE("a destroyed secret leaves nothing in its memory") {
  alignas(Secret<32>) std::uint8_t memory[sizeof(Secret<32>)] = {};
  auto* secret = new (memory) Secret<32>(pattern_secret());
  REQUIRE_FALSE(all_zero(memory));
  secret->~Secret();
  CHECK(all_zero(memory));
}

TEST_CASE("a destroyed or moved-from AEAD key leaves nothing in its memory") {
  for (const Cipher cipher : {Cipher::chacha20_poly1305, Cipher::aes_256_gcm}) {
    if ((available_ciphers() & cipher_bit(cipher)) == 0) continue;
    alignas(AeadKey) std::uint8_t memory[sizeof(AeadKey)] = {};
    auto* key = new (memory) AeadKey(cipher, pattern_secret());
    const Bytes keyed = Bytes(memory).subspan(16);  // After the cipher's number.
    REQUIRE_FALSE(all_zero(keyed));
    AeadKey taken(std::move(*key));
    CHECK(all_zero(keyed));
    *key = std::move(taken);
    REQUIRE_FALSE(all_zero(keyed));
    key->~AeadKey();
    CHECK(all_zero(keyed));
  }
}

TEST_CASE("secrets are equal only when every byte is") {
  const Secret<32> one = pattern_secret();
  for (std::size_t i = 0; i < 32; ++i) {
    Secret<32> other = one.clone();
    CHECK(one.equals(other));
    other.mutable_view()[i] ^= 0x80;
    CHECK_FALSE(one.equals(other));
  }
  CHECK_FALSE(equal_constant_time(one.view(), one.view().first(31)));
}
