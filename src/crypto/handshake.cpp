#include "crypto/handshake.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "crypto/cookie.hpp"

namespace mwtun {

namespace {

constexpr std::string_view protocol_name = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b";

constexpr NoisePattern ik_psk2 = [] {
  using enum NoiseToken;
  NoisePattern pattern;
  pattern.responder_pre = {s};
  pattern.messages[0] = {e, es, s, ss};
  pattern.messages[1] = {e, ee, se, psk};
  pattern.message_count = 2;
  pattern.psk = true;
  return pattern;
}();

constexpr std::size_t header_bytes = 8;
constexpr std::size_t initiation_payload_bytes = 64, response_payload_bytes = 48;
constexpr std::size_t initiation_noise_bytes = 160, response_noise_bytes = 96;
constexpr std::size_t initiation_mac1_at = 168, initiation_mac2_at = 184;
constexpr std::size_t response_noise_at = 12, response_mac1_at = 108, response_reserved_at = 124;
static_assert(header_bytes + initiation_noise_bytes == initiation_mac1_at);
static_assert(initiation_mac1_at + mac_bytes == initiation_mac2_at);
static_assert(initiation_mac2_at + mac_bytes == initiation_bytes);
static_assert(response_noise_at + response_noise_bytes == response_mac1_at);

constexpr std::uint8_t flag_rekey = 1;

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

PublicKey key_at(Bytes datagram, std::size_t at) {
  PublicKey key;
  const Bytes from = datagram.subspan(at, key.bytes.size());
  std::copy(from.begin(), from.end(), key.bytes.begin());
  return key;
}

/// Binds name, wire version and the initiation's clear header into the handshake.
std::array<std::uint8_t, 40> prologue(Bytes initiation_header) {
  std::array<std::uint8_t, 40> bytes{};
  constexpr std::string_view name = "mwtun/1 udp-l2";
  std::copy(name.begin(), name.end(), bytes.begin());
  bytes[30] = wire_version;
  std::copy_n(initiation_header.begin(), header_bytes, bytes.begin() + 32);
  return bytes;
}

void write_mac(const Secret<32>& key, Bytes datagram_until_mac, MutableBytes mac) {
  blake2b(key.view(), {datagram_until_mac}, mac);
}

HandshakeError check_envelope(const Secret<32>& mac1_key, Bytes datagram) {
  if (datagram.empty()) return HandshakeError::bad_size;
  const std::uint8_t type = datagram[0] & 0x0f;
  if (type != initiation_type && type != response_type) return HandshakeError::bad_type;
  const bool initiation = type == initiation_type;
  if (datagram.size() != (initiation ? initiation_bytes : response_bytes)) {
    return HandshakeError::bad_size;
  }
  if (datagram[0] != type) return HandshakeError::bad_reserved;
  if (datagram[1] != wire_version) return HandshakeError::bad_version;
  if (!all_zero(datagram.subspan(2, 2))) return HandshakeError::bad_reserved;
  if (!initiation && !all_zero(datagram.subspan(response_reserved_at))) {
    return HandshakeError::bad_reserved;
  }
  const std::size_t mac1_at = initiation ? initiation_mac1_at : response_mac1_at;
  Mac expected;
  write_mac(mac1_key, datagram.first(mac1_at), expected);
  if (!equal_constant_time(expected, datagram.subspan(mac1_at, mac_bytes))) {
    return HandshakeError::bad_mac1;
  }
  if (sender_index_of(datagram) == 0) return HandshakeError::wrong_index;
  return HandshakeError::none;
}

bool may_be_sent(const InitiationPayload& payload) {
  const bool session_named = payload.resume_index != 0;
  return (payload.ciphers & cipher_bit(Cipher::chacha20_poly1305)) != 0 && payload.links_max >= 1 &&
         payload.links_max <= links_max && payload.epoch <= 3 && payload.rekey == session_named &&
         (payload.rekey || payload.epoch == 0);
}

void write_payload(const InitiationPayload& payload, MutableBytes out) {
  Writer writer(out);
  writer.u64(payload.freshness_ns);
  writer.u64(payload.instance);
  writer.u64(payload.features);
  writer.u16(payload.ciphers);
  writer.u8(payload.links_max);
  writer.u8(payload.rekey ? flag_rekey : 0);
  writer.u16(payload.mtu);
  writer.u8(payload.epoch);
  writer.u8(0);
  writer.u32(payload.resume_index);
  writer.zeros(writer.room());
}

bool read_payload(Bytes bytes, InitiationPayload& payload) {
  Reader reader(bytes);
  payload.freshness_ns = reader.u64();
  payload.instance = reader.u64();
  payload.features = reader.u64();
  payload.ciphers = reader.u16();
  payload.links_max = reader.u8();
  const std::uint8_t flags = reader.u8();
  payload.rekey = (flags & flag_rekey) != 0;
  payload.mtu = reader.u16();
  payload.epoch = reader.u8();
  const std::uint8_t reserved = reader.u8();
  payload.resume_index = reader.u32();
  return reader.ok() && (flags & ~flag_rekey) == 0 && reserved == 0 && may_be_sent(payload);
}

void write_address(const Address& address, Writer& writer) {
  if (address.family == Family::v4) {
    writer.zeros(10);
    writer.u16(0xffff);
    writer.bytes(Bytes(address.ip).first(4));
  } else {
    writer.bytes(address.ip);
  }
  writer.u16(address.port);
}

Address read_address(Reader& reader) {
  Address address;
  const Bytes ip = reader.take(16);
  address.port = reader.u16();
  if (!reader.ok() || all_zero(ip)) return {};
  if (all_zero(ip.first(10)) && ip[10] == 0xff && ip[11] == 0xff) {
    address.family = Family::v4;
    std::copy_n(ip.begin() + 12, 4, address.ip.begin());
  } else {
    address.family = Family::v6;
    std::copy_n(ip.begin(), 16, address.ip.begin());
  }
  return address;
}

void write_payload(const ResponsePayload& payload, MutableBytes out) {
  Writer writer(out);
  writer.u64(payload.features);
  writer.u16(cipher_bit(payload.cipher));
  writer.u8(payload.links_max);
  writer.u8(0);
  writer.u16(payload.mtu);
  writer.u8(payload.epoch);
  writer.u8(0);
  writer.u64(payload.instance);
  write_address(payload.observed, writer);
  writer.u32(payload.session_index);
  writer.zeros(writer.room());
}

/// What a response must not say to this offer.
HandshakeError check_answer(const InitiationPayload& offer, const ResponsePayload& answer) {
  if ((cipher_bit(answer.cipher) & offer.ciphers) == 0) return HandshakeError::wrong_cipher;
  if ((answer.features & ~offer.features) != 0 || answer.links_max < 1 ||
      answer.links_max > offer.links_max) {
    return HandshakeError::bad_payload;
  }
  if (answer.epoch != offer.epoch) return HandshakeError::wrong_epoch;
  // A rekey goes on with the session it named.
  if (answer.session_index == 0 || (offer.rekey && answer.session_index != offer.resume_index)) {
    return HandshakeError::wrong_index;
  }
  return HandshakeError::none;
}

HandshakeError read_payload(Bytes bytes, const InitiationPayload& offer, ResponsePayload& payload) {
  Reader reader(bytes);
  payload.features = reader.u64();
  const std::uint16_t cipher = reader.u16();
  payload.links_max = reader.u8();
  std::uint8_t reserved = reader.u8();
  payload.mtu = reader.u16();
  payload.epoch = reader.u8();
  reserved |= reader.u8();
  payload.instance = reader.u64();
  payload.observed = read_address(reader);
  payload.session_index = reader.u32();
  if (!reader.ok() || reserved != 0) return HandshakeError::bad_payload;
  if (cipher == cipher_bit(Cipher::chacha20_poly1305)) {
    payload.cipher = Cipher::chacha20_poly1305;
  } else if (cipher == cipher_bit(Cipher::aes_256_gcm)) {
    payload.cipher = Cipher::aes_256_gcm;
  } else {
    return HandshakeError::wrong_cipher;
  }
  return check_answer(offer, payload);
}

}  // namespace

const char* to_string(HandshakeError error) {
  switch (error) {
    case HandshakeError::none:
      return "none";
    case HandshakeError::bad_size:
      return "bad size";
    case HandshakeError::bad_type:
      return "bad type";
    case HandshakeError::bad_version:
      return "bad version";
    case HandshakeError::bad_reserved:
      return "bad reserved bytes";
    case HandshakeError::bad_mac1:
      return "bad mac1";
    case HandshakeError::bad_key:
      return "bad public key";
    case HandshakeError::undecryptable:
      return "undecryptable";
    case HandshakeError::bad_payload:
      return "bad payload";
    case HandshakeError::wrong_index:
      return "wrong index";
    case HandshakeError::wrong_cipher:
      return "wrong cipher";
    case HandshakeError::wrong_epoch:
      return "wrong epoch";
  }
  return "unknown";
}

HandshakeError check_mac1(const Identity& receiver, Bytes datagram) {
  return check_envelope(receiver.receiver_keys().mac1(), datagram);
}

std::uint32_t sender_index_of(Bytes datagram) {
  MWTUN_ASSERT(datagram.size() >= header_bytes);
  return load_le32(datagram.data() + 4);
}

std::uint32_t receiver_index_of(Bytes datagram) {
  if (datagram.size() == response_bytes && datagram[0] == response_type) {
    return load_le32(datagram.data() + 8);
  }
  if (datagram.size() == cookie_bytes && datagram[0] == cookie_type) {
    return load_le32(datagram.data() + 4);
  }
  return 0;
}

Initiation::Initiation(HandshakeState noise, ReceiverKeys ours, ReceiverKeys theirs)
    : noise_(std::move(noise)), our_keys_(std::move(ours)), their_keys_(std::move(theirs)) {}

std::optional<Initiation> Initiation::start(const Identity& identity, const PublicKey& peer,
                                            const PresharedKey& psk, std::uint32_t sender_index,
                                            const InitiationPayload& payload, Entropy& entropy) {
  if (sender_index == 0 || !may_be_sent(payload)) return std::nullopt;
  std::array<std::uint8_t, initiation_bytes> datagram{};
  const MutableBytes bytes = datagram;
  Writer header(bytes.first(header_bytes));
  header.u8(initiation_type);
  header.u8(wire_version);
  header.u16(0);
  header.u32(sender_index);

  const auto bound = prologue(header.written());
  NoiseSetup setup;
  setup.pattern = &ik_psk2;
  setup.protocol_name = protocol_name;
  setup.initiator = true;
  setup.prologue = bound;
  setup.static_key = &identity.private_key();
  setup.static_public_key = &identity.public_key();
  setup.remote_static = &peer;
  std::optional<HandshakeState> noise = HandshakeState::start(setup);
  MWTUN_ASSERT(noise.has_value());
  noise->add_psk(psk);

  std::array<std::uint8_t, initiation_payload_bytes> plain;
  write_payload(payload, plain);
  if (!noise->write_message(plain, bytes.subspan(header_bytes, initiation_noise_bytes), entropy)) {
    return std::nullopt;
  }
  Initiation attempt(std::move(*noise), identity.receiver_keys().clone(), ReceiverKeys(peer));
  write_mac(attempt.their_keys_.mac1(), bytes.first(initiation_mac1_at),
            bytes.subspan(initiation_mac1_at, mac_bytes));
  attempt.sender_index_ = sender_index;
  attempt.payload_ = payload;
  attempt.datagram_ = datagram;
  return attempt;
}

void Initiation::write(MutableBytes out200, const std::optional<Mac>& cookie) const {
  MWTUN_ASSERT(out200.size() == initiation_bytes);
  std::copy(datagram_.begin(), datagram_.end(), out200.begin());
  if (cookie) {
    blake2b(*cookie, {out200.first(initiation_mac2_at)},
            out200.subspan(initiation_mac2_at, mac_bytes));
  }
}

HandshakeError Initiation::read_response(Bytes datagram, ResponsePayload& payload,
                                         SessionKeys& keys) const {
  if (!datagram.empty() && (datagram[0] & 0x0f) != response_type) return HandshakeError::bad_type;
  if (const auto error = check_envelope(our_keys_.mac1(), datagram);
      error != HandshakeError::none) {
    return error;
  }
  if (receiver_index_of(datagram) != sender_index_) return HandshakeError::wrong_index;
  if (!canonical_public_key(key_at(datagram, response_noise_at))) return HandshakeError::bad_key;

  HandshakeState noise = noise_.clone();
  std::array<std::uint8_t, response_payload_bytes> plain;
  if (!noise.read_message(datagram.subspan(response_noise_at, response_noise_bytes), plain)) {
    return HandshakeError::undecryptable;
  }
  ResponsePayload answer;
  if (const auto error = read_payload(plain, payload_, answer); error != HandshakeError::none) {
    return error;
  }
  if (answer.session_index != sender_index_of(datagram)) return HandshakeError::wrong_index;
  payload = answer;
  noise.split(keys.send, keys.receive);
  keys.handshake_hash = noise.handshake_hash();
  return HandshakeError::none;
}

HandshakeError Initiation::read_cookie(Bytes datagram, Mac& cookie) const {
  if (datagram.empty()) return HandshakeError::bad_size;
  if ((datagram[0] & 0x0f) != cookie_type) return HandshakeError::bad_type;
  if (datagram.size() != cookie_bytes) return HandshakeError::bad_size;
  if (datagram[0] != cookie_type) return HandshakeError::bad_reserved;
  if (datagram[1] != wire_version) return HandshakeError::bad_version;
  if (!all_zero(datagram.subspan(2, 2))) return HandshakeError::bad_reserved;
  if (receiver_index_of(datagram) != sender_index_) return HandshakeError::wrong_index;
  XNonce nonce;
  std::copy_n(datagram.begin() + 8, nonce.size(), nonce.begin());
  Mac opened;
  if (!xchacha_open(their_keys_.cookie(), nonce,
                    Bytes(datagram_).subspan(initiation_mac1_at, mac_bytes), datagram.subspan(32),
                    opened)) {
    return HandshakeError::undecryptable;
  }
  cookie = opened;
  return HandshakeError::none;
}

HandshakeError ReceivedInitiation::read(const Identity& identity, Bytes datagram,
                                        std::optional<ReceivedInitiation>& out) {
  out.reset();
  if (datagram.size() != initiation_bytes) return HandshakeError::bad_size;
  if (datagram[0] != initiation_type) return HandshakeError::bad_type;
  const PublicKey ephemeral = key_at(datagram, header_bytes);
  if (!canonical_public_key(ephemeral)) return HandshakeError::bad_key;

  const auto bound = prologue(datagram.first(header_bytes));
  NoiseSetup setup;
  setup.pattern = &ik_psk2;
  setup.protocol_name = protocol_name;
  setup.prologue = bound;
  setup.static_key = &identity.private_key();
  setup.static_public_key = &identity.public_key();
  std::optional<HandshakeState> noise = HandshakeState::start(setup);
  MWTUN_ASSERT(noise.has_value());
  std::array<std::uint8_t, initiation_payload_bytes> plain;
  if (!noise->read_message(datagram.subspan(header_bytes, initiation_noise_bytes), plain)) {
    return HandshakeError::undecryptable;
  }
  if (!canonical_public_key(*noise->remote_static())) return HandshakeError::bad_key;
  InitiationPayload payload;
  if (!read_payload(plain, payload)) return HandshakeError::bad_payload;

  ReceivedInitiation received(std::move(*noise));
  received.peer_ = *received.noise_.remote_static();
  received.ephemeral_ = ephemeral;
  received.payload_ = payload;
  received.sender_index_ = sender_index_of(datagram);
  out.emplace(std::move(received));
  return HandshakeError::none;
}

bool ReceivedInitiation::respond(const PresharedKey& psk, const ResponsePayload& payload,
                                 Entropy& entropy, MutableBytes out140, SessionKeys& keys) {
  MWTUN_ASSERT(out140.size() == response_bytes);
  if (noise_.finished() || check_answer(payload_, payload) != HandshakeError::none) return false;
  noise_.add_psk(psk);
  Writer header(out140);
  header.u8(response_type);
  header.u8(wire_version);
  header.u16(0);
  header.u32(payload.session_index);
  header.u32(sender_index_);
  std::array<std::uint8_t, response_payload_bytes> plain;
  write_payload(payload, plain);
  if (!noise_.write_message(plain, out140.subspan(response_noise_at, response_noise_bytes),
                            entropy)) {
    return false;
  }
  write_mac(ReceiverKeys(peer_).mac1(), out140.first(response_mac1_at),
            out140.subspan(response_mac1_at, mac_bytes));
  std::fill(out140.begin() + response_reserved_at, out140.end(), std::uint8_t{0});
  noise_.split(keys.receive, keys.send);
  keys.handshake_hash = noise_.handshake_hash();
  return true;
}

}  // namespace mwtun
