#include "dataplane/handshake_responder.hpp"

#include <algorithm>

namespace mwtun {

static constexpr Duration half_open_life = seconds(10);
static constexpr unsigned cookies_per_second = 20;

HandshakeResponder::Verdict HandshakeResponder::handle(ReceivedInitiation& initiation,
                                                       bool mac2_valid, const Path& from,
                                                       std::uint32_t fresh_index,
                                                       const Tunnel& tunnel,
                                                       HandshakeDatagram& answer, Instant now) {
  const Bytes ephemeral = initiation.ephemeral();
  answer.path = from;
  answer.size = response_bytes;
  for (HalfOpen& half : half_open_) {
    if (!std::ranges::equal(half.ephemeral, ephemeral)) continue;
    if (half.repeats_left == 0) return Verdict::dropped;
    --half.repeats_left;
    std::ranges::copy(half.response, answer.bytes.begin());
    return Verdict::answered;
  }
  const InitiationPayload& offer = initiation.payload();
  const bool remembered = std::ranges::any_of(
      remembered_, [&](const auto& known) { return std::ranges::equal(known, ephemeral); });
  if (remembered) return Verdict::wants_cookie;
  // After a restart nothing is known to be fresh: then only who can be reached there is believed.
  const bool fresher = freshest_ns_ != 0 && offer.freshness_ns > freshest_ns_;
  if (!fresher && !mac2_valid) return Verdict::wants_cookie;
  const std::optional<Cipher> cipher = choose_cipher(offer.ciphers, ciphers_, peer_.cipher);
  if (!cipher) return Verdict::dropped;
  if (offer.rekey) {
    if (!tunnel.has_session() || value_of(tunnel.session().local) != offer.resume_index ||
        value_of(tunnel.session().remote) != initiation.sender_index() ||
        offer.epoch != (tunnel.session().epoch() + 1) % wire::epochs) {
      return Verdict::dropped;
    }
  } else if (offer.epoch != 0) {
    return Verdict::dropped;
  }
  ResponsePayload payload;
  payload.features = offer.features & tunnel.features();
  payload.cipher = *cipher;
  payload.links_max = offer.links_max;
  payload.mtu = peer_.mtu;
  payload.epoch = offer.epoch;
  payload.instance = instance_;
  payload.observed = from.remote;
  payload.session_index = offer.rekey ? offer.resume_index : fresh_index;
  std::array<std::uint8_t, response_bytes> response{};
  SessionKeys keys;
  if (!initiation.respond(peer_.preshared_key, payload, entropy_, response, keys)) {
    return Verdict::dropped;
  }
  freshest_ns_ = std::max(freshest_ns_, offer.freshness_ns);
  std::ranges::copy(ephemeral, remembered_[next_remembered_++ % remembered_max].begin());
  if (half_open_.size() == half_open_max) half_open_.erase(half_open_.begin());
  const AeadProvider provider = providers_.of(*cipher);
  HalfOpen half{.response = response,
                .local_index = payload.session_index,
                .remote_index = initiation.sender_index(),
                .features = payload.features,
                .rekey = offer.rekey,
                .keys = {.epoch = offer.epoch,
                         .send = AeadKey(*cipher, keys.send, provider),
                         .receive = AeadKey(*cipher, keys.receive, provider),
                         .established = now},
                .since = now};
  std::ranges::copy(ephemeral, half.ephemeral.begin());
  half_open_.push_back(std::move(half));
  std::ranges::copy(response, answer.bytes.begin());
  return Verdict::answered;
}

bool HandshakeResponder::may_send_cookie(const InitiationPayload& offer, const Path& to,
                                         Instant now) {
  // Recordings sent again from many sources use the budget up; the peer's own next try is younger
  // than all of them.
  if (offer.freshness_ns > youngest_ns_) {
    youngest_ns_ = offer.freshness_ns;
    return true;
  }
  unsigned recent = 0;
  for (const CookieSent& sent : cookies_sent_) {
    if (sent.at == Instant::min() || now - sent.at >= seconds(1)) continue;
    ++recent;
    if (sent.to == to.remote) return false;
  }
  if (recent >= cookies_per_second) return false;
  cookies_sent_[next_cookie_sent_++ % cookies_sent_.size()] = {to.remote, now};
  return true;
}

bool HandshakeResponder::knows(std::uint32_t index) const {
  return std::ranges::any_of(half_open_,
                             [&](const HalfOpen& half) { return half.local_index == index; });
}

bool HandshakeResponder::confirm(const wire::DataHeader& header, Bytes datagram, Tunnel& tunnel,
                                 Instant now) {
  std::array<std::uint8_t, datagram_bytes_max> scratch;
  if (datagram.size() > scratch.size()) return false;
  const std::size_t content_bytes = datagram.size() - wire::header_bytes - wire::tag_bytes;
  for (std::size_t i = half_open_.size(); i-- > 0;) {
    HalfOpen& half = half_open_[i];
    if (half.local_index != value_of(header.receiver) || half.keys.epoch != header.epoch) continue;
    const std::uint64_t nonce = wire::nonce_number(header.link, header.number_low);
    if (!half.keys.receive.open(nonce, datagram.first(wire::header_bytes),
                                datagram.subspan(wire::header_bytes),
                                MutableBytes(scratch).first(content_bytes))) {
      continue;
    }
    HalfOpen confirmed = std::move(half);
    // All other attempts were for what this one has now begun.
    half_open_.clear();
    if (confirmed.rekey) {
      tunnel.rotate_keys(std::move(confirmed.keys), now);
    } else {
      tunnel.begin_session(SessionIndex{confirmed.local_index},
                           SessionIndex{confirmed.remote_index}, confirmed.features,
                           std::move(confirmed.keys), now);
    }
    return true;
  }
  return false;
}

void HandshakeResponder::expire(Instant now) {
  std::erase_if(half_open_,
                [&](const HalfOpen& half) { return now - half.since >= half_open_life; });
}

Instant HandshakeResponder::deadline() const {
  Instant first = never;
  for (const HalfOpen& half : half_open_) first = std::min(first, half.since + half_open_life);
  return first;
}

}  // namespace mwtun
