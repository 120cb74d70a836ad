#include "cli/history.hpp"

#include "cli/status_fill.hpp"

namespace mwtun {

void History::link_left(PeerId peer, LinkId link, LinkReason reason, Instant at) {
  peers_[index_of(peer)].links[index_of(link)] = {true, reason, at};
}

void History::fill(PeerId id, PeerStatus& peer, Instant now) {
  Peer& history = peers_[index_of(id)];
  if (history.since == Instant{} || history.state != peer.state) {
    history.state = peer.state;
    history.since = now;
  }
  peer.state_age_ms = std::chrono::duration_cast<milliseconds>(now - history.since).count();
  for (LinkStatus& link : peer.links) {
    const LastDown& last = history.links[link.id];
    if (!last.happened) continue;
    link.last_down_reason = reason_word(last.reason);
    link.last_down_age_ms = std::chrono::duration_cast<milliseconds>(now - last.at).count();
  }
}

}  // namespace mwtun
