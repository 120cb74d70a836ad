// The readers of the three handshake datagrams: on raw bytes, on genuine datagrams that were
// changed, and with payloads chosen by the input.
#include <array>
#include <cstdlib>

#include "crypto/cookie.hpp"
#include "crypto/handshake.hpp"
#include "crypto/init.hpp"
#include "fuzz/fuzz_input.hpp"
#include "support/seeded_entropy.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

PrivateKey key_of(std::uint64_t seed) {
  SeededEntropy entropy(seed);
  return generate_private_key(entropy);
}

/// Changes a few bytes; true when the datagram is another one now.
bool change(FuzzInput& input, MutableBytes datagram) {
  bool changed = false;
  for (int i = input.byte() % 4; i > 0; --i) {
    const std::uint8_t mask = input.byte();
    datagram[input.byte() % datagram.size()] ^= mask;
    changed |= mask != 0;
  }
  return changed;
}

void exchange(FuzzInput& input, const Identity& client, const Identity& server) {
  SeededEntropy entropy(input.byte());
  const PresharedKey psk = key_of(input.byte() % 2);
  InitiationPayload offer;
  offer.freshness_ns = input.number(8), offer.instance = input.number(8),
  offer.features = input.number(1);
  offer.ciphers = static_cast<std::uint16_t>(input.number(2));
  offer.links_max = input.byte(), offer.rekey = input.byte() % 2 == 1,
  offer.mtu = static_cast<std::uint16_t>(input.number(2));
  offer.epoch = input.byte() % 5;
  offer.resume_index = static_cast<std::uint32_t>(input.number(2));
  const auto initiation =
      Initiation::start(client, server.public_key(), psk, 1 + input.byte(), offer, entropy);
  if (!initiation) return;
  std::array<std::uint8_t, initiation_bytes> first{};
  initiation->write(first, std::nullopt);
  std::array<std::uint8_t, initiation_bytes> arrived = first;
  change(input, arrived);
  const bool changed = !std::equal(first.begin(), first.end() - mac_bytes, arrived.begin());
  if (check_mac1(server, arrived) != HandshakeError::none) {
    if (!changed) std::abort();
    return;
  }
  std::optional<ReceivedInitiation> received;
  if (ReceivedInitiation::read(server, arrived, received) != HandshakeError::none) return;
  // mac1 covers all but mac2, so this is what was sent; a payload that may be sent may be read.
  if (!(received->payload() == offer) || received->peer() != client.public_key()) std::abort();

  ResponsePayload answer;
  answer.session_index = offer.rekey ? offer.resume_index : 1u + input.byte();
  answer.epoch = offer.epoch, answer.mtu = static_cast<std::uint16_t>(input.number(2));
  answer.observed = parse_address("192.0.2.1:1000");
  std::array<std::uint8_t, response_bytes> second{};
  SessionKeys ours, theirs;
  if (!received->respond(psk, answer, entropy, second, ours)) std::abort();
  std::array<std::uint8_t, response_bytes> returned = second;
  const bool answer_changed = change(input, returned) && returned != second;
  ResponsePayload read;
  const HandshakeError error = initiation->read_response(returned, read, theirs);
  if ((error == HandshakeError::none) == answer_changed) std::abort();
  if (error == HandshakeError::none && (!ours.send.equals(theirs.receive) ||
                                        !ours.receive.equals(theirs.send) || !(read == answer))) {
    std::abort();
  }
  std::array<std::uint8_t, cookie_bytes> third{};
  Mac cookie{}, reread{};
  entropy.fill(cookie);
  write_cookie(server, first, cookie, entropy, third);
  const bool cookie_changed = change(input, third);
  if (initiation->read_cookie(third, reread) == HandshakeError::none && !cookie_changed &&
      reread != cookie)
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool started = crypto_start();
  if (!started) std::abort();
  static const Identity client(key_of(2)), server(key_of(1));
  FuzzInput input(data, size);
  if (input.byte() % 2 == 0) {
    exchange(input, client, server);
    return 0;
  }
  const Bytes raw = input.rest();
  static_cast<void>(check_mac1(server, raw));
  static_cast<void>(receiver_index_of(raw));
  std::optional<ReceivedInitiation> received;
  if (raw.size() == initiation_bytes && check_mac1(server, raw) == HandshakeError::none) {
    static_cast<void>(ReceivedInitiation::read(server, raw, received));
  }
  static SeededEntropy entropy(3);
  static const PresharedKey none;
  static const auto initiation =
      Initiation::start(client, server.public_key(), none, 77, InitiationPayload{1, 2}, entropy);
  ResponsePayload response;
  SessionKeys keys;
  Mac cookie{};
  if (initiation->read_response(raw, response, keys) == HandshakeError::none) std::abort();
  if (initiation->read_cookie(raw, cookie) == HandshakeError::none) std::abort();
  return 0;
}
