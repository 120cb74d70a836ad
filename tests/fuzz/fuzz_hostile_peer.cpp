// A server and a client that has the right keys and no manners: the input is the content of its
// datagrams.
#include <cstdlib>
#include <vector>

#include "crypto/handshake.hpp"
#include "crypto/init.hpp"
#include "dataplane/wire.hpp"
#include "fuzz/fuzz_input.hpp"
#include "fuzz/node_pair.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

/// What the client of the NodePair could do by hand.
class HostileClient {
 public:
  HostileClient() {
    MWTUN_ASSERT(crypto_start());
    server_ = std::make_unique<Node>(NodePair::server_config(), entropy_, slabs_, now_);
  }

  /// The handshake, with the cookie a new server asks for.
  bool connect() {
    const Identity identity(NodePair::client_key());
    InitiationPayload payload;
    payload.freshness_ns = 1, payload.instance = 2, payload.links_max = 16, payload.mtu = 1500;
    const PresharedKey none;
    const auto initiation = Initiation::start(identity, public_key_of(NodePair::server_key()), none,
                                              0x1234, payload, entropy_);
    if (!initiation) return false;
    std::optional<Mac> cookie;
    for (int attempt = 0; attempt < 3; ++attempt) {
      std::vector<std::uint8_t> datagram(initiation_bytes);
      initiation->write(datagram, cookie);
      receive(datagram, path_);
      for (const auto& answer : answers_) {
        Mac fresh{};
        if (initiation->read_cookie(answer, fresh) == HandshakeError::none) cookie = fresh;
        ResponsePayload response;
        SessionKeys keys;
        if (initiation->read_response(answer, response, keys) == HandshakeError::none) {
          index_ = response.session_index;
          send_key_.emplace(response.cipher, keys.send);
          return true;
        }
      }
      answers_.clear();
    }
    return false;
  }

  void send(std::uint8_t link, std::uint64_t number, Bytes content, const Path& path) {
    std::vector<std::uint8_t> datagram(wire::header_bytes + content.size() + wire::tag_bytes);
    Writer header(datagram);
    header.u8(4), header.u8(link), header.u32(index_), header.u32(number);
    const MutableBytes all(datagram);
    send_key_->seal(wire::nonce_number(LinkId{link}, number), all.first(wire::header_bytes),
                    content, all.subspan(wire::header_bytes));
    receive(datagram, path);
  }
  void receive(Bytes datagram, const Path& path) {
    server_->handle_datagram(path, datagram, now_, now_);
    drain();
  }
  void advance(Duration time) {
    const Instant until = now_ + time;
    for (int i = 0; i < 1000 && server_->poll_timeout() <= until; ++i) {
      now_ = std::max(now_, server_->poll_timeout());
      server_->handle_timeout(now_);
      drain();
      MWTUN_ASSERT(server_->poll_timeout() > now_);
    }
    now_ = until;
  }
  void server_sends(std::size_t bytes) {
    Frame frame;
    frame.slab = slabs_.take();
    if (!frame.slab) return;
    FlowShape shape;
    shape.kind = FlowKind::tcp4;
    frame.size =
        static_cast<std::uint32_t>(std::clamp<std::size_t>(bytes, frame_bytes_min(shape), 1514));
    make_frame(shape, ++frames_, frame.mutable_bytes());
    server_->handle_frame(PeerId{0}, std::move(frame), now_);
    drain();
  }
  const Path& path() const { return path_; }
  std::uint64_t next_number(std::uint8_t link) { return numbers_[link % links_max]++; }
  void skip(std::uint8_t link, std::uint64_t count) { numbers_[link % links_max] += count; }
  std::uint32_t stamp() const {
    return static_cast<std::uint32_t>(wire::stamp_units(now_) & 0xffffff);
  }

 private:
  void drain() {
    for (int i = 0; const auto out = server_->poll_datagram(room_, now_); ++i) {
      MWTUN_ASSERT(i < 100'000 && out->size > 0 && out->size <= room_.size());
      answers_.emplace_back(room_.begin(), room_.begin() + static_cast<std::ptrdiff_t>(out->size));
      if (answers_.size() > 8) answers_.erase(answers_.begin());
    }
    while (const auto frame = server_->poll_frame()) {
      // Whatever a peer says, what comes out is a frame that may be written to an interface.
      MWTUN_ASSERT(frame->frame.size >= 14);
      MWTUN_ASSERT(frame->frame.offset + frame->frame.size <= frame->frame.slab.capacity());
    }
    while (server_->poll_event()) {
    }
    const PeerReport report = server_->report(PeerId{0}, now_);
    MWTUN_ASSERT(report.links.size() <= links_max && report.bytes_held <= (64u << 20));
  }

  Instant now_ = Instant{} + seconds(5000);
  SeededEntropy entropy_{9};
  SlabPool slabs_{2048, 8192};
  std::unique_ptr<Node> server_;
  Path path_{SocketId{0}, parse_address("198.51.100.7:4649"), parse_address("192.0.2.1:1000")};
  std::optional<AeadKey> send_key_;
  std::uint32_t index_ = 0;
  std::array<std::uint64_t, links_max> numbers_{};
  std::uint64_t frames_ = 0;
  std::vector<std::vector<std::uint8_t>> answers_;
  std::vector<std::uint8_t> room_ = std::vector<std::uint8_t>(datagram_bytes_max);
};

void step(HostileClient& client, FuzzInput& input) {
  const std::uint8_t operation = input.byte();
  const std::uint8_t link = operation >> 4;
  switch (operation & 7) {
    case 0: return client.advance(milliseconds(input.byte()));
    case 1: return client.advance(milliseconds(50 * input.byte()));
    case 2: return client.skip(link, input.number(2));
    case 3: return client.server_sends(100 + input.byte() * 6u);
    case 4: {
      Path moved = client.path();
      moved.remote.port = static_cast<std::uint16_t>(1000 + input.byte());
      std::vector<std::uint8_t> content(wire::stamp_bytes);
      store_le(content.data(), client.stamp(), 3);
      const Bytes body = input.bytes(input.byte());
      content.insert(content.end(), body.begin(), body.end());
      return client.send(link, client.next_number(link), content, moved);
    }
    default: {
      // The stamp is right more often than not, so that what follows it is looked at.
      std::vector<std::uint8_t> content(wire::stamp_bytes);
      store_le(content.data(), (operation & 8) != 0 ? input.number(3) : client.stamp(), 3);
      const std::size_t size = input.byte();
      const Bytes body = input.bytes((operation & 7) == 7 ? size * 5 : size);
      content.insert(content.end(), body.begin(), body.end());
      return client.send(link, client.next_number(link), content, client.path());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  HostileClient client;
  // Without this the target would test nothing and nobody would notice.
  if (!client.connect()) std::abort();
  FuzzInput input(data, size);
  for (int steps = 0; !input.empty() && steps < 300; ++steps) step(client, input);
  client.advance(seconds(2));
  return 0;
}
