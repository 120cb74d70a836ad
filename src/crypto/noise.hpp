#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.hpp"
#include "base/entropy.hpp"
#include "crypto/aead.hpp"
#include "crypto/blake2b.hpp"
#include "crypto/keys.hpp"
#include "crypto/secret.hpp"

// The Noise Protocol Framework, revision 34, over X25519 and BLAKE2b. Section numbers are its own.

namespace mwtun {

enum class NoiseToken : std::uint8_t { e, s, ee, es, se, ss, psk };

/// The tokens of one message, or of one side's pre-message.
struct NoiseTokens {
  static constexpr std::size_t count_max = 12;

  constexpr NoiseTokens() = default;
  constexpr NoiseTokens(std::initializer_list<NoiseToken> from) {
    for (const NoiseToken token : from) push_back(token);
  }
  constexpr void push_back(NoiseToken token) {
    MWTUN_ASSERT(count < count_max);
    tokens[count++] = token;
  }
  constexpr const NoiseToken* begin() const { return tokens.data(); }
  constexpr const NoiseToken* end() const { return tokens.data() + count; }

  std::array<NoiseToken, count_max> tokens{};
  std::size_t count = 0;
};

/// A handshake pattern (§7): pre-messages, then messages in turn, the initiator's first.
struct NoisePattern {
  static constexpr std::size_t messages_max = 8;

  NoiseTokens initiator_pre;
  NoiseTokens responder_pre;
  std::array<NoiseTokens, messages_max> messages;
  std::size_t message_count = 0;
  /// The pattern has a psk token; then every `e` is mixed into the key as well (§9.2).
  bool psk = false;
};

/// Encrypts handshake payloads, or transport messages in order (§5.1). Without a key it copies.
class CipherState {
 public:
  explicit CipherState(Cipher cipher) : cipher_(cipher) {}
  CipherState(Cipher cipher, const Secret<32>& key) : cipher_(cipher) { set_key(key); }

  void set_key(const Secret<32>& key);
  bool has_key() const { return has_key_; }
  std::size_t tag_bytes() const { return has_key_ ? aead_tag_bytes : 0; }
  std::uint64_t number() const { return number_; }
  void set_number(std::uint64_t number) { number_ = number; }
  /// Writes plain.size() + tag_bytes(). False when the numbers are used up.
  [[nodiscard]] bool encrypt(Bytes aad, Bytes plain, MutableBytes out);
  /// Writes sealed.size() - tag_bytes(). False leaves the number where it was.
  [[nodiscard]] bool decrypt(Bytes aad, Bytes sealed, MutableBytes out);
  CipherState clone() const;

 private:
  Cipher cipher_;
  bool has_key_ = false;
  std::uint64_t number_ = 0;
  Secret<32> key_;
};

/// Chaining key, hash and cipher of a handshake in progress (§5.2).
class SymmetricState {
 public:
  SymmetricState(std::string_view protocol_name, Cipher cipher);

  void mix_key(Bytes input);
  void mix_hash(Bytes data);
  void mix_key_and_hash(Bytes input);
  [[nodiscard]] bool encrypt_and_hash(Bytes plain, MutableBytes out);
  [[nodiscard]] bool decrypt_and_hash(Bytes sealed, MutableBytes out);
  std::size_t tag_bytes() const { return cipher_.tag_bytes(); }
  bool has_key() const { return cipher_.has_key(); }
  const std::array<std::uint8_t, blake2b_bytes>& hash() const { return hash_; }
  /// `first` is for the initiator's messages, `second` for the responder's.
  void split(Secret<32>& first, Secret<32>& second) const;
  SymmetricState clone() const;

 private:
  CipherState cipher_;
  Secret<blake2b_bytes> chaining_key_;
  std::array<std::uint8_t, blake2b_bytes> hash_{};
};

/// What a handshake starts from. Pointers may be null where the pattern needs no such key.
struct NoiseSetup {
  const NoisePattern* pattern = nullptr;  ///< Must outlive the handshake.
  std::string_view protocol_name;         ///< All of it, "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b".
  Cipher cipher = Cipher::chacha20_poly1305;
  bool initiator = false;
  Bytes prologue;
  const PrivateKey* static_key = nullptr;
  const PublicKey* static_public_key = nullptr;  ///< Of static_key; computed when it is not given.
  const PrivateKey* ephemeral_key =
      nullptr;  ///< Only where it is part of a pre-message (fallback).
  const PublicKey* remote_static = nullptr;
  const PublicKey* remote_ephemeral = nullptr;
};

/// One side of a handshake (§5.3). A failed read or write ends it: read a message whose sender is
/// not known yet with a clone().
class HandshakeState {
 public:
  static constexpr std::size_t psks_max = 5;

  /// Nothing when the pattern's pre-messages need a key that is not there.
  static std::optional<HandshakeState> start(const NoiseSetup& setup);

  /// Pre-shared keys are used up in the order of the psk tokens.
  void add_psk(const PresharedKey& psk);

  /// Bytes the next message has beyond its payload; 0 when the handshake is over.
  std::size_t overhead() const;
  bool our_turn() const { return !finished() && initiator_ == (next_message_ % 2 == 0); }
  bool finished() const { return next_message_ == pattern_->message_count; }

  /// @param out  exactly payload.size() + overhead() bytes
  [[nodiscard]] bool write_message(Bytes payload, MutableBytes out, Entropy& entropy);
  /// @param payload  exactly message.size() - overhead() bytes
  [[nodiscard]] bool read_message(Bytes message, MutableBytes payload);

  const std::array<std::uint8_t, blake2b_bytes>& handshake_hash() const {
    return symmetric_.hash();
  }
  const std::optional<PublicKey>& remote_static() const { return remote_static_; }
  /// `first` is for the initiator's messages, `second` for the responder's; once finished().
  void split(Secret<32>& first, Secret<32>& second) const { symmetric_.split(first, second); }
  HandshakeState clone() const;

 private:
  struct KeyPair {
    PrivateKey secret;
    PublicKey open;
  };

  HandshakeState(const NoiseSetup& setup);
  [[nodiscard]] bool mix_dh(NoiseToken token);
  [[nodiscard]] bool mix_psk();
  [[nodiscard]] bool mix_pre_message(const NoiseTokens& tokens, bool ours);
  void mix_ephemeral(const PublicKey& key);
  static std::optional<KeyPair> copy(const std::optional<KeyPair>& pair);

  const NoisePattern* pattern_;
  bool initiator_;
  bool failed_ = false;
  std::size_t next_message_ = 0;
  SymmetricState symmetric_;
  std::optional<KeyPair> static_;
  std::optional<KeyPair> ephemeral_;
  std::optional<PublicKey> remote_static_;
  std::optional<PublicKey> remote_ephemeral_;
  std::array<PresharedKey, psks_max> psks_;
  std::size_t psk_count_ = 0;
  std::size_t psks_used_ = 0;
};

}  // namespace mwtun
