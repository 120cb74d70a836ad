#pragma once
#include <array>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "cli/status.hpp"
#include "dataplane/report.hpp"

namespace mwtun {

/// What only somebody who watches can tell of the peers and their links: for how long a peer has
/// been as it is, and when and why a link was last left.
class History {
 public:
  explicit History(std::size_t peers) : peers_(peers) {}

  void link_left(PeerId peer, LinkId link, LinkReason reason, Instant at);
  /// Fills `state_age_ms` of the peer and `last_down_*` of its links; to be called whenever the
  /// peer's state is looked at.
  void fill(PeerId id, PeerStatus& peer, Instant now);

 private:
  struct LastDown {
    bool happened = false;
    LinkReason reason{};
    Instant at{};
  };
  struct Peer {
    TunnelState state = TunnelState::down;
    Instant since{};
    std::array<LastDown, links_max> links{};
  };
  std::vector<Peer> peers_;  // Index: PeerId.
};

}  // namespace mwtun
