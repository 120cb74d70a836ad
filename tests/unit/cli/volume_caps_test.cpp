#include "cli/volume_caps.hpp"

#include <catch2/catch.hpp>
#include <fstream>

#include "memory_keys.hpp"
#include "temp_folder.hpp"

using namespace mwtun;

namespace {

constexpr CivilDate november{2026, 11, 20}, december{2026, 12, 1};
constexpr Instant start{seconds(1000)};

/// Two links, of which lte has 10 MB a month.
Config config_in(const TempFolder& folder, const std::string& lte_more = "",
                 const std::string& dsl_more = "") {
  MemoryKeys keys;
  const std::string text =
      "private_key_file = \"own.key\"\nstate_dir = \"" + folder.path() +
      "\"\n[[peer]]\nname = \"vps\"\npublic_key = \"" + public_text_of_seed(7) +
      "\"\nendpoint = \"192.0.2.1:4649\"\ntap = \"mwt0\"\n"
      "[[peer.link]]\nname = \"dsl\"\n" +
      dsl_more + "\n[[peer.link]]\nname = \"lte\"\nmonthly = \"10M\"\n" + lte_more;
  Result<Config> config = parse_config(text, "home.toml", keys);
  INFO((config ? "" : config.error().message));
  REQUIRE(config.ok());
  return config.take();
}

/// A core's report with these counters for lte.
std::vector<PeerReport> reports(std::uint64_t out, std::uint64_t in, std::uint64_t datagrams,
                                const char* remote = "192.0.2.1:4649") {
  std::vector<PeerReport> all(1);
  all[0].links.resize(2);
  all[0].links[0].id = LinkId{0};
  all[0].links[0].counters.bytes_out = 1'000'000'000;
  LinkReport& lte = all[0].links[1];
  lte.id = LinkId{1};
  lte.path.remote = parse_address(remote);
  lte.counters.bytes_out = out;
  lte.counters.bytes_in = in;
  lte.counters.datagrams_out = datagrams;
  lte.counters.datagrams_in = datagrams;
  return all;
}

std::vector<RoleChange> count(VolumeCaps& caps, const std::vector<PeerReport>& all,
                              CivilDate today = november, Instant now = start) {
  std::vector<RoleChange> changes;
  caps.count(all, today, now, changes);
  return changes;
}

}  // namespace

TEST_CASE("both directions count, each datagram with its IP and UDP headers") {
  const TempFolder folder;
  const Config config = config_in(folder);
  VolumeCaps caps(config);
  REQUIRE(caps.any());
  CHECK(count(caps, reports(1000, 2000, 10)).empty());
  CHECK(caps.records().at("vps/lte").bytes == 3000 + 20 * 28);
  // Counters go on, and only what is new counts: now over IPv6.
  count(caps, reports(1500, 2000, 11, "[2001:db8::1]:4649"));
  CHECK(caps.records().at("vps/lte").bytes == 3500 + 20 * 28 + 2 * 48);
  CHECK(caps.records().size() == 1);
}

TEST_CASE("a link that has used up its volume is taken out of use, once in words") {
  const TempFolder folder;
  const Config config = config_in(folder);
  VolumeCaps caps(config);
  CHECK(count(caps, reports(9'000'000, 0, 0)).empty());
  const auto lost = count(caps, reports(9'000'000, 1'000'000, 0));
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].peer == PeerId{0});
  CHECK(lost[0].link == LinkId{1});
  CHECK(lost[0].role == LinkRole::unused);
  CHECK(lost[0].worse);
  CHECK(lost[0].text ==
        "vps/lte: used up its monthly volume: 10000000 bytes, 10000000 are allowed; it carries no "
        "frames until 2026-12-01");
  CHECK(caps.role(PeerId{0}, LinkId{1}, LinkRole::backup) == LinkRole::unused);
  CHECK(caps.role(PeerId{0}, LinkId{0}, LinkRole::backup) == LinkRole::backup);
  // The far end may have missed it: said again every minute, silently.
  CHECK(count(caps, reports(9'000'000, 1'000'100, 0), november, start + seconds(59)).empty());
  const auto again = count(caps, reports(9'000'000, 1'000'200, 0), november, start + seconds(60));
  REQUIRE(again.size() == 1);
  CHECK(again[0].role == LinkRole::unused);
  CHECK(again[0].text.empty());
}

TEST_CASE("on the billing day the link has its own role again") {
  const TempFolder folder;
  const Config config = config_in(folder, "role = \"backup\"\nmonthly_day = 28");
  VolumeCaps caps(config);
  REQUIRE(count(caps, reports(20'000'000, 0, 0)).size() == 1);
  CHECK(count(caps, reports(20'000'000, 0, 0), {2026, 11, 27}, start + seconds(1)).empty());
  const auto back = count(caps, reports(20'000'000, 0, 0), {2026, 11, 28}, start + seconds(2));
  REQUIRE(back.size() == 1);
  CHECK(back[0].role == LinkRole::backup);
  CHECK_FALSE(back[0].worse);
  CHECK(back[0].text == "vps/lte: a new month of volume has begun; it carries frames again");
  CHECK(caps.records().at("vps/lte") == UsageRecord{{2026, 11}, 0});
}

TEST_CASE("the last link that is left stays out of use too, and the log says what that means") {
  const TempFolder folder;
  const Config config = config_in(folder, "", "role = \"never\"");
  VolumeCaps caps(config);
  const auto lost = count(caps, reports(20'000'000, 0, 0));
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].role == LinkRole::unused);
  CHECK(lost[0].text.find("No other link of vps is left, so nothing gets through") !=
        std::string::npos);
}

TEST_CASE("a restart goes on counting where the last run ended") {
  const TempFolder folder;
  const Config config = config_in(folder);
  {
    VolumeCaps caps(config);
    REQUIRE(caps.load().ok());
    count(caps, reports(6'000'000, 0, 0));
    CHECK(caps.unsaved());
    REQUIRE(caps.save(start).ok());
    CHECK_FALSE(caps.unsaved());
  }
  VolumeCaps caps(config);
  caps.restore(read_usage_file(config.usage_file).value(), november);
  // The counters of a new run begin at zero.
  CHECK(count(caps, reports(3'999'999, 0, 0)).empty());
  CHECK(count(caps, reports(4'000'000, 0, 0)).size() == 1);
  REQUIRE(caps.save(start).ok());

  VolumeCaps third(config);
  third.restore(read_usage_file(config.usage_file).value(), november);
  CHECK(third.role(PeerId{0}, LinkId{1}, LinkRole::normal) == LinkRole::unused);
  CHECK(third.reached_texts().size() == 1);
  CHECK(count(third, reports(0, 0, 0)).empty());
  VolumeCaps next_month(config);
  next_month.restore(read_usage_file(config.usage_file).value(), december);
  CHECK(next_month.role(PeerId{0}, LinkId{1}, LinkRole::normal) == LinkRole::normal);
}

TEST_CASE("what links without a volume once used is kept in the file") {
  const TempFolder folder;
  const Config config = config_in(folder);
  VolumeCaps caps(config);
  caps.restore({{"vps/sat", {{2026, 11}, 77}}, {"vps/lte", {{2026, 11}, 5}}}, november);
  CHECK(caps.records().at("vps/sat").bytes == 77);
  CHECK(caps.records().at("vps/lte").bytes == 5);
}

TEST_CASE("a broken file is told, and a sound one takes its place at once") {
  const TempFolder folder;
  const Config config = config_in(folder);
  folder.write("home.usage.json", "not JSON");
  VolumeCaps caps(config);
  const Result<void> loaded = caps.load();
  REQUIRE_FALSE(loaded.ok());
  CHECK(loaded.error().message.find("counted from zero") != std::string::npos);
  const std::string aside = config.usage_file + ".unread";
  CHECK(loaded.error().message.find("kept as " + aside) != std::string::npos);
  CHECK(std::ifstream(aside).good());
  CHECK(caps.save_due(start));
  REQUIRE(caps.save(start).ok());
  CHECK(read_usage_file(config.usage_file).ok());
}

TEST_CASE("the file is written once a minute at most, and not for idle probes") {
  const TempFolder folder;
  const Config config = config_in(folder);
  VolumeCaps caps(config);
  CHECK_FALSE(caps.save_due(start));
  count(caps, reports(200'000, 0, 0));
  CHECK(caps.save_due(start));
  REQUIRE(caps.save(start).ok());
  count(caps, reports(800'000, 0, 0));
  CHECK_FALSE(caps.save_due(start + seconds(59)));
  CHECK(caps.save_due(start + seconds(60)));
  REQUIRE(caps.save(start + seconds(60)).ok());
  count(caps, reports(899'000, 0, 0));
  CHECK_FALSE(caps.save_due(start + seconds(600)));
  CHECK(caps.unsaved());  // At exit it is written all the same.
  // That the link is lost is worth a write at once.
  count(caps, reports(20'000'000, 0, 0), november, start + seconds(601));
  CHECK(caps.save_due(start + seconds(61)));
}

TEST_CASE("status shows what was used, and a used-up link as the reason why a peer is degraded") {
  const TempFolder folder;
  const Config config = config_in(folder);
  VolumeCaps caps(config);
  count(caps, reports(4'000'000, 0, 0));
  PeerStatus peer;
  peer.links.resize(2);
  peer.links[0].name = "dsl", peer.links[1].name = "lte";
  for (LinkStatus& link : peer.links) link.state = "up";
  peer.links[1].id = 1;
  caps.fill(0, peer.links);
  settle_peer_state(peer, true);
  CHECK_FALSE(peer.links[0].monthly_max_bytes.has_value());
  CHECK(peer.links[1].monthly_used_bytes == 4'000'000u);
  CHECK(peer.links[1].monthly_max_bytes == 10'000'000u);
  CHECK(peer.state == TunnelState::up);

  count(caps, reports(12'000'000, 0, 0));
  caps.fill(0, peer.links);
  settle_peer_state(peer, true);
  CHECK(peer.links[1].role == "never");
  CHECK(peer.state == TunnelState::degraded);
  CHECK(peer.reason == "link lte used up its data volume");
  peer.links[0].role = "never";
  settle_peer_state(peer, true);
  CHECK(peer.state == TunnelState::down);
  CHECK(peer.reason == "no link works; link lte used up its data volume");

  StatusReport report;
  report.peers = {peer};
  const std::string table = status_table(report, {false, true});
  CHECK(table.find("carries no frames: 12.0 MB of 10.0 MB this month") != std::string::npos);
}
