#include "cli/config_classes.hpp"

#include <catch2/catch.hpp>

#include "memory_keys.hpp"

using namespace mwtun;

namespace {

/// The classes begin in line 14.
std::string file(const std::string& classes, const std::string& peer = "tap = \"mwt0\"") {
  MemoryKeys started;
  return "private_key_file = \"own.key\"\nlisten = [\"[::]:4649\"]\n[[peer]]\nname = \"vps\"\n"
         "public_key = \"" +
         public_text_of_seed(7) + "\"\nendpoint = \"192.0.2.1:4649\"\n" + peer +
         "\n[[peer.link]]\nname = \"fibre\"\n[[peer.link]]\nname = \"lte\"\n"
         "[[peer.link]]\nname = \"spare\"\n" +
         classes;
}

std::string complaint(const std::string& text) {
  MemoryKeys keys;
  const Result<Config> config = parse_config(text, "home.toml", keys);
  return config ? "accepted" : config.error().message;
}

std::vector<TrafficRule> classes_of(const std::string& classes) {
  MemoryKeys keys;
  Result<Config> config = parse_config(file(classes), "home.toml", keys);
  INFO((config ? "" : config.error().message));
  REQUIRE(config.ok());
  CHECK(node_config(config.value(), 1, 1).peers[0].classes == config.value().peers[0].classes);
  return config.value().peers[0].classes;
}

}  // namespace

TEST_CASE("every key of a class is taken over, in the order of the file") {
  const auto rules = classes_of(
      "[[peer.class]]\n"
      "dscp = [46, \"ef\", \"cs5\", \"AF41\"]\n"
      "protocol = \"udp\"\n"
      "port = [5060, \"16384-32767\"]\n"
      "mac = [\"02:00:00:ab:CD:ef\", \"02-00-00-00-00-01\"]\n"
      "vlan = [10, \"0\"]\n"
      "scheduler = \"redundant\"\n"
      "[[peer.class]]\n"
      "protocol = [\"icmp\", 47, \"tcp\"]\n"
      "link = [\"spare\", \"fibre\"]\n"
      "[[peer.class]]\n"
      "port = 22\n"
      "scheduler = \"adaptive\"\n"
      "link = \"lte\"\n");
  REQUIRE(rules.size() == 3);
  CHECK(rules[0].dscp == (1ull << 46 | 1ull << 40 | 1ull << 34));
  CHECK(rules[0].protocols == std::vector<std::uint8_t>{17});
  CHECK(rules[0].ports == std::vector<PortRange>{{5060, 5060}, {16384, 32767}});
  CHECK(rules[0].macs == std::vector<MacAddress>{{2, 0, 0, 0xab, 0xcd, 0xef}, {2, 0, 0, 0, 0, 1}});
  CHECK(rules[0].vlans == std::vector<std::uint16_t>{10, 0});
  CHECK(rules[0].scheduler == SchedulerKind::redundant);
  CHECK(rules[0].links.empty());
  CHECK(rules[1].protocols == std::vector<std::uint8_t>{1, 58, 47, 6});
  CHECK_FALSE(rules[1].scheduler.has_value());
  CHECK(rules[1].links.bits() == 0b101);
  CHECK(rules[2].scheduler == SchedulerKind::adaptive);
  CHECK(rules[2].links.bits() == 0b010);
  CHECK(classes_of("").empty());
}

TEST_CASE("a bad class is refused where it stands, with what to write instead") {
  struct Bad {
    const char* text;
    const char* message;
  };
  for (const Bad& bad : {
           Bad{"dscp = 64\nscheduler = \"hash\"",
               "15:8: class 1 of peer \"vps\": dscp: \"64\" is not a DSCP; use a number from 0 to "
               "63 or a name"},
           Bad{"dscp = [\"ef\", \"af44\"]\nscheduler = \"hash\"",
               "15:15: class 1 of peer \"vps\": dscp: \"af44\" is not a DSCP"},
           Bad{"dscp = -1\nscheduler = \"hash\"", "15:8: class 1 of peer \"vps\": dscp: \"-1\""},
           Bad{"dscp = []\nscheduler = \"hash\"",
               "15:8: class 1 of peer \"vps\": dscp is empty; give a value or leave it out"},
           Bad{"dscp = 4.5\nscheduler = \"hash\"",
               "15:8: class 1 of peer \"vps\": dscp is a number with a fraction"},
           Bad{"dscp = [[46]]\nscheduler = \"hash\"",
               "15:9: class 1 of peer \"vps\": an entry of dscp is a list"},
           Bad{"protocol = \"upd\"\nscheduler = \"hash\"",
               "15:12: class 1 of peer \"vps\": protocol: \"upd\" is not a protocol"},
           Bad{"protocol = 256\nscheduler = \"hash\"",
               "15:12: class 1 of peer \"vps\": protocol: \"256\" is not a protocol"},
           Bad{"protocol = [1, 2, 3, 4, 5]\nscheduler = \"hash\"",
               "15:12: class 1 of peer \"vps\": protocol has 5 entries; at most 4 are taken"},
           Bad{"port = 65536\nscheduler = \"hash\"",
               "15:8: class 1 of peer \"vps\": port: \"65536\" is not a port; write 5060 or a "
               "range"},
           Bad{"port = \"20-10\"\nscheduler = \"hash\"",
               "15:8: class 1 of peer \"vps\": port: \"20-10\" runs backwards; write \"10-20\""},
           Bad{"port = \"10-\"\nscheduler = \"hash\"", "15:8: class 1 of peer \"vps\": port: "},
           Bad{"port = 22\nprotocol = \"icmp\"\nscheduler = \"hash\"",
               "15:8: class 1 of peer \"vps\": port never matches, as this protocol has no ports"},
           Bad{"mac = \"02:00:00:00:00\"\nscheduler = \"hash\"",
               "15:7: class 1 of peer \"vps\": mac: \"02:00:00:00:00\" is not a MAC address"},
           Bad{"mac = \"02:00:00:00:00:+1\"\nscheduler = \"hash\"",
               "15:7: class 1 of peer \"vps\": mac: "},
           Bad{"vlan = 4095\nscheduler = \"hash\"",
               "15:8: class 1 of peer \"vps\": vlan: \"4095\" is not a VLAN"},
           Bad{"vlan = 1\nscheduler = \"fast\"",
               "16:13: class 1 of peer \"vps\": scheduler = \"fast\" is unknown"},
           Bad{"vlan = 1\nlink = [\"fibre\", \"fiber\"]",
               "16:18: class 1 of peer \"vps\": there is no link \"fiber\"; this peer has "
               "\"fibre\", \"lte\" or \"spare\"; did you mean \"fibre\"?"},
           Bad{"scheduler = \"hash\"",
               "14:1: class 1 of peer \"vps\": says nothing of which frames it is for"},
           Bad{"vlan = 1", "14:1: class 1 of peer \"vps\": says nothing of how its frames travel"},
           Bad{"vlan = 1\ndport = 22\nscheduler = \"hash\"",
               "16:1: class 1 of peer \"vps\": unknown key \"dport\"; did you mean \"port\"?"},
       }) {
    INFO(bad.text);
    const std::string message = complaint(file("[[peer.class]]\n" + std::string(bad.text) + "\n"));
    CHECK(message.substr(0, 10 + std::string(bad.message).size()) ==
          "home.toml:" + std::string(bad.message));
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("classes need the end that connects, a tap for Ethernet's own, and a link in use") {
  const std::string rule = "[[peer.class]]\nmac = \"02:00:00:00:00:01\"\nlink = \"fibre\"\n";
  CHECK(complaint(file(rule)) == "accepted");
  CHECK(complaint(file(rule, "tun = \"mwt0\"")) ==
        "home.toml:15:7: class 1 of peer \"vps\": mac is of Ethernet, which a tun interface does "
        "not carry; use tap in place of tun");
  std::string unused = file(rule);
  unused.replace(unused.find("name = \"fibre\""), 0, "role = \"never\"\n");
  CHECK(complaint(unused) ==
        "home.toml:17:8: class 1 of peer \"vps\": link \"fibre\" has role = \"never\", so no class "
        "can use it");
  const std::string server =
      "private_key_file = \"own.key\"\nlisten = [\"[::]:4649\"]\n[[peer]]\n"
      "name = \"van\"\npublic_key = \"" +
      public_text_of_seed(7) +
      "\"\ntap = \"mwt0\"\n[[peer.class]]\nvlan = 1\nscheduler = \"hash\"\n";
  CHECK(complaint(server) ==
        "home.toml:7:1: peer \"van\": has classes but no endpoint; classes belong to the end that "
        "connects, and hold for both directions");
}

TEST_CASE("a 33rd class is refused") {
  std::string text;
  for (int i = 0; i < 33; ++i) text += "[[peer.class]]\nvlan = 1\nscheduler = \"hash\"\n";
  CHECK(complaint(file(text)) ==
        "home.toml:110:1: peer \"vps\": there are 33 [[peer.class]]; at most 32 are taken");
}

TEST_CASE("names of code points are those of the RFCs") {
  const auto dscp = [](const char* text) {
    const auto value = parse_dscp(text);
    return value ? int{value.value()} : -1;
  };
  CHECK(dscp("ef") == 46);
  CHECK(dscp("EF") == 46);
  CHECK(dscp("va") == 44);
  CHECK(dscp("le") == 1);
  CHECK(dscp("df") == 0);
  CHECK(dscp("cs0") == 0);
  CHECK(dscp("cs7") == 56);
  CHECK(dscp("af11") == 10);
  CHECK(dscp("af23") == 22);
  CHECK(dscp("af43") == 38);
  CHECK(dscp("63") == 63);
  for (const char* text : {"", "cs8", "cs", "af10", "af51", "af411", "0x2e", "46 ", "+1"}) {
    INFO(text);
    CHECK(dscp(text) == -1);
  }
}
