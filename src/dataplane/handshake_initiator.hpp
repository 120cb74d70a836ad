#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/entropy.hpp"
#include "base/ring.hpp"
#include "crypto/handshake.hpp"
#include "dataplane/tunnel.hpp"

namespace mwtun {

/// A handshake datagram on its way out.
struct HandshakeDatagram {
  Path path;
  std::size_t size = 0;
  std::array<std::uint8_t, initiation_bytes> bytes{};
};
inline constexpr std::size_t handshake_datagrams_max = 256;

/// Never repeats and never goes back, whatever the real-time clock does (PROTOCOL.md P1).
class Freshness {
 public:
  Freshness(std::uint64_t wall_clock_ns, Instant now) : wall_ns_(wall_clock_ns), began_(now) {}
  std::uint64_t next(Instant now) {
    last_ = std::max(last_ + 1, wall_ns_ + static_cast<std::uint64_t>((now - began_).count()));
    return last_;
  }

 private:
  std::uint64_t wall_ns_;
  Instant began_;
  std::uint64_t last_ = 0;
};

/// The initiator's side of the handshakes with one peer: when to begin one (no session, a rekey, a
/// peer that fell silent), on which links, and how often (PROTOCOL.md 3.4). The same initiation
/// goes out on all links, 250 ms apart.
class HandshakeInitiator {
 public:
  HandshakeInitiator(const Identity& identity, const PeerConfig& peer, std::uint16_t ciphers,
                     AeadProviders providers, std::uint64_t instance, Entropy& entropy)
      : identity_(identity),
        peer_(peer),
        ciphers_(ciphers),
        providers_(providers),
        instance_(instance),
        entropy_(entropy) {}

  /// Begins, repeats or ends attempts. @param fresh_index gives an index that is not in use
  template <typename FreshIndex>
  void advance(Tunnel& tunnel, Freshness& freshness, FreshIndex&& fresh_index, Instant now) {
    const Want want = wanted(tunnel, now);
    if (want == Want::nothing) {
      attempt_.reset();
      tries_ = 0;
      next_attempt_ = now;
      return;
    }
    if (attempt_ && rekeying_ != (want == Want::rekey)) attempt_.reset(), next_attempt_ = now;
    if (now >= next_attempt_ && !tunnel.links_with_path().empty()) {
      const std::uint32_t index =
          want == Want::rekey ? value_of(tunnel.session().local) : fresh_index();
      begin_attempt(tunnel, want == Want::rekey, index, freshness.next(now), now);
    }
    send_on_links(tunnel, now);
  }

  /// A response to our attempt. True when the tunnel has a session (or new keys) from it.
  bool handle_response(Tunnel& tunnel, Bytes datagram, Instant now);
  void handle_cookie(Tunnel& tunnel, const Path& path, Bytes datagram, Instant now);
  /// 0: no attempt is under way.
  std::uint32_t pending_index() const { return attempt_ ? attempt_->sender_index() : 0; }
  Instant deadline(const Tunnel& tunnel, Instant now) const;
  Ring<HandshakeDatagram>& outgoing() { return outgoing_; }

 private:
  enum class Want : std::uint8_t { nothing, session, rekey };
  Want wanted(const Tunnel& tunnel, Instant now) const;
  void begin_attempt(Tunnel& tunnel, bool rekey, std::uint32_t index, std::uint64_t freshness_ns,
                     Instant now);
  void send_on_links(Tunnel& tunnel, Instant now);
  void send_on(const Link& link);

  const Identity& identity_;
  const PeerConfig& peer_;
  std::uint16_t ciphers_;
  AeadProviders providers_;
  std::uint64_t instance_;
  Entropy& entropy_;
  std::optional<Initiation> attempt_;
  bool rekeying_ = false;
  std::uint32_t tries_ = 0;
  bool mismatch_told_ = false;
  Instant next_attempt_{};
  LinkSet sent_on_;
  Instant next_link_ = never;
  struct KnownCookie {
    Mac cookie{};
    Path path;
    Instant since{};
  };
  std::array<std::optional<KnownCookie>, links_max> cookies_;
  Ring<HandshakeDatagram> outgoing_;
};

}  // namespace mwtun
