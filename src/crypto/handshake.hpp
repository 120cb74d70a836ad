#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/entropy.hpp"
#include "crypto/aead.hpp"
#include "crypto/identity.hpp"
#include "crypto/keys.hpp"
#include "crypto/noise.hpp"
#include "crypto/secret.hpp"

// The three handshake datagrams of docs/PROTOCOL.md §3, as bytes. What is done with them, and when,
// is decided elsewhere.

namespace mwtun {

inline constexpr std::uint8_t wire_version = 1;
inline constexpr std::uint8_t initiation_type = 1, response_type = 2, cookie_type = 3;
inline constexpr std::size_t initiation_bytes = 200, response_bytes = 140, cookie_bytes = 64;
inline constexpr std::size_t mac_bytes = 16;

using Mac = std::array<std::uint8_t, mac_bytes>;

/// P1 of the protocol.
struct InitiationPayload {
  std::uint64_t freshness_ns = 0;
  std::uint64_t instance = 0;
  std::uint64_t features = 0;
  std::uint16_t ciphers = cipher_bit(Cipher::chacha20_poly1305);
  std::uint8_t links_max = 1;
  bool rekey = false;
  std::uint16_t mtu = 0;
  std::uint8_t epoch = 0;
  std::uint32_t resume_index = 0;  ///< The responder's index of the session, for a rekey only.

  bool operator==(const InitiationPayload&) const = default;
};

/// P2 of the protocol.
struct ResponsePayload {
  std::uint64_t features = 0;
  Cipher cipher = Cipher::chacha20_poly1305;
  std::uint8_t links_max = 1;
  std::uint16_t mtu = 0;
  std::uint8_t epoch = 0;
  std::uint64_t instance = 0;
  Address observed;                 ///< Where the initiation came from, as the responder saw it.
  std::uint32_t session_index = 0;  ///< The responder's name for the session; in the header too.

  bool operator==(const ResponsePayload&) const = default;
};

/// What a handshake is for. The cipher is in the response's payload.
struct SessionKeys {
  Secret<32> send;
  Secret<32> receive;
  std::array<std::uint8_t, 64> handshake_hash{};
};

enum class HandshakeError : std::uint8_t {
  none,
  bad_size,
  bad_type,
  bad_version,
  bad_reserved,
  bad_mac1,
  bad_key,        ///< A public key with a second spelling.
  undecryptable,  ///< Not from the peer, not for us, wrong pre-shared key, or changed on the way.
  bad_payload,    ///< Authentic, but a field has a value it must not have.
  wrong_index,    ///< Answers another initiation, or an index is 0.
  wrong_cipher,   ///< Not exactly one of the ciphers offered.
  wrong_epoch,
};
const char* to_string(HandshakeError error);

/// Size, type, version, reserved bytes, index not 0, then mac1 as a datagram to `receiver` must
/// have it. Half a microsecond; everything dearer comes after.
/// @param datagram  of type 1 or 2
HandshakeError check_mac1(const Identity& receiver, Bytes datagram);

/// The sender index of a datagram of type 1 or 2 that has passed check_mac1().
std::uint32_t sender_index_of(Bytes datagram);
/// The receiver index of a datagram of type 2 or 3; 0 when it is no such thing.
std::uint32_t receiver_index_of(Bytes datagram);

/// The initiator's side of one attempt. Move-only.
class Initiation {
 public:
  /// Nothing when the peer's key is of low order or the payload is not one that may be sent.
  /// @param sender_index  not 0; unchanged by a rekey
  static std::optional<Initiation> start(const Identity& identity, const PublicKey& peer,
                                         const PresharedKey& psk, std::uint32_t sender_index,
                                         const InitiationPayload& payload, Entropy& entropy);

  /// The same 184 bytes each time; then mac2 when a cookie is known, else zeros.
  void write(MutableBytes out200, const std::optional<Mac>& cookie) const;

  /// Anything but `none` leaves the attempt as it was: a forged response must not end it. After
  /// `none` it has done its work and is to be thrown away.
  HandshakeError read_response(Bytes datagram, ResponsePayload& payload, SessionKeys& keys) const;
  /// @param cookie  written only when the result is `none`
  HandshakeError read_cookie(Bytes datagram, Mac& cookie) const;

  std::uint32_t sender_index() const { return sender_index_; }
  const InitiationPayload& payload() const { return payload_; }

 private:
  Initiation(HandshakeState noise, ReceiverKeys ours, ReceiverKeys theirs);

  HandshakeState noise_;
  ReceiverKeys our_keys_;    // For mac1 of the response.
  ReceiverKeys their_keys_;  // For mac1 of the initiation and for the cookie.
  std::uint32_t sender_index_ = 0;
  InitiationPayload payload_;
  std::array<std::uint8_t, initiation_bytes> datagram_{};
};

/// The responder's side, from an initiation that has passed check_mac1(). Move-only.
class ReceivedInitiation {
 public:
  /// Does two Diffie-Hellmans. Nothing must last because of it: an initiation can be a replay, and
  /// with the responder's private key stolen it can be forged.
  static HandshakeError read(const Identity& identity, Bytes datagram,
                             std::optional<ReceivedInitiation>& out);

  const PublicKey& peer() const { return peer_; }
  const InitiationPayload& payload() const { return payload_; }
  std::uint32_t sender_index() const { return sender_index_; }
  /// 32 bytes, the initiation's `e`: what names this attempt.
  Bytes ephemeral() const { return ephemeral_.bytes; }

  /// Writes the response and gives the keys; three more Diffie-Hellmans. To be called once. False
  /// when one of them is all zeros: nobody honest made that initiation.
  /// @param payload  session_index not 0; cipher, links and features within what was offered; epoch
  /// as offered
  [[nodiscard]] bool respond(const PresharedKey& psk, const ResponsePayload& payload,
                             Entropy& entropy, MutableBytes out140, SessionKeys& keys);

 private:
  explicit ReceivedInitiation(HandshakeState noise) : noise_(std::move(noise)) {}

  HandshakeState noise_;
  PublicKey peer_;
  PublicKey ephemeral_;
  InitiationPayload payload_;
  std::uint32_t sender_index_ = 0;
};

}  // namespace mwtun
