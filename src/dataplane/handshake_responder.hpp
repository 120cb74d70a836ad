#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "base/entropy.hpp"
#include "crypto/handshake.hpp"
#include "dataplane/handshake_initiator.hpp"
#include "dataplane/tunnel.hpp"

namespace mwtun {

/// The responder's memory of one peer's initiations: what was accepted, and what is half open until
/// the first data datagram opens under its keys (PROTOCOL.md 3.4). Nothing here touches the live
/// session.
class HandshakeResponder {
 public:
  HandshakeResponder(const PeerConfig& peer, std::uint16_t ciphers, AeadProviders providers,
                     std::uint64_t instance, Entropy& entropy)
      : peer_(peer),
        ciphers_(ciphers),
        providers_(providers),
        instance_(instance),
        entropy_(entropy) {}

  enum class Verdict : std::uint8_t { answered, wants_cookie, dropped };
  /// @param fresh_index  for a new session; not in use
  Verdict handle(ReceivedInitiation& initiation, bool mac2_valid, const Path& from,
                 std::uint32_t fresh_index, const Tunnel& tunnel, HandshakeDatagram& answer,
                 Instant now);
  /// Always for an initiation younger than all before it, which no recording can be; else at most
  /// one a second for a source and 20 for the peer.
  bool may_send_cookie(const InitiationPayload& offer, const Path& to, Instant now);
  /// The index is that of a half-open session.
  bool knows(std::uint32_t index) const;
  /// Takes the half-open keys under which the datagram opens into use.
  bool confirm(const wire::DataHeader& header, Bytes datagram, Tunnel& tunnel, Instant now);
  void expire(Instant now);
  Instant deadline() const;
  template <typename Visit>
  void each_index(Visit&& visit) const {
    for (const HalfOpen& half : half_open_) visit(half.local_index);
  }

 private:
  struct HalfOpen {
    std::array<std::uint8_t, 32> ephemeral{};
    std::array<std::uint8_t, response_bytes> response{};
    std::uint32_t local_index = 0;
    std::uint32_t remote_index = 0;
    std::uint64_t features = 0;
    bool rekey = false;
    EpochKeys keys;
    Instant since{};
    unsigned repeats_left = 10;
  };
  static constexpr std::size_t half_open_max = 4;
  static constexpr std::size_t remembered_max = 64;

  const PeerConfig& peer_;
  std::uint16_t ciphers_;
  AeadProviders providers_;
  std::uint64_t instance_;
  Entropy& entropy_;
  std::vector<HalfOpen> half_open_;
  std::uint64_t freshest_ns_ = 0;  // Of those accepted.
  std::uint64_t youngest_ns_ = 0;  // Of those that got a cookie.
  std::array<std::array<std::uint8_t, 32>, remembered_max> remembered_{};
  std::size_t next_remembered_ = 0;
  struct CookieSent {
    Address to;
    Instant at = Instant::min();
  };
  std::array<CookieSent, 32> cookies_sent_{};
  std::size_t next_cookie_sent_ = 0;
};

}  // namespace mwtun
