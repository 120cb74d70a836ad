#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/packet.hpp"
#include "dataplane/node.hpp"
#include "support/seeded_entropy.hpp"
#include "support/sim_net.hpp"

namespace mwtun::test {

struct TunnelOptions {
  std::uint64_t seed = 1;
  SchedulerKind scheduler = SchedulerKind::adaptive;
  std::optional<Cipher> cipher;
  std::uint16_t mtu = 1500;
  Limits limits;
  std::vector<LinkConfig> links;  ///< One a line; names are given where empty.
  Duration wake_late_max{};       ///< How late an event loop may wake.
  std::size_t slabs_max = 24 * 1024;
};

/// The hosts joined by a tunnel: two real nodes with real cryptography over the given lines.
class TunnelNet final : public FrameNet, public LineUser, public Settler {
 public:
  TunnelNet(Agenda& agenda, std::vector<DuplexLine*> lines, const TunnelOptions& options);
  ~TunnelNet() override;

  MutableBytes room(Side from) override;
  void send(Side from, std::uint32_t bytes) override;
  void arrive(std::size_t line, Side at, const Packet& packet, bool corrupt, Instant now) override;
  /// Sends and delivers all that the nodes have ready.
  void settle(Instant now) override;

  /// The client's interface goes away, or comes back.
  void take_interface(std::size_t line);
  void give_interface(std::size_t line);
  PeerReport report(Side at) const;
  /// Frames that found no slab.
  std::uint64_t refused(Side at) const { return end(at).refused; }
  std::uint64_t sessions_lost() const { return sessions_lost_; }

 private:
  struct End final : Actor {
    End(TunnelNet& net_, Side side_, std::uint64_t seed, std::size_t slabs_max)
        : net(net_), side(side_), slabs(2048, slabs_max), entropy(seed) {}
    void act(Instant now) override;
    TunnelNet& net;
    Side side;
    SlabPool slabs;
    SeededEntropy entropy;
    std::unique_ptr<Node> node;
    Duration clock_offset{};
    Instant armed = never;
    std::size_t actor = 0;
    Frame frame;  // Being written.
    std::vector<DeliveredFrame> delivered;
    bool dirty = false;
    std::uint64_t refused = 0;
  };
  End& end(Side side) { return side == Side::client ? *client_ : *server_; }
  const End& end(Side side) const { return side == Side::client ? *client_ : *server_; }
  Instant local(const End& it) const { return agenda_.now() + it.clock_offset; }
  Path path_towards(Side at, std::size_t line) const;
  NodeConfig config_of(Side side) const;
  void drain(End& it);
  void rearm(End& it);

  Agenda& agenda_;
  std::vector<DuplexLine*> lines_;
  TunnelOptions options_;
  Prng chance_;
  std::unique_ptr<End> client_, server_;
  std::array<std::uint8_t, datagram_bytes_max> room_{};
  std::uint64_t sessions_lost_ = 0;
};

}  // namespace mwtun::test
