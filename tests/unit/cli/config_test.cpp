#include <catch2/catch.hpp>

#include "cli/config.hpp"
#include "memory_keys.hpp"

using namespace mwtun;

namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

/// A good file of eleven lines; the second, eighth and eleventh are the caller's.
std::string file(const std::string& top = "", const std::string& peer = "",
                 const std::string& link = "") {
  MemoryKeys started;
  return "private_key_file = \"own.key\"\n" + top +
         "\n"
         "[[peer]]\n"
         "name = \"vps\"\n"
         "public_key = \"" +
         public_text_of_seed(7) +
         "\"\n"
         "endpoint = \"192.0.2.1:4649\"\n"
         "tap = \"mwt0\"\n" +
         peer +
         "\n"
         "[[peer.link]]\n"
         "name = \"dsl\"\n" +
         link + "\n";
}
std::string top(const std::string& line) {
  return file(line);
}
std::string peer(const std::string& line) {
  return file("", line);
}
std::string link(const std::string& line) {
  return file("", "", line);
}
std::string without(const std::string& key) {
  const std::string text = file();
  const std::size_t at = text.find(key), end = text.find('\n', at);
  return replaced(text, text.substr(at, end - at), "");
}
std::string second_peer(const std::string& name, const std::string& public_key,
                        const std::string& tap) {
  return file() + "[[peer]]\nname = \"" + name + "\"\npublic_key = \"" + public_key +
         "\"\nendpoint = \"vps.example.net:4649\"\ntap = \"" + tap + "\"\n";
}

std::string complaint(const std::string& text) {
  MemoryKeys keys;
  const Result<Config> config = parse_config(text, "home.toml", keys);
  if (config) return "accepted";
  CHECK(config.error().exit_code == 78);
  return config.error().message;
}

Config good(const std::string& text) {
  MemoryKeys keys;
  Result<Config> config = parse_config(text, "/etc/mwtun/home.toml", keys);
  INFO((config ? "" : config.error().message));
  REQUIRE(config.ok());
  return config.take();
}

struct Bad {
  std::string text;
  std::string message;  // Begins like this, after "home.toml:".
};

/// Each must give exactly one complaint, at exactly this place.
void check_all(const std::vector<Bad>& cases) {
  for (const Bad& bad : cases) {
    INFO(bad.text);
    const std::string message = complaint(bad.text);
    CHECK(message.substr(0, 10 + bad.message.size()) == "home.toml:" + bad.message);
    CHECK(message.find('\n') == std::string::npos);
  }
}

}  // namespace

TEST_CASE("the shortest client file gets every default") {
  const Config config = good(replaced(file(), "[[peer.link]]\nname = \"dsl\"\n", ""));
  CHECK(config.name == "home");
  CHECK(config.file == "/etc/mwtun/home.toml");
  CHECK(config.control == "/run/mwtun/home.sock");
  CHECK(config.usage_file == "/var/lib/mwtun/home.usage.json");
  CHECK(config.log == LogLevel::info);
  CHECK(config.private_key.equals(key_of_seed(1)));
  CHECK(config.public_key == public_key_of(key_of_seed(1)));
  CHECK(config.listen.empty());
  REQUIRE(config.peers.size() == 1);
  const PeerEntry& peer = config.peers[0];
  CHECK(peer.name == "vps");
  CHECK(to_string(*peer.endpoint) == "192.0.2.1:4649");
  CHECK(peer.interface == "mwt0");
  CHECK(peer.interface_kind == InterfaceKind::tap);
  CHECK(peer.mtu == 1500);
  CHECK(peer.scheduler == SchedulerKind::adaptive);
  CHECK(peer.hash_fields == HashFields::l3_l4);
  CHECK_FALSE(peer.cipher.has_value());
  CHECK_FALSE(peer.has_preshared_key);
  REQUIRE(peer.links.size() == 1);
  CHECK(peer.links[0].link.name == "default");
  CHECK_FALSE(peer.links[0].bind.known());
}

TEST_CASE("a peer with an endpoint always has a link") {
  const std::string text = replaced(peer("link = []"), "[[peer.link]]\nname = \"dsl\"\n", "");
  CHECK(good(text).peers[0].links.size() == 1);
}

TEST_CASE("every key of the contract is taken over") {
  const Config config = good(
      "private_key_file = \"own.key\"\n"
      "control = \"/tmp/x.sock\"\n"
      "state_dir = \"/tmp/state/\"\n"
      "listen = [\"0.0.0.0:4649\", \"[::]:4649\"]\n"
      "log = \"debug\"\n"
      "[[peer]]\n"
      "name = \"vps\"\n"
      "public_key = \"" +
      public_text_of_seed(7) +
      "\"\n"
      "preshared_key_file = \"a.psk\"\n"
      "endpoint = \"vps.example.net:4649\"\n"
      "tun = \"mwt0\"\n"
      "address = [\"10.90.0.2/24\", \"fd00::2/64\"]\n"
      "mtu = 9000\n"
      "scheduler = \"hash\"\n"
      "hash = \"l2+3\"\n"
      "cipher = \"chacha20-poly1305\"\n"
      "[[peer.link]]\n"
      "name = \"fibre\"\n"
      "bind = \"192.0.2.10\"\n"
      "device = \"eth0\"\n"
      "gateway = \"192.0.2.1\"\n"
      "endpoint = \"198.51.100.7:4650\"\n"
      "weight = 1000\n"
      "priority = 255\n"
      "max_rate = \"300M/50.5M\"\n"
      "role = \"backup\"\n"
      "metered = true\n"
      "monthly = \"50G\"\n"
      "monthly_day = 28\n"
      "[[peer.link]]\n"
      "name = \"lte\"\n"
      "bind = \"2001:db8::10\"\n"
      "role = \"never\"\n"
      "[[peer]]\n"
      "name = \"laptop\"\n"
      "public_key = \"" +
      public_text_of_seed(8) +
      "\"\n"
      "tap = \"mwt1\"\n"
      "bridge = \"br-lan\"\n");
  CHECK(config.control == "/tmp/x.sock");
  CHECK(config.usage_file == "/tmp/state/home.usage.json");
  CHECK(config.log == LogLevel::debug);
  REQUIRE(config.listen.size() == 2);
  CHECK(to_string(config.listen[1]) == "[::]:4649");
  REQUIRE(config.peers.size() == 2);
  const PeerEntry& vps = config.peers[0];
  CHECK(vps.has_preshared_key);
  CHECK(vps.preshared_key.equals(key_of_seed(2)));
  CHECK(vps.endpoint->host == "vps.example.net");
  CHECK_FALSE(vps.endpoint->address.known());
  CHECK(vps.interface_kind == InterfaceKind::tun);
  REQUIRE(vps.addresses.size() == 2);
  CHECK(to_string(vps.addresses[0]) == "10.90.0.2/24");
  CHECK(to_string(vps.addresses[1]) == "fd00::2/64");
  CHECK(vps.mtu == 9000);
  CHECK(vps.scheduler == SchedulerKind::hash);
  CHECK(vps.hash_fields == HashFields::l2_l3);
  CHECK(vps.cipher == Cipher::chacha20_poly1305);
  REQUIRE(vps.links.size() == 2);
  const LinkEntry& fibre = vps.links[0];
  CHECK(to_string(fibre.bind) == "192.0.2.10");
  CHECK(fibre.device == "eth0");
  CHECK(to_string(fibre.gateway) == "192.0.2.1");
  CHECK(to_string(fibre.endpoint->address) == "198.51.100.7:4650");
  CHECK(fibre.link.weight == 1000);
  CHECK(fibre.link.priority == 255);
  CHECK(fibre.link.rate_down_bps_max == 300'000'000);
  CHECK(fibre.link.rate_up_bps_max == 50'500'000);
  CHECK(fibre.link.role == LinkRole::backup);
  CHECK(fibre.link.metered);
  CHECK(fibre.monthly_bytes_max == 50'000'000'000);
  CHECK(fibre.monthly_day == 28);
  CHECK(vps.links[1].monthly_bytes_max == 0);
  CHECK(vps.links[1].link.role == LinkRole::unused);
  CHECK_FALSE(config.peers[1].endpoint.has_value());
  CHECK(config.peers[1].bridge == "br-lan");
  CHECK(config.peers[1].links.empty());

  const NodeConfig node = node_config(config, 3, 42);
  CHECK(node.private_key.equals(config.private_key));
  CHECK(node.ciphers == 3);
  CHECK(node.wall_clock_ns == 42);
  REQUIRE(node.peers.size() == 2);
  CHECK(node.peers[0].initiator);
  CHECK(node.peers[0].preshared_key.equals(key_of_seed(2)));
  CHECK(node.peers[0].links[0].name == "fibre");
  CHECK_FALSE(node.peers[1].initiator);
}

TEST_CASE("a state folder that is not absolute is one beside the configuration") {
  CHECK(good(top("state_dir = \"state\"")).usage_file == "/etc/mwtun/state/home.usage.json");
  CHECK(good(top("state_dir = \"/\"")).usage_file == "/home.usage.json");
}

TEST_CASE("a bad value at the top of the file is refused where it stands") {
  const std::string long_path(120, 'x');
  check_all({
      {without("private_key_file"), "1:1: private_key_file is missing; make a key with"},
      {replaced(file(), "\"own.key\"", "\"none.key\""),
       "1:20: private_key_file: there is no key file none.key"},
      {replaced(file(), "\"own.key\"", "\"zero.key\""),
       "1:20: private_key_file: the key in \"zero.key\" is all zeros"},
      {replaced(file(), "\"own.key\"", "7"),
       "1:20: private_key_file is a whole number; write a text in quotes"},
      {replaced(file(), "\"own.key\"", "\"\""), "1:20: private_key_file is empty"},
      {replaced(file(), "\"own.key\"", "\"a\\u0000b\""),
       "1:20: private_key_file holds a control character"},
      {top("control = 1"), "2:11: control is a whole number"},
      {top("control = \"/run/" + long_path + "\""), "2:11: control: the path "},
      {top("control = \"/run/mwtun/\""), "2:11: control names a folder"},
      {top("workers = 0"), "2:11: workers is 0; "},
      {top("workers = 17"), "2:11: workers is 17; "},
      {top("workers = \"auto\""), "2:11: workers is a text"},
      {top("threads = 2"), "2:1: unknown key \"threads\"; did you mean \"workers\"?"},
      {top("nice = -21"), "2:8: nice is -21; "},
      {top("nice = 20"), "2:8: nice is 20; "},
      {top("nice = \"high\""), "2:8: nice is a text"},
      {top("profile = \"routr\""), "2:11: profile = \"routr\" is unknown"},
      {top("event_loop = \"uring\""),
       "2:14: event_loop = \"uring\" is unknown; use \"auto\", \"epoll\" or \"io_uring\""},
      {top("state_dir = 7"), "2:13: state_dir is a whole number; write a text in quotes"},
      {top("log = \"loud\""),
       "2:7: log = \"loud\" is unknown; use \"warn\", \"info\" or \"debug\""},
      {top("log = \"inof\""),
       "2:7: log = \"inof\" is unknown; use \"warn\", \"info\" or \"debug\"; did you mean "
       "\"info\"?"},
      {top("listen = \"0.0.0.0:4649\""),
       "2:10: listen is a text, not a list; write listen = [\"0.0.0.0:4649\"]"},
      {top("listen = [4649]"), "2:11: an entry of listen is a whole number"},
      {top("listen = [\"0.0.0.0\"]"), "2:11: listen: \"0.0.0.0\" has no port"},
      {top("listen = [\"0.0.0.0:0\"]"),
       "2:11: listen: \"0.0.0.0:0\" is not an address with a port"},
      {top("listen = [\"0.0.0.0:65536\"]"), "2:11: listen: \"0.0.0.0:65536\" is not an address"},
      {top("listen = [\"vps.example.net:4649\"]"),
       "2:11: listen: \"vps.example.net:4649\" is not an address"},
      {top("listen = [\"224.0.0.1:4649\"]"),
       "2:11: listen: \"224.0.0.1:4649\" is not an address of this host"},
      {top("listen = [\"[::]:1\",   \"[::]:1\"]"),
       "2:23: listen = [::]:1 is the same as in line 2"},
      {top("listen = []"), "2:10: listen is empty; give an address or leave it out"},
      {top("mtu = 1500"), "2:1: unknown key \"mtu\"; it belongs in [[peer]]"},
      {top("weight = 1"), "2:1: unknown key \"weight\"; it belongs in [[peer.link]]"},
      {top("colour = 1"), "2:1: unknown key \"colour\"; known here are \"private_key_file\", "},
      {"private_key_file = \"own.key\"\n", "1:1: there is no peer; add a [[peer]]"},
      {"private_key_file = \"own.key\"\npeer = 3\n",
       "2:8: peer is a whole number; write it as [[peer]]"},
      {"private_key_file = \"own.key\"\n[peer]\nname = \"x\"\n",
       "2:1: peer is a table; write it as [[peer]]"},
      {"private_key_file = \"own.key\"\npeer = [1]\n", "2:9: an entry of peer is a whole number"},
  });
}

TEST_CASE("a bad value of a peer is refused where it stands") {
  const std::string key = public_text_of_seed(7);
  const std::string other = public_text_of_seed(8);
  check_all({
      {without("name"), "3:1: peer 1: name is missing; add name = \"vps\""},
      {replaced(file(), "\"vps\"", "\"v p\""), "4:8: peer 1: name: \"v p\" is not a name"},
      {without("public_key"), "3:1: peer \"vps\": public_key is missing"},
      {replaced(file(), key, "abc"), "5:14: peer \"vps\": public_key: \"abc\" is not a key"},
      {replaced(file(), key, key.substr(0, 43)), "5:14: peer \"vps\": public_key: "},
      {replaced(file(), key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
       "5:14: peer \"vps\": public_key: \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" is not a "
       "key anyone can have"},
      {replaced(file(), key, "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
       "5:14: peer \"vps\": public_key: \"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" is not a "
       "key anyone can have"},
      {replaced(file(), key, public_text_of_seed(1)), "5:14: peer \"vps\": public_key is our own"},
      {peer("preshared_key_file = \"no.psk\""),
       "8:22: peer \"vps\": preshared_key_file: there is no key file"},
      {peer("preshared_key_file = \"zero.key\""),
       "8:22: peer \"vps\": preshared_key_file: the key in"},
      {replaced(file(), "192.0.2.1:4649", "192.0.2.1"),
       "6:12: peer \"vps\": endpoint: \"192.0.2.1\" has no port"},
      {replaced(file(), "192.0.2.1:4649", "vps:0"),
       "6:12: peer \"vps\": endpoint: \"vps:0\" needs a port"},
      {replaced(file(), "192.0.2.1:4649", "300.1.1.1:80"),
       "6:12: peer \"vps\": endpoint: \"300.1.1.1\" is neither"},
      {replaced(file(), "192.0.2.1:4649", "-vps:80"),
       "6:12: peer \"vps\": endpoint: \"-vps\" is neither"},
      {replaced(file(), "192.0.2.1:4649", "v_p..s:80"),
       "6:12: peer \"vps\": endpoint: \"v_p..s\" is neither"},
      {replaced(file(), "192.0.2.1:4649", "2001:db8::1"),
       "6:12: peer \"vps\": endpoint: \"2001:db8::1\" has no port"},
      {replaced(file(), "192.0.2.1:4649", "0.0.0.0:80"),
       "6:12: peer \"vps\": endpoint: \"0.0.0.0:80\" is not an address one can"},
      {without("tap"), "3:1: peer \"vps\": has no interface"},
      {peer("tun = \"mwt1\""), "8:7: peer \"vps\": has both tap and tun"},
      {replaced(file(), "\"mwt0\"", "\"abcdefghijklmnop\""),
       "7:7: peer \"vps\": tap: \"abcdefghijklmnop\" is not an interface name; use 1 to 15"},
      {replaced(file(), "\"mwt0\"", "\"a/b\""),
       "7:7: peer \"vps\": tap: \"a/b\" is not an interface name"},
      {replaced(file(), "\"mwt0\"", "\"mwt%d\""),
       "7:7: peer \"vps\": tap: \"mwt%d\" is not an interface name"},
      {replaced(file(), "\"mwt0\"", "\"..\""),
       "7:7: peer \"vps\": tap: \"..\" is not an interface name"},
      {peer("bridge = \"br lan\""),
       "8:10: peer \"vps\": bridge: \"br lan\" is not an interface name"},
      {peer("bridge = \"mwt0\""), "8:10: peer \"vps\": bridge and interface have the same name"},
      {replaced(peer("bridge = \"br0\""), "tap =", "tun ="),
       "8:10: peer \"vps\": bridge takes Ethernet"},
      {peer("address = \"10.90.0.2/24\""), "8:11: peer \"vps\": address is a text, not a list"},
      {peer("address = [\"10.90.0.2\"]"),
       "8:12: peer \"vps\": address: \"10.90.0.2\" has no prefix length"},
      {peer("address = [\"10.90.0.2/33\"]"),
       "8:12: peer \"vps\": address: \"10.90.0.2/33\" needs a prefix length from 1 to 32"},
      {peer("address = [\"10.90.0.0/24\"]"),
       "8:12: peer \"vps\": address: \"10.90.0.0/24\" names the network"},
      {peer("address = [\"10.90.0.255/24\"]"),
       "8:12: peer \"vps\": address: \"10.90.0.255/24\" names the network"},
      {peer("address = [\"10.90.0.2/24\", \"10.90.0.2/16\"]"),
       "8:28: peer \"vps\": address 10.90.0.2/16 is the same as in line 8"},
      {peer("address = [\"fd00::2/64\"]\nmtu = 1279"),
       "8:12: peer \"vps\": an IPv6 address needs an mtu of at least 1280"},
      {peer("mtu = 575"),
       "8:7: peer \"vps\": mtu is 575; it must be a whole number from 576 to 9000"},
      {peer("mtu = 9001"), "8:7: peer \"vps\": mtu is 9001"},
      {peer("mtu = -1500"), "8:7: peer \"vps\": mtu is -1500"},
      {peer("mtu = \"1500\""), "8:7: peer \"vps\": mtu is a text; it must be a whole number"},
      {peer("mtu = 1500.0"), "8:7: peer \"vps\": mtu is a number with a fraction"},
      {peer("scheduler = \"roundrobin\""),
       "8:13: peer \"vps\": scheduler = \"roundrobin\" is unknown; use \"adaptive\", "},
      {peer("hash = \"l4\""),
       "8:8: peer \"vps\": hash = \"l4\" is unknown; use \"l2\", \"l2+3\" or \"l3+4\""},
      {peer("cipher = \"aes-128-gcm\""),
       "8:10: peer \"vps\": cipher = \"aes-128-gcm\" is unknown; use \"auto\", "
       "\"chacha20-poly1305\" or \"aes-256-gcm\"; did you mean \"aes-256-gcm\"?"},
      {peer("psk = \"x\""),
       "8:1: peer \"vps\": unknown key \"psk\"; did you mean \"preshared_key_file\"?"},
      {peer("listen = [\"0.0.0.0:1\"]"),
       "8:1: peer \"vps\": unknown key \"listen\"; it belongs at the top of the file"},
      {second_peer("vps", other, "mwt1"),
       "13:8: peer \"vps\": name = \"vps\" is the same as in line 4"},
      {second_peer("b", key, "mwt1"), "14:14: peer \"b\": public_key is the same as in line 5"},
      {second_peer("b", other, "mwt0"),
       "16:7: peer \"b\": interface \"mwt0\" is the same as in line 7"},
      {replaced(second_peer("b", other, "mwt1"), "endpoint = \"vps.example.net:4649\"", ""),
       "12:1: peer \"b\": has no endpoint, and nothing listens for it"},
  });
}

TEST_CASE("a bad value of a link is refused where it stands") {
  check_all({
      {replaced(file(), "name = \"dsl\"", ""), "9:1: link 1 of peer \"vps\": name is missing"},
      {replaced(file(), "\"dsl\"", "\"\xc3\xa9\""),
       "10:8: link 1 of peer \"vps\": name: \"\xc3\xa9\" is not a name"},
      {replaced(file(), "\"dsl\"", "\"" + std::string(33, 'a') + "\""),
       "10:8: link 1 of peer \"vps\": name: "},
      {link("[[peer.link]]\nname = \"dsl\""),
       "12:8: link \"dsl\" of peer \"vps\": name = \"dsl\" is the same as in line 10"},
      {link("bind = \"192.0.2.256\""),
       "11:8: link \"dsl\" of peer \"vps\": bind: \"192.0.2.256\" is not an IP address"},
      {link("bind = \"192.0.2.1:80\""),
       "11:8: link \"dsl\" of peer \"vps\": bind: \"192.0.2.1:80\" has a port"},
      {link("bind = \"0.0.0.0\""),
       "11:8: link \"dsl\" of peer \"vps\": bind: \"0.0.0.0\" is not the address of one host"},
      {link("bind = \"2001:db8::1\""),
       "11:8: link \"dsl\" of peer \"vps\": bind 2001:db8::1 and endpoint 192.0.2.1:4649 are not "
       "both"},
      {link("device = \"this-is-too-long\""), "11:10: link \"dsl\" of peer \"vps\": device: "},
      {link("gateway = \"192.0.2.1\""),
       "11:11: link \"dsl\" of peer \"vps\": gateway needs bind or device"},
      {link("device = \"eth0\"\ngateway = \"eth1\""),
       "12:11: link \"dsl\" of peer \"vps\": gateway: \"eth1\" is not an IP address"},
      {link("endpoint = \"[2001:db8::1]:4649\"\nbind = \"2001:db8::2\"\ngateway = \"10.0.0.1\""),
       "13:11: link \"dsl\" of peer \"vps\": gateway 10.0.0.1 and endpoint"},
      {link("endpoint = \"[fe80::1]:4649\"\nbind = \"fe80::2\""),
       "12:8: link \"dsl\" of peer \"vps\": bind fe80::2 is link-local"},
      {link("endpoint = \"vps:4649\"\nbind = \"2001:db8::2\"\ngateway = \"10.0.0.1\""),
       "13:11: link \"dsl\" of peer \"vps\": gateway 10.0.0.1 and bind 2001:db8::2 are not both"},
      {link("endpoint = \"nowhere\""),
       "11:12: link \"dsl\" of peer \"vps\": endpoint: \"nowhere\" has no port"},
      {link("weight = 0"),
       "11:10: link \"dsl\" of peer \"vps\": weight is 0; it must be a whole number from 1 to "
       "1000"},
      {link("weight = 1001"), "11:10: link \"dsl\" of peer \"vps\": weight is 1001"},
      {link("priority = 256"),
       "11:12: link \"dsl\" of peer \"vps\": priority is 256; it must be a whole number from 0 to "
       "255"},
      {link("priority = true"), "11:12: link \"dsl\" of peer \"vps\": priority is true or false"},
      {link("role = \"spare\""),
       "11:8: link \"dsl\" of peer \"vps\": role = \"spare\" is unknown; use \"normal\", "
       "\"backup\" or \"never\""},
      {link("role = \"never\""), "9:1: peer \"vps\": every link has role = \"never\""},
      {link("metered = \"yes\""),
       "11:11: link \"dsl\" of peer \"vps\": metered is a text; write true or false"},
      {link("monthly = 50"),
       "11:11: link \"dsl\" of peer \"vps\": monthly is a whole number; write a text in quotes"},
      {link("monthly = \"50 GB\""),
       "11:11: link \"dsl\" of peer \"vps\": monthly: \"50 GB\" is not an amount of data; write "
       "\"50G\" or \"1.5T\""},
      {link("monthly = \"50\""),
       "11:11: link \"dsl\" of peer \"vps\": monthly: \"50\" is not between 1M and 1000T bytes"},
      {link("monthly = \"1G\"\nmonthly_day = 29"),
       "12:15: link \"dsl\" of peer \"vps\": monthly_day is 29; it must be a whole number from 1 "
       "to "
       "28"},
      {link("monthly_day = 5"),
       "11:15: link \"dsl\" of peer \"vps\": monthly_day means nothing without monthly"},
      {link("quota = \"1G\""),
       "11:1: link \"dsl\" of peer \"vps\": unknown key \"quota\"; did you mean \"monthly\"?"},
      {link("max_rate = \"300M\""),
       "11:12: link \"dsl\" of peer \"vps\": max_rate: \"300M\" is one rate where two are needed"},
      {link("max_rate = \"fast/slow\""),
       "11:12: link \"dsl\" of peer \"vps\": max_rate: \"fast/slow\" is not a pair"},
      {link("max_rate = \"300/50\""),
       "11:12: link \"dsl\" of peer \"vps\": max_rate: \"300/50\" has a rate outside"},
      {link("max_rate = \"1e9/50M\""),
       "11:12: link \"dsl\" of peer \"vps\": max_rate: \"1e9/50M\" is not a pair"},
      {link("max_rate = \"-5M/50M\""),
       "11:12: link \"dsl\" of peer \"vps\": max_rate: \"-5M/50M\" is not a pair"},
      {link("max_rate = \"9999G/50M\""),
       "11:12: link \"dsl\" of peer \"vps\": max_rate: \"9999G/50M\" has a rate outside"},
      {link("bandwidth = \"1M/1M\""),
       "11:1: link \"dsl\" of peer \"vps\": unknown key \"bandwidth\"; did you mean \"max_rate\"?"},
      {link("wieght = 2"),
       "11:1: link \"dsl\" of peer \"vps\": unknown key \"wieght\"; did you mean \"weight\"?"},
      {replaced(top("listen = [\"[::]:1\"]"), "endpoint = \"192.0.2.1:4649\"", ""),
       "9:1: peer \"vps\": has links but no endpoint"},
      {replaced(file(), "[[peer.link]]", "[peer.link]"),
       "9:1: peer \"vps\": link is a table; write it as [[peer.link]]"},
  });
}

TEST_CASE("what is not TOML is refused where it breaks off") {
  check_all({
      {"private_key_file = \"own.key\n", "1:28: not valid TOML: string"},
      {file() + "name = \"twice\"\n", "12:8: not valid TOML: "},
      {"= 1\n", "1:1: not valid TOML: "},
      {"a = [1, 2\n", "1:11: not valid TOML:"},
      {"a = 99999999999999999999\n", "1:25: not valid TOML: "},
      {"[[peer]]\n[peer]\n", "2:1: not valid TOML: "},
      {"a = [[[[[[[[[[1]]]]]]]]]]\n", "1:13: not valid TOML: "},
      {"[ = 1\n", "1:1: a bracket without a name"},
      {"a = 1\n [[\n", "2:1: a bracket without a name"},
      {"[\xc2\xa0x]\n", "1:1: a bracket without a name"},
      {"[[[x]]]\n", "1:1: a bracket without a name"},
      {"[]\n", "1:2: not valid TOML: "},
      {"\xff\xfe\x70\n", "1:1: a character outside quotes that is not ASCII"},
      {"a = \"\xff\"\n", "1:5: not valid TOML: "},
      {"\xef\xba\xbf", "1:1: a character outside quotes"},
      {"a = \"\xc3\xa9\" \xc3\xa9\n", "1:9: a character outside quotes"},
      {"a = \"\"\"\nb\"\"\"\n", "1:5: three quotes"},
      {"a = '''b'''\n", "1:5: three quotes"},
      {std::string("a = 1\nb\0 = 2\n", 13), "2:2: a zero byte; the file must be plain UTF-8 text"},
      {"a = 1\n" + std::string(4097, '#'), "2:1: the line has 4097 bytes; at most 4096 are read"},
      {"a = 1\n" + std::string(101, '.') + "\n",
       "2:101: more dots outside quotes than any key has"},
      {std::string((1 << 20) + 1, '\n'),
       "1:1: the file has 1048577 bytes; at most 1048576 are read"},
  });
}

TEST_CASE("every mistake is told in one go, in the order of the file") {
  const std::string message = complaint(
      "logg = \"info\"\n"
      "log = \"shout\"\n"
      "[[peer]]\n"
      "name = \"vps\"\n"
      "mtu = 1\n"
      "tap = \"mwt0\"\n"
      "tapp = \"mwt0\"\n");
  CHECK(message ==
        "home.toml:1:1: unknown key \"logg\"; did you mean \"log\"?\n"
        "home.toml:1:1: private_key_file is missing; make a key with \"mwtun genkey FILE\" and add "
        "private_key_file = \"FILE\"\n"
        "home.toml:2:7: log = \"shout\" is unknown; use \"warn\", \"info\" or \"debug\"\n"
        "home.toml:3:1: peer \"vps\": public_key is missing; add public_key = \"what mwtun pubkey "
        "prints at the "
        "other end\"\n"
        "home.toml:3:1: peer \"vps\": has no endpoint, and nothing listens for it; add endpoint = "
        "\"HOST:PORT\" "
        "here or listen = [\"0.0.0.0:4649\"] at the top of the file\n"
        "home.toml:5:7: peer \"vps\": mtu is 1; it must be a whole number from 576 to 9000\n"
        "home.toml:7:1: peer \"vps\": unknown key \"tapp\"; did you mean \"tap\"?");
}

TEST_CASE("a thousand mistakes are told as fifty and a count") {
  std::string text = file();
  for (int i = 0; i < 1000; ++i) text += "zzzzzzzz" + std::to_string(i) + " = 1\n";
  const std::string message = complaint(text);
  CHECK(std::count(message.begin(), message.end(), '\n') == 50);
  CHECK(message.find(": and 950 more") != std::string::npos);
}

TEST_CASE("a 17th link and a 1025th peer are refused") {
  std::string links = file();
  for (int i = 0; i < 16; ++i) links += "[[peer.link]]\nname = \"l" + std::to_string(i) + "\"\n";
  CHECK(complaint(links) ==
        "home.toml:42:1: peer \"vps\": there are 17 [[peer.link]]; at most 16 are taken");

  std::string peers = "private_key_file = \"own.key\"\nlisten = [\"[::]:4649\"]\n";
  for (unsigned i = 0; i < 1025; ++i) {
    peers += "[[peer]]\nname = \"p" + std::to_string(i) + "\"\ntap = \"t" + std::to_string(i) +
             "\"\npublic_key = \"" + public_text_of_seed(100 + i) + "\"\n";
  }
  CHECK(complaint(peers) == "home.toml:4099:1: there are 1025 [[peer]]; at most 1024 are taken");
}

TEST_CASE("keys nested as deep as the bounds allow neither crash nor pass") {
  // Every way to nest at once: a dotted header, dotted keys in inline tables, in lists.
  std::string dotted(199, 'a');
  for (std::size_t i = 1; i < dotted.size(); i += 2) dotted[i] = '.';
  std::string text = "[" + dotted + "]\n";
  for (int i = 0; i < 4; ++i) text += (i == 0 ? dotted + " = [\n" : "{" + dotted + " = [\n");
  for (int i = 0; i < 20; ++i)
    CHECK(complaint(text + std::string(static_cast<std::size_t>(i), ']')) != "accepted");
}

TEST_CASE("a server must listen and a client must have somewhere to connect to") {
  const Config client = good(file());
  CHECK(check_role(client, Role::client).ok());
  const Result<void> as_server = check_role(client, Role::server);
  REQUIRE_FALSE(as_server.ok());
  CHECK(as_server.error().exit_code == 78);
  CHECK(as_server.error().message ==
        "/etc/mwtun/home.toml:1:1: a server needs an address to listen on; add listen = "
        "[\"0.0.0.0:4649\", "
        "\"[::]:4649\"]");

  const Config server = good(
      replaced(replaced(top("listen = [\"0.0.0.0:4649\"]"), "[[peer.link]]\nname = \"dsl\"\n", ""),
               "endpoint = \"192.0.2.1:4649\"", ""));
  CHECK(check_role(server, Role::server).ok());
  CHECK_FALSE(check_role(server, Role::client).ok());

  CHECK(check_role(good(top("listen = [\"0.0.0.0:4649\"]")), Role::client).ok());
}

TEST_CASE("the control socket is found without reading a key") {
  const auto path = [](const std::string& text, const char* name) {
    const Result<std::string> result = parse_control_path(text, name);
    return result ? result.value() : result.error().message;
  };
  CHECK(path(file(), "/etc/mwtun/home.toml") == "/run/mwtun/home.sock");
  CHECK(path(file(), "van.of.mine.toml") == "/run/mwtun/van.of.mine.sock");
  CHECK(path(file(), "noextension") == "/run/mwtun/noextension.sock");
  CHECK(path(top("control = \"/x/y.sock\""), "home.toml") == "/x/y.sock");
  CHECK(path(top("control = \"y.sock\""), "/etc/mwtun/home.toml") == "/etc/mwtun/y.sock");
  CHECK(path(top("control = \"/x/y.sock\"\ntypo = 1"), "home.toml") == "/x/y.sock");
  CHECK(path("control = 5", "home.toml") ==
        "home.toml:1:11: control is a whole number; write a text in quotes");
  CHECK(path("control =", "home.toml").starts_with("home.toml:1:10: not valid TOML: "));
}

TEST_CASE("comments and quotes may hold what keys may not") {
  CHECK(good("# \xc3\xa9 \"\"\" ''' " + std::string(200, '.') + "\n" + file()).peers.size() == 1);
  const std::string text = "listen = [" + [] {
    std::string all;
    for (int i = 1; i <= 60; ++i) all += "\"192.0.2." + std::to_string(i) + ":4649\",";
    return all;
  }() + "] # \xef\xba\xbf";
  CHECK(good(top(text)).listen.size() == 60);
  CHECK(complaint(replaced(file(), "\"own.key\"", "\"\xef\xba\xbf\\\".key\"")) ==
        "home.toml:1:20: private_key_file: there is no key file \xef\xba\xbf\".key");
}

TEST_CASE("Windows line ends and a byte order mark are no mistakes") {
  std::string text = file();
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2)
    text.insert(at, "\r");
  CHECK(good(text).peers.size() == 1);
  CHECK(good("\xef\xbb\xbf" + file()).peers.size() == 1);
}

TEST_CASE("keys are read once each and none of them is in a message") {
  MemoryKeys keys;
  const std::string text = peer("preshared_key_file = \"a.psk\"\nmtu = 1");
  const Result<Config> config = parse_config(text, "home.toml", keys);
  REQUIRE_FALSE(config.ok());
  CHECK(keys.reads == 2);
  CHECK(config.error().message.find(to_base64(key_of_seed(1).view())) == std::string::npos);
  CHECK(config.error().message.find(to_base64(key_of_seed(2).view())) == std::string::npos);
}

TEST_CASE("the event loop is one of two, or the program's choice when none is named") {
  CHECK(good(top("log = \"info\"")).event_loop == LoopKind::automatic);
  CHECK(good(top("event_loop = \"auto\"")).event_loop == LoopKind::automatic);
  CHECK(good(top("event_loop = \"epoll\"")).event_loop == LoopKind::epoll);
  CHECK(good(top("event_loop = \"io_uring\"")).event_loop == LoopKind::io_uring);
}

TEST_CASE("a profile is one of two, and by the machine when none is named") {
  CHECK_FALSE(good(top("log = \"info\"")).profile.has_value());
  CHECK(good(top("profile = \"router\"")).profile == Profile::router);
  CHECK(good(top("profile = \"server\"")).profile == Profile::server);
}

TEST_CASE("the number of workers is the file's, or the machine's affair") {
  CHECK_FALSE(good(top("log = \"info\"")).workers.has_value());
  CHECK(good(top("workers = 1")).workers == 1u);
  CHECK(good(top("workers = 16")).workers == 16u);
}

TEST_CASE("niceness is the file's, from -20 to 19") {
  CHECK_FALSE(good(top("log = \"info\"")).nice.has_value());
  CHECK(good(top("nice = -20")).nice == -20);
  CHECK(good(top("nice = 0")).nice == 0);
  CHECK(good(top("nice = 19")).nice == 19);
}
