#include <catch2/catch.hpp>

#include "cli/status_fill.hpp"
#include "sample_status.hpp"

using namespace mwtun;

namespace {

PeerStatus peer_with(const std::vector<std::string>& link_states, bool session = true) {
  PeerStatus peer;
  peer.name = "p";
  for (const std::string& state : link_states) {
    LinkStatus link;
    link.name = "l" + std::to_string(peer.links.size());
    link.state = state;
    peer.links.push_back(link);
  }
  settle_peer_state(peer, session);
  return peer;
}

TunnelState state_of(const std::vector<TunnelState>& states) {
  StatusReport report;
  for (const TunnelState state : states) report.peers.emplace_back().state = state;
  return report.state();
}

}  // namespace

TEST_CASE("a peer is up when all its links are, degraded while one carries, else down") {
  CHECK(peer_with({"up", "up"}).state == TunnelState::up);
  CHECK(peer_with({"up", "up"}).reason.empty());
  CHECK(peer_with({"up", "down"}).state == TunnelState::degraded);
  CHECK(peer_with({"up", "down"}).reason == "link l1 is down");
  CHECK(peer_with({"lossy", "up", "probing"}).reason == "link l2 is probing");
  CHECK(peer_with({"lossy"}).state == TunnelState::degraded);
  CHECK(peer_with({"down", "probing"}).state == TunnelState::down);
  CHECK(peer_with({"down"}).reason == "no link works; link l0 is down");
  CHECK(peer_with({}).state == TunnelState::down);
}

TEST_CASE("a link with the role never does not degrade its peer") {
  PeerStatus peer = peer_with({"up", "down"});
  peer.links[1].role = "never";
  settle_peer_state(peer, true);
  CHECK(peer.state == TunnelState::up);
}

TEST_CASE("without a session the end with the endpoint connects and the other waits") {
  PeerStatus peer = peer_with({"probing"}, false);
  CHECK(peer.state == TunnelState::down);
  CHECK(peer.reason == "not connected; waiting for it");
  peer.endpoint = "vps:4649";
  settle_peer_state(peer, false);
  CHECK(peer.state == TunnelState::connecting);
  CHECK(peer.reason == "no answer from vps:4649 yet");
}

TEST_CASE("the whole is up when every peer is and down when none is") {
  using enum TunnelState;
  CHECK(state_of({up, up}) == up);
  CHECK(state_of({up, down}) == degraded);
  CHECK(state_of({degraded, connecting}) == degraded);
  CHECK(state_of({connecting, down}) == connecting);
  CHECK(state_of({down}) == down);
  CHECK(state_of({}) == down);
}

TEST_CASE("the codes of status --check are 0 up, 1 degraded, 2 down") {
  StatusReport report;
  report.tunnel = "home";
  CHECK(status_check_code(report) == 2);
  CHECK(status_line(report) == "home: down: no peer is configured");
  report.peers = {peer_with({"up"})};
  CHECK(status_check_code(report) == 0);
  CHECK(status_line(report) == "home: up");
  report.peers = {peer_with({"up", "down"})};
  CHECK(status_check_code(report) == 1);
  CHECK(status_line(report) == "home: degraded: p: link l1 is down");
  report.peers = {peer_with({"down"})};
  CHECK(status_check_code(report) == 2);
}

TEST_CASE("shares add up to the whole and are zero when nothing flows") {
  std::vector<LinkStatus> links(3);
  settle_shares(links);
  CHECK(links[0].send_share_percent == 0);
  links[0].send_bps = 300, links[1].send_bps = 100;
  links[2].receive_bps = UINT64_MAX / 4;
  settle_shares(links);
  CHECK(links[0].send_share_percent == 75);
  CHECK(links[1].send_share_percent == 25);
  CHECK(links[2].send_share_percent == 0);
  CHECK(links[2].receive_share_percent == 100);
}

TEST_CASE("ages read as a clock and days") {
  CHECK(format_age(-5) == "0 s");
  CHECK(format_age(59'999) == "59 s");
  CHECK(format_age(67'000) == "1:07");
  CHECK(format_age(3'600'000) == "1:00:00");
  CHECK(format_age(274'325'000) == "3 d 04:12");
}

TEST_CASE("of one worker nobody is told") {
  StatusReport report = sample_status();
  CHECK(status_table(report, {false, true}).find("worker") != std::string::npos);
  report.workers = 1;
  CHECK(status_table(report, {false, true}).find("worker") == std::string::npos);
}

TEST_CASE("the table says which link is bad, and why, in aligned columns with units") {
  CHECK(status_table(sample_status(), {false, true}) ==
        // clang-format off
        "home  degraded  client for 3 d 04:12  mwtun 0.1.0\n"
        "\n"
        "vps  degraded 3 d 04:00  vps.example.net:4649  ↓ 41.0  ↑ 8.83 Mbit/s\n"
        "  link wifi is down: no address or interface to send from; the log says which\n"
        "  mwt0 (tap, carrier on, MTU 1500), adaptive, aes-256-gcm, key 1:07 old, worker 3 of 4\n"
        "  LINK  DEVICE  STATE        FOR  ↓ Mbit/s  ↑ now/can  SHARE ↓/↑      RTT      M"
        "IN      VAR   LOSS ↓/↑  BYTES  REMOTE             NOTE\n"
        "  dsl   ppp0    up          6:00      36.9  7.60/18.3    90/86 %  18.2 ms  17.1 "
        "ms  0.42 ms  <0.01/0 %   1464  198.51.100.7:4649  answers are overdue; fails oft"
        "en: held back for 12 s; shared: others fill the line; 12.3 GB of 50.0 GB this m"
        "onth; was down 6:01 ago: the far end does not answer on this link\n"
        "  lte   wwan0   lossy        4 s      4.10     1.23/–    10/14 %   147 ms  44.0 "
        "ms   9.0 ms   –/12.3 %   1252  198.51.100.7:4649  loses too many datagrams; used"
        " when nothing better is there; used only if others fail; metered\n"
        "  wifi  –       down   1 d 01:01         –          –          –        –       "
        " –        –          –      –  –                  no address or interface to sen"
        "d from; the log says which\n"
        "  received 2000000 frames (123 GB), 900 of them joined to 30 super-frames, sent 1"
        "000000 frames (1.5 GB), 77 marked to slow down\n"
        "  dropped: queue-full 3, replayed 1\n"
        "\n"
        "dropped, of no peer: forged 2\n");
  // clang-format on
}

TEST_CASE("without UTF-8 the table is plain ASCII, and colour adds nothing but colour") {
  const std::string plain = status_table(sample_status(), {false, false});
  for (const char c : plain) CHECK((c == '\n' || (c >= ' ' && c <= '~')));
  CHECK(plain.find("rx Mbit/s") != std::string::npos);

  std::string coloured = status_table(sample_status(), {true, false});
  CHECK(coloured.find("\x1b[31mdown\x1b[0m") != std::string::npos);
  for (std::size_t at; (at = coloured.find('\x1b')) != std::string::npos;) {
    coloured.erase(at, coloured.find('m', at) - at + 1);
  }
  CHECK(coloured == plain);
}

TEST_CASE("a link's name cannot move the cursor of whoever reads the table") {
  StatusReport report = sample_status();
  report.peers[0].links[0].name = "\x1b[2Jboo\n";
  const std::string table = status_table(report, {false, true});
  CHECK(table.find('\x1b') == std::string::npos);
  CHECK(table.find("?[2Jboo?") != std::string::npos);
}

TEST_CASE("the core's report becomes a status in this interface's words") {
  const Instant now{seconds(500)};
  PeerEntry entry;
  entry.name = "vps";
  entry.interface = "mwt0";
  entry.endpoint = parse_host_port("vps.example.net:4649").value();
  entry.links.resize(2);
  entry.links[1].device = "wwan0";

  PeerReport report;
  report.session = true;
  report.session_since = now - seconds(90);
  report.key_since = now - seconds(30);
  report.rekeys = 1;
  report.cipher = Cipher::aes_256_gcm;
  report.mtu = 1400;
  report.frames = {10, 1000, 20, 2000, 3, 8, 2};
  report.drops.add(Drop::queue_full, 7);
  report.links.resize(2);
  report.links[0].id = LinkId{0};
  report.links[0].config.name = "dsl";
  report.links[0].state = LinkState::up;
  report.links[0].reason = LinkReason::validated;
  report.links[0].since = now - milliseconds(1500);
  report.links[0].path.remote = parse_address("198.51.100.7:4649");
  report.links[0].rtt = milliseconds(20);
  report.links[0].rtt_min = milliseconds(18);
  report.links[0].rtt_var = microseconds(700);
  report.links[0].loss_ppm = 11;
  report.links[0].delivered_bps = 5'000'000;
  report.links[0].counters.datagrams_out = 1;
  report.links[0].capacity_bps = 20'000'000;
  report.links[0].pacing_bps = 21'000'000;
  report.links[0].queue = microseconds(1500);
  report.links[0].contested = true;
  report.links[1].id = LinkId{1};
  report.links[1].config.name = "lte";
  report.links[1].config.role = LinkRole::backup;
  report.links[1].state = LinkState::down;
  report.links[1].reason = LinkReason::silent;
  report.links[1].since = now;

  const PeerStatus status = peer_status(report, entry, now);
  CHECK(status.state == TunnelState::degraded);
  CHECK(status.reason == "link lte is down: the far end does not answer on this link");
  CHECK(status.session_age_ms == 90'000);
  CHECK(status.key_age_ms == 30'000);
  CHECK(status.cipher == "aes-256-gcm");
  CHECK(status.inner_mtu_bytes == 1400);
  CHECK(status.endpoint == "vps.example.net:4649");
  CHECK(status.totals == TotalsStatus{10, 1000, 20, 2000, 3, 8, 2});
  CHECK(status.drops == std::vector<NamedCount>{{"queue-full", 7}});
  REQUIRE(status.links.size() == 2);
  const LinkStatus& dsl = status.links[0];
  CHECK(dsl.state == "up");
  CHECK(dsl.reason.empty());
  CHECK(dsl.state_age_ms == 1500);
  CHECK(dsl.local.empty());
  CHECK(dsl.remote == "198.51.100.7:4649");
  CHECK(dsl.rtt_us == 20'000);
  CHECK(dsl.rtt_min_us == 18'000);
  CHECK(dsl.rtt_variation_us == 700);
  CHECK(dsl.send_loss_ppm == 11u);
  CHECK(dsl.send_share_percent == 100);
  CHECK(dsl.capacity_bps == 20'000'000u);
  CHECK(dsl.pacing_bps == 21'000'000);
  CHECK(dsl.queue_us == 1500);
  CHECK(dsl.contested);
  const LinkStatus& lte = status.links[1];
  CHECK(lte.reason == "silent");
  CHECK(lte.role == "backup");
  CHECK(lte.device == "wwan0");
  CHECK_FALSE(lte.rtt_us.has_value());
  CHECK_FALSE(lte.send_loss_ppm.has_value());
  CHECK_FALSE(lte.capacity_bps.has_value());
}
