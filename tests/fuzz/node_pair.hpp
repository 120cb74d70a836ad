#pragma once
#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/node.hpp"
#include "support/frame_maker.hpp"
#include "support/seeded_entropy.hpp"

namespace mwtun::test {

/// A datagram between the ends of a NodePair.
struct PairDatagram {
  bool to_server = false;
  Path path;
  std::vector<std::uint8_t> bytes;
};

/// A server and a client with two links, and what each sent the other in a list: nothing arrives
/// unless somebody delivers it. Only for fuzzing: aborts when a frame comes out that did not go in.
class NodePair {
 public:
  NodePair();

  Node& server() { return *server_; }
  Node& client() { return *client_; }
  Instant now() const { return now_; }
  /// Moves time and runs what is due at both ends.
  void advance(Duration time);
  /// Delivers what is on its way, and what that causes, at most `rounds` times.
  void exchange(int rounds);
  void deliver(const PairDatagram& datagram);
  void send_frame(bool from_client, FlowKind kind, std::size_t bytes);
  std::deque<PairDatagram>& on_their_way() { return on_their_way_; }
  Path path_at_server(std::size_t link) const;
  Path path_at_client(std::size_t link) const;

  static PrivateKey server_key();
  static PrivateKey client_key();
  static NodeConfig server_config();

 private:
  void drain(bool server);

  Instant now_ = Instant{} + seconds(5000);
  SeededEntropy entropy_{7};
  SlabPool server_slabs_{2048, 4096}, client_slabs_{2048, 4096};
  std::unique_ptr<Node> server_, client_;
  std::deque<PairDatagram> on_their_way_;
  std::vector<std::uint8_t> room_ = std::vector<std::uint8_t>(datagram_bytes_max);
  std::array<std::vector<bool>, 64> delivered_;  // By flow: server's and client's, of each kind.
};

}  // namespace mwtun::test
