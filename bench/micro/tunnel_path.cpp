// The whole core, both ends, without a kernel: frames in, datagrams over, frames out, at virtual
// time. What it gives is the limit that the protocol itself sets on one core.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "base/prng.hpp"
#include "crypto/init.hpp"
#include "dataplane/node.hpp"
#include "dataplane/super_frame.hpp"

namespace mwtun {
namespace {

class PrngEntropy final : public Entropy {
 public:
  void fill(MutableBytes out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(prng_.next() >> 56);
  }

 private:
  Prng prng_{1};
};

/// Two nodes and one link between them, which loses nothing and delays by 20 µs.
class Pair {
 public:
  Pair() {
    medium_.set_larger(large_);
    slabs_.set_larger(medium_);
    if (!crypto_start()) std::abort();
    NodeConfig client, server;
    client.private_key = generate_private_key(entropy_);
    server.private_key = generate_private_key(entropy_);
    client.ciphers = server.ciphers = available_ciphers();
    client.wall_clock_ns = server.wall_clock_ns = 1;
    for (NodeConfig* config : {&client, &server}) {
      for (const AeadProvider provider : {AeadProvider::libcrypto, AeadProvider::ipsec_mb}) {
        if (available(provider, Cipher::aes_256_gcm)) config->providers.aes_256_gcm = provider;
      }
    }
    PeerConfig to_server, to_client;
    to_server.public_key = public_key_of(server.private_key);
    to_server.initiator = true;
    to_server.links.resize(1);
    to_client.public_key = public_key_of(client.private_key);
    client.peers.push_back(std::move(to_server));
    server.peers.push_back(std::move(to_client));
    ends_[0].emplace(std::move(client), entropy_, slabs_, now_);
    ends_[1].emplace(std::move(server), entropy_, slabs_, now_);
    ends_[0]->set_link_path({}, LinkId{0}, path(true), 1500, now_);
    for (int i = 0; i < 20'000; ++i) turn();
  }

  void send(Frame frame) { ends_[0]->handle_frame({}, std::move(frame), now_); }
  SlabPool& slabs() { return slabs_; }
  std::uint64_t bytes_out() const { return ends_[1]->report({}, now_).frames.bytes_out; }
  std::uint64_t datagrams() const {
    return ends_[0]->report({}, now_).links[0].counters.datagrams_out;
  }

  /// 20 µs: what was sent in the last turn arrives.
  void turn() {
    now_ += microseconds(20);
    std::swap(flying_, sent_);
    sent_.clear();
    arena_used_[turn_ & 1] = 0;
    for (const Flight& flight : flying_) {
      ends_[flight.to]->handle_datagram(path(flight.to == 0), flight.bytes, now_, now_);
    }
    for (std::size_t end = 0; end < 2; ++end) {
      if (ends_[end]->poll_timeout() <= now_) ends_[end]->handle_timeout(now_);
      std::vector<std::uint8_t>& arena = arenas_[turn_ & 1];
      std::size_t& used = arena_used_[turn_ & 1];
      while (arena.size() - used >= datagram_bytes_max) {
        const MutableBytes room = MutableBytes(arena).subspan(used);
        const auto datagram = ends_[end]->poll_datagram(room, now_);
        if (!datagram) break;
        sent_.push_back({1 - end, room.first(datagram->size)});
        used += datagram->size;
      }
      while (ends_[end]->poll_frame()) {
      }
      while (ends_[end]->poll_event()) {
      }
    }
    ++turn_;
  }

 private:
  struct Flight {
    std::size_t to = 0;
    Bytes bytes;
  };
  static Path path(bool client) {
    Address near, far;
    near.family = far.family = Family::v4;
    near.ip = {192, 0, 2, 1}, near.port = 1000;
    far.ip = {192, 0, 2, 2}, far.port = 4649;
    return client ? Path{SocketId{0}, near, far} : Path{SocketId{0}, far, near};
  }

  PrngEntropy entropy_;
  SlabPool large_{super_frame_bytes_max + 1, 512};
  SlabPool medium_{16 * 1024, 512};
  SlabPool slabs_{2048, 65'536};
  Instant now_{seconds(10)};
  std::optional<Node> ends_[2];
  std::vector<Flight> flying_, sent_;
  // What arrives in one turn was sent in the other's arena.
  std::vector<std::uint8_t> arenas_[2] = {std::vector<std::uint8_t>(8 << 20),
                                          std::vector<std::uint8_t>(8 << 20)};
  std::size_t arena_used_[2] = {};
  std::size_t turn_ = 0;
};

/// TCP over IPv4 with the checksum partial; a super-frame when the payload is more than a segment.
Frame tcp_frame(SlabPool& slabs, std::uint32_t payload) {
  Frame frame;
  frame.size = 54 + payload;
  frame.slab = slabs.take(frame.size);
  if (!frame.slab) return frame;
  std::uint8_t* at = frame.slab.data();
  std::memset(at, 0, frame.size);
  store_be16(at + 12, 0x0800);
  at[14] = 0x45, at[22] = 64, at[23] = 6;
  store_be16(at + 16, static_cast<std::uint16_t>(40 + payload));
  at[14 + 20 + 12] = 0x50;
  frame.offload.checksum_partial = true;
  frame.offload.gso_bytes = payload > 1448 ? 1448 : 0;
  rebuild_offload(frame);
  return frame;
}

void through_the_tunnel(benchmark::State& state) {
  Pair pair;
  const auto payload = static_cast<std::uint32_t>(state.range(0));
  const std::uint32_t frames = std::max(1u, 120'000u / payload);
  const auto turn = [&] {
    for (std::uint32_t i = 0; i < frames; ++i) {
      Frame frame = tcp_frame(pair.slabs(), payload);
      if (frame.slab) pair.send(std::move(frame));
    }
    pair.turn();
  };
  for (int i = 0; i < 100'000 && pair.bytes_out() < 200'000'000; ++i) turn();  // To full speed.
  const std::uint64_t bytes = pair.bytes_out(), datagrams = pair.datagrams();
  for (auto _ : state) turn();
  state.SetBytesProcessed(static_cast<std::int64_t>(pair.bytes_out() - bytes));
  state.SetItemsProcessed(static_cast<std::int64_t>(pair.datagrams() - datagrams));
}

BENCHMARK(through_the_tunnel)->Arg(60'000)->Arg(1448)->Arg(64)->UseRealTime();

}  // namespace
}  // namespace mwtun
