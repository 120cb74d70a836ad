#include "cli/history.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("a peer's age counts from the last change of its state, each peer for itself") {
  History history(2);
  const Instant start{seconds(100)};
  PeerStatus peer;
  peer.state = TunnelState::connecting;
  history.fill(PeerId{1}, peer, start);
  CHECK(peer.state_age_ms == 0);
  history.fill(PeerId{1}, peer, start + seconds(7));
  CHECK(peer.state_age_ms == 7000);
  PeerStatus other;
  history.fill(PeerId{0}, other, start + seconds(8));
  CHECK(other.state_age_ms == 0);
  peer.state = TunnelState::up;
  history.fill(PeerId{1}, peer, start + seconds(9));
  CHECK(peer.state_age_ms == 0);
  history.fill(PeerId{1}, peer, start + milliseconds(9500));
  CHECK(peer.state_age_ms == 500);
}

TEST_CASE("a link says when and why it was last left, and one that never was says nothing") {
  History history(1);
  const Instant start{seconds(100)};
  history.link_left(PeerId{0}, LinkId{1}, LinkReason::no_path, start);
  history.link_left(PeerId{0}, LinkId{1}, LinkReason::silent, start + seconds(3));
  PeerStatus peer;
  peer.links.resize(2);
  peer.links[0].id = 0, peer.links[1].id = 1;
  history.fill(PeerId{0}, peer, start + seconds(5));
  CHECK_FALSE(peer.links[0].last_down_age_ms.has_value());
  CHECK(peer.links[0].last_down_reason.empty());
  CHECK(peer.links[1].last_down_age_ms == 2000);
  CHECK(peer.links[1].last_down_reason == "silent");
}
