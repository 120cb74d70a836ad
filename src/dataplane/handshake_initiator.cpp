#include "dataplane/handshake_initiator.hpp"

#include <algorithm>

namespace mwtun {

static constexpr Duration link_stagger = milliseconds(250);
static constexpr Duration cookie_life = seconds(120);
static constexpr std::uint32_t tries_unanswered_told = 3;

/// How long to wait for an answer to the n-th try.
static Duration retry_after(std::uint32_t tries) {
  if (tries <= 10) return seconds(1);
  if (tries == 11) return seconds(2);
  return tries == 12 ? seconds(4) : seconds(5);
}

HandshakeInitiator::Want HandshakeInitiator::wanted(const Tunnel& tunnel, Instant now) const {
  if (tunnel.unheard(now)) return Want::session;
  return tunnel.rekey_due(now) ? Want::rekey : Want::nothing;
}

void HandshakeInitiator::begin_attempt(Tunnel& tunnel, bool rekey, std::uint32_t index,
                                       std::uint64_t freshness_ns, Instant now) {
  InitiationPayload payload;
  payload.freshness_ns = freshness_ns;
  payload.instance = instance_;
  payload.ciphers = peer_.cipher ? static_cast<std::uint16_t>(cipher_bit(*peer_.cipher) |
                                                              cipher_bit(Cipher::chacha20_poly1305))
                                 : ciphers_;
  payload.links_max = static_cast<std::uint8_t>(std::max<std::size_t>(1, peer_.links.size()));
  payload.mtu = peer_.mtu;
  payload.features = tunnel.features();
  if (rekey) {
    payload.rekey = true;
    payload.epoch = static_cast<std::uint8_t>((tunnel.session().epoch() + 1) % wire::epochs);
    payload.resume_index = value_of(tunnel.session().remote);
  }
  attempt_ =
      Initiation::start(identity_, peer_.public_key, peer_.preshared_key, index, payload, entropy_);
  rekeying_ = rekey;
  mismatch_told_ = false;
  sent_on_ = {};
  next_link_ = now;
  const Duration jitter{static_cast<std::int64_t>(entropy_.u32() % 334'000'000)};
  next_attempt_ = now + retry_after(++tries_) + jitter;
  if (tries_ % 10 == tries_unanswered_told) {
    tunnel.push_event({.kind = Event::Kind::handshake_unanswered, .value = tries_});
  }
}

void HandshakeInitiator::send_on_links(Tunnel& tunnel, Instant now) {
  if (!attempt_ || now < next_link_) return;
  const Link* next = nullptr;
  for (const Link* link : tunnel.links_with_path()) {
    if (sent_on_.has(link->id)) continue;
    // Links that carry first: a rekey goes where answers come from.
    if (next == nullptr || (link->carries() && !next->carries())) next = link;
  }
  next_link_ = never;
  if (next == nullptr) return;
  send_on(*next);
  next_link_ = now + link_stagger;
}

void HandshakeInitiator::send_on(const Link& link) {
  sent_on_.add(link.id);
  if (outgoing_.size() >= handshake_datagrams_max) return;
  const std::optional<KnownCookie>& known = cookies_[index_of(link.id)];
  HandshakeDatagram datagram;
  datagram.path = link.path;
  datagram.size = initiation_bytes;
  attempt_->write(datagram.bytes,
                  known && known->path == link.path ? std::optional(known->cookie) : std::nullopt);
  outgoing_.push_back(datagram);
}

bool HandshakeInitiator::handle_response(Tunnel& tunnel, Bytes datagram, Instant now) {
  if (!attempt_) return false;
  ResponsePayload payload;
  SessionKeys keys;
  const HandshakeError error = attempt_->read_response(datagram, payload, keys);
  if (error != HandshakeError::none) {
    if (error == HandshakeError::undecryptable && !mismatch_told_ && tries_ % 10 == 1) {
      mismatch_told_ = true;
      tunnel.push_event({.kind = Event::Kind::handshake_mismatch});
    }
    return false;
  }
  if (peer_.cipher && payload.cipher != *peer_.cipher) {
    tunnel.push_event({.kind = Event::Kind::handshake_mismatch, .value = 1});
    return false;
  }
  const AeadProvider provider = providers_.of(payload.cipher);
  EpochKeys epoch{.epoch = payload.epoch,
                  .send = AeadKey(payload.cipher, keys.send, provider),
                  .receive = AeadKey(payload.cipher, keys.receive, provider),
                  .established = now};
  // The peer was only late, by a line that stood still: its session goes on.
  if (!rekeying_ && tunnel.has_session() && !tunnel.unheard(now)) {
    attempt_.reset();
    tries_ = 0;
    next_attempt_ = now;
    return true;
  }
  if (rekeying_) {
    tunnel.rotate_keys(std::move(epoch), now);
  } else {
    tunnel.set_observed(payload.observed);
    tunnel.begin_session(SessionIndex{attempt_->sender_index()},
                         SessionIndex{payload.session_index}, payload.features, std::move(epoch),
                         now);
  }
  const Duration early{static_cast<std::int64_t>(entropy_.u64() % 10'000'000'000)};
  tunnel.set_rekey_at(now + rekey_after - early);
  attempt_.reset();
  tries_ = 0;
  next_attempt_ = now;
  return true;
}

void HandshakeInitiator::handle_cookie(Tunnel& tunnel, const Path& path, Bytes datagram,
                                       Instant now) {
  Mac cookie{};
  if (!attempt_ || attempt_->read_cookie(datagram, cookie) != HandshakeError::none) return;
  for (const Link* link : tunnel.links_with_path()) {
    // The socket tells the link; where exactly the responder answered from is its affair.
    if (link->path.socket != path.socket || link->path.remote.family != path.remote.family)
      continue;
    std::optional<KnownCookie>& known = cookies_[index_of(link->id)];
    const bool fresh = known && now - known->since < cookie_life && known->cookie == cookie;
    known = KnownCookie{cookie, link->path, now};
    if (!fresh) send_on(*link);
  }
}

Instant HandshakeInitiator::deadline(const Tunnel& tunnel, Instant now) const {
  switch (wanted(tunnel, now)) {
    case Want::nothing: return tunnel.next_handshake();
    case Want::session:
    case Want::rekey: break;
  }
  if (tunnel.links_with_path().empty()) return never;
  return std::min(next_attempt_, next_link_);
}

}  // namespace mwtun
