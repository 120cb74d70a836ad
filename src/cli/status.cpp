#include "cli/status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mwtun {

const char* to_string(TunnelState state) {
  switch (state) {
    case TunnelState::up: return "up";
    case TunnelState::degraded: return "degraded";
    case TunnelState::connecting: return "connecting";
    case TunnelState::down: return "down";
  }
  return "unknown";
}

TunnelState StatusReport::state() const {
  const auto count = [&](TunnelState state) {
    return static_cast<std::size_t>(std::count_if(
        peers.begin(), peers.end(), [&](const PeerStatus& peer) { return peer.state == state; }));
  };
  const std::size_t up = count(TunnelState::up);
  if (up > 0 && up == peers.size()) return TunnelState::up;
  if (up > 0 || count(TunnelState::degraded) > 0) return TunnelState::degraded;
  return count(TunnelState::connecting) > 0 ? TunnelState::connecting : TunnelState::down;
}

std::string StatusReport::reason() const {
  if (peers.empty()) return "no peer is configured";
  const PeerStatus* worst = nullptr;
  for (const PeerStatus& peer : peers) {
    if (peer.state == TunnelState::up) continue;
    if (worst == nullptr || peer.state > worst->state) worst = &peer;
  }
  if (worst == nullptr) return {};
  return fmt::format("{}: {}", worst->name,
                     worst->reason.empty() ? to_string(worst->state) : worst->reason);
}

static constexpr std::pair<std::string_view, std::string_view> reason_texts[] = {
    {"starting", "nothing tried so far"},
    {"no-path", "no address or interface to send from; the log says which"},
    {"no-session", "waiting for the handshake"},
    {"joining", "the far end has not answered on this link yet"},
    {"silent", "the far end does not answer on this link"},
    {"send-error", "the kernel refuses to send; check route and firewall"},
    {"high-loss", "loses too many datagrams; used when nothing better is there"},
    {"peer-no-path", "the far end has lost its address or interface there"},
    {"peer-closed", "the far end closed the session"},
    {"admin", "switched off by hand"},
    {"no-carrier", "the interface has no carrier; check the cable or modem"},
    {"no-route", "no route to the endpoint; check device and gateway"},
    {"no-dns", "the endpoint's name cannot be resolved"},
    {"over-cap", "used up its data volume"},
};

std::string link_reason_text(std::string_view reason) {
  for (const auto& [word, text] : reason_texts) {
    if (word == reason) return std::string(text);
  }
  return std::string(reason);
}

void settle_peer_state(PeerStatus& peer, bool session) {
  const LinkStatus* impaired = nullptr;
  const LinkStatus* used_up = nullptr;
  std::size_t carrying = 0;
  for (const LinkStatus& link : peer.links) {
    if (used_up == nullptr && link.reason == "over-cap") used_up = &link;
    if (link.role == "never") continue;
    const bool carries = link.state == "up" || link.state == "lossy";
    if (carries) ++carrying;
    if (link.state != "up" && (impaired == nullptr || !carries)) impaired = &link;
  }
  std::string blame;
  if (impaired != nullptr) {
    blame = fmt::format("link {} is {}{}", impaired->name, impaired->state,
                        impaired->reason.empty() ? "" : ": " + link_reason_text(impaired->reason));
  } else if (used_up != nullptr) {
    blame = fmt::format("link {} {}", used_up->name, link_reason_text(used_up->reason));
  }
  peer.reason.clear();
  if (session && carrying > 0) {
    peer.state = blame.empty() ? TunnelState::up : TunnelState::degraded;
    peer.reason = blame;
  } else if (!session) {
    // Whoever has the endpoint goes on trying; the other end can only wait.
    peer.state = peer.endpoint.empty() ? TunnelState::down : TunnelState::connecting;
    peer.reason = peer.endpoint.empty() ? "not connected; waiting for it"
                                        : fmt::format("no answer from {} yet", peer.endpoint);
  } else {
    peer.state = TunnelState::down;
    peer.reason = blame.empty() ? "no link is there" : "no link works; " + blame;
  }
}

static std::uint32_t share_of(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return 0;
  return static_cast<std::uint32_t>(100.0 * static_cast<double>(part) / static_cast<double>(whole) +
                                    0.5);
}

void settle_shares(std::vector<LinkStatus>& links) {
  std::uint64_t sent = 0, received = 0;
  for (const LinkStatus& link : links) sent += link.send_bps, received += link.receive_bps;
  for (LinkStatus& link : links) {
    link.send_share_percent = share_of(link.send_bps, sent);
    link.receive_share_percent = share_of(link.receive_bps, received);
  }
}

std::string status_line(const StatusReport& report) {
  const std::string reason = report.reason();
  return fmt::format("{}: {}{}{}", report.tunnel, to_string(report.state()),
                     reason.empty() ? "" : ": ", reason);
}

int status_check_code(const StatusReport& report) {
  switch (report.state()) {
    case TunnelState::up: return 0;
    case TunnelState::degraded: return 1;
    case TunnelState::connecting:
    case TunnelState::down: break;
  }
  return 2;
}

}  // namespace mwtun
