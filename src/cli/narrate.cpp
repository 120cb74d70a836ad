#include "cli/narrate.hpp"

#include <fmt/format.h>

#include "cli/status.hpp"
#include "cli/status_fill.hpp"
#include "dataplane/hold_down.hpp"

namespace mwtun {

std::string link_label(const Config& config, PeerId peer, LinkId link) {
  const PeerEntry& entry = config.peers[index_of(peer)];
  const std::size_t number = index_of(link);
  if (number < entry.links.size()) return entry.name + "/" + entry.links[number].link.name;
  return fmt::format("{}/link {}", entry.name, number);
}

static Narration narrate_link(const Event& event, const Config& config) {
  const std::string label = link_label(config, event.peer, event.link);
  const bool good = event.state == LinkState::up;
  std::string text =
      fmt::format("{}: {} (was {})", label, to_string(event.state), to_string(event.state_before));
  if (good && event.path.remote.known()) text += ", to " + to_string(event.path.remote);
  if (const std::string word = reason_word(event.reason); !good && !word.empty()) {
    text += ": " + link_reason_text(word);
  }
  const bool worse =
      event.state == LinkState::lossy ||
      (event.state == LinkState::down && event.reason != LinkReason::administrative &&
       event.state_before != LinkState::down);
  return {worse ? LogLevel::warn : LogLevel::info, LogClass::link, std::move(text)};
}

std::optional<Narration> narrate(const Event& event, const Config& config) {
  const PeerEntry& peer = config.peers[index_of(event.peer)];
  switch (event.kind) {
    case Event::Kind::session_up:
      return Narration{LogLevel::info, LogClass::peer, peer.name + ": session up"};
    case Event::Kind::session_down:
      return Narration{LogLevel::info, LogClass::peer,
                       fmt::format("{}: session ended: {}", peer.name, to_string(event.reason))};
    case Event::Kind::session_rekeyed:
      return Narration{LogLevel::debug, LogClass::peer,
                       fmt::format("{}: new keys, epoch {}", peer.name, event.value)};
    case Event::Kind::handshake_unanswered:
      return Narration{
          LogLevel::warn, LogClass::peer,
          fmt::format("{}: no answer to {} initiations. Is the server running and its port open? A "
                      "server also keeps silent when our public_key is not in its file, or when "
                      "public_key here is not its key",
                      peer.name, event.value)};
    case Event::Kind::handshake_mismatch:
      if (event.value == 1) {
        return Narration{
            LogLevel::error, LogClass::peer,
            fmt::format("{}: the server chose another cipher than this file's `cipher`; "
                        "use the same, or \"auto\", on both ends",
                        peer.name)};
      }
      return Narration{
          LogLevel::error, LogClass::peer,
          fmt::format("{}: the server answers, but its answer does not open with our keys: compare "
                      "preshared_key_file on both ends, and public_key with the server's key",
                      peer.name)};
    case Event::Kind::link_changed: return narrate_link(event, config);
    case Event::Kind::link_held:
      return Narration{
          LogLevel::warn, LogClass::link,
          fmt::format("{}: failed {} times in a minute; held back for {} s",
                      link_label(config, event.peer, event.link), HoldDown::failures, event.value)};
    case Event::Kind::link_moved:
      return Narration{LogLevel::info, LogClass::link,
                       fmt::format("{}: now at {}", link_label(config, event.peer, event.link),
                                   to_string(event.path.remote))};
    case Event::Kind::gso_given_up:
      return Narration{
          LogLevel::warn, LogClass::link,
          fmt::format("{}: datagrams vanish when the kernel cuts them from one piece (UDP GSO): "
                      "each leaves alone from now on, which costs CPU. A newer kernel or network "
                      "driver may not do that",
                      link_label(config, event.peer, event.link))};
    case Event::Kind::datagram_size_changed:
      return Narration{LogLevel::info, LogClass::link,
                       fmt::format("{}: datagrams of up to {} bytes pass",
                                   link_label(config, event.peer, event.link), event.value)};
  }
  return std::nullopt;
}

}  // namespace mwtun
