#include "cli/config.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>

#include "cli/config_classes.hpp"
#include "cli/config_keys.hpp"
#include "cli/config_section.hpp"
#include "cli/exit_codes.hpp"
#include "dataplane/io/thread_priority.hpp"

namespace mwtun {

namespace {

std::optional<LinkRole> role_from_name(std::string_view name) {
  if (name == "normal") return LinkRole::normal;
  if (name == "backup") return LinkRole::backup;
  if (name == "never") return LinkRole::unused;
  return std::nullopt;
}

/// "auto" is a cipher of its own here: none pinned.
std::optional<std::optional<Cipher>> cipher_choice(std::string_view name) {
  if (name == "auto") return std::optional<Cipher>{};
  if (const auto cipher = cipher_from_name(name)) return cipher;
  return std::nullopt;
}

Result<PublicKey> parse_public_key(std::string_view text) {
  const std::optional<PublicKey> key = public_key_from_base64(text);
  if (!key) {
    return Error{
        fmt::format("{} is not a key: expected 44 characters of base64, as mwtun pubkey prints "
                    "them, found {}",
                    in_quotes(text), text.size()),
        exit_config};
  }
  if (!usable_public_key(*key)) {
    return Error{
        fmt::format("{} is not a key anyone can have (weak or not canonical); take what mwtun "
                    "pubkey prints at the other end",
                    in_quotes(text)),
        exit_config};
  }
  return *key;
}

bool link_local(const Address& address) {
  return address.family == Family::v6 && address.ip[0] == 0xfe && (address.ip[1] & 0xc0) == 0x80;
}

std::string control_path(const Section& top, std::string_view file_name) {
  const auto given = top.text("control");
  std::string path = given ? given->value : default_control_path(tunnel_name_of(file_name));
  const std::size_t slash = file_name.rfind('/');
  if (!path.starts_with('/') && slash != file_name.npos) {
    path = std::string(file_name.substr(0, slash + 1)) + path;
  }
  constexpr std::size_t path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > path_bytes_max) {
    top.complain(
        given ? given->at : ConfigPosition{},
        fmt::format("control: the path {} has {} bytes; a socket's name has at most {}; set a "
                    "shorter control = \"/run/mwtun/NAME.sock\"",
                    in_quotes(path), path.size(), path_bytes_max));
  } else if (path.ends_with('/')) {
    top.complain(given->at, "control names a folder; name the socket in it");
  }
  return path;
}

std::string usage_path(const Section& top, std::string_view file_name) {
  const auto given = top.text("state_dir");
  std::string folder = given ? given->value : default_state_folder;
  const std::size_t slash = file_name.rfind('/');
  if (!folder.starts_with('/') && slash != file_name.npos) {
    folder = std::string(file_name.substr(0, slash + 1)) + folder;
  }
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  return fmt::format("{}/{}.usage.json", folder == "/" ? "" : folder, tunnel_name_of(file_name));
}

/// Builds a Config from a parsed file.
class ConfigBuilder {
 public:
  ConfigBuilder(std::string_view file_name, KeyReader& keys, ConfigProblems& problems)
      : file_name_(file_name), keys_(keys), problems_(problems) {}

  Config build(const toml::table& root) {
    const Section top(root, "", problems_);
    top.refuse_unknown(top_keys);
    config_.file = std::string(file_name_);
    config_.name = tunnel_name_of(file_name_);
    config_.control = control_path(top, file_name_);
    config_.usage_file = usage_path(top, file_name_);
    static constexpr std::string_view levels[] = {"warn", "info", "debug"};
    config_.log = top.choice("log", LogLevel::info, levels, log_level_from_name);
    if (top.has("profile")) {
      static constexpr std::string_view profiles[] = {"router", "server"};
      config_.profile = top.choice("profile", Profile::server, profiles, profile_from_name);
    }
    if (const auto workers = top.integer("workers", 1, workers_max)) {
      config_.workers = static_cast<unsigned>(*workers);
    }
    static constexpr std::string_view loops[] = {"auto", "epoll", "io_uring"};
    config_.event_loop = top.choice("event_loop", LoopKind::automatic, loops, loop_from_name);
    if (const auto nice = top.integer("nice", nice_min, nice_max)) {
      config_.nice = static_cast<int>(*nice);
    }
    read_private_key(top);
    read_listen(top);
    const auto tables = top.tables("peer", "peer", config_peers_max);
    if (tables.empty() && !top.has("peer")) {
      top.complain({}, "there is no peer; add a [[peer]] with name, public_key and tap");
    }
    for (std::size_t i = 0; i < tables.size(); ++i) read_peer(*tables[i], i + 1);
    return std::move(config_);
  }

 private:
  std::optional<Secret<32>> read_key(const Section& section, std::string_view key) {
    const auto path = section.text(key);
    if (!path) return std::nullopt;
    Result<Secret<32>> secret = keys_.read_key(path->value);
    if (!secret) {
      section.complain(path->at, fmt::format("{}: {}", key, secret.error().message));
      return std::nullopt;
    }
    if (secret.value().equals(Secret<32>())) {
      section.complain(path->at,
                       fmt::format("{}: the key in {} is all zeros", key, in_quotes(path->value)));
      return std::nullopt;
    }
    return secret.take();
  }

  void read_private_key(const Section& top) {
    if (!top.has("private_key_file")) {
      top.complain({},
                   "private_key_file is missing; make a key with \"mwtun genkey FILE\" and add "
                   "private_key_file = \"FILE\"");
      return;
    }
    if (auto key = read_key(top, "private_key_file")) {
      config_.public_key = public_key_of(*key);
      config_.private_key = std::move(*key);
      own_key_known_ = true;
    }
  }

  void read_listen(const Section& top) {
    Seen<Address> seen;
    listen_given_ = top.has("listen");
    if (!listen_given_) return;
    const std::size_t problems_before = problems_.count();
    for (const auto& entry :
         top.list("listen", config_listen_max, R"(["0.0.0.0:4649"])", parse_listen_address)) {
      seen.check(top, entry.value, entry.at, fmt::format("listen = {}", to_string(entry.value)));
      config_.listen.push_back(entry.value);
    }
    if (config_.listen.empty() && problems_.count() == problems_before) {
      top.complain(top.position_of_value("listen"),
                   "listen is empty; give an address or leave it out");
    }
  }

  static std::string described(std::string_view kind, const toml::table& table,
                               std::size_t number) {
    const std::optional<std::string_view> name = table["name"].value<std::string_view>();
    return name && parse_label(*name) ? fmt::format("{} \"{}\"", kind, *name)
                                      : fmt::format("{} {}", kind, number);
  }

  void read_peer(const toml::table& table, std::size_t number) {
    const std::string what = described("peer", table, number);
    const Section section(table, what + ": ", problems_);
    section.refuse_unknown(peer_keys);
    PeerEntry peer;
    peer.position = section.position();
    read_peer_identity(section, peer);
    read_interface(section, peer);
    if (auto endpoint = section.parsed("endpoint", parse_host_port))
      peer.endpoint = endpoint->value;
    if (!section.has("endpoint") && !listen_given_) {
      section.complain(
          peer.position,
          "has no endpoint, and nothing listens for it; add endpoint = \"HOST:PORT\" here or "
          "listen = [\"0.0.0.0:4649\"] at the top of the file");
    }
    static constexpr std::string_view schedulers[] = {"adaptive", "round-robin", "hash",
                                                      "active-backup", "redundant"};
    static constexpr std::string_view hashes[] = {"l2", "l2+3", "l3+4"};
    static constexpr std::string_view ciphers[] = {"auto", "chacha20-poly1305", "aes-256-gcm"};
    peer.scheduler =
        section.choice("scheduler", SchedulerKind::adaptive, schedulers, scheduler_from_name);
    peer.hash_fields = section.choice("hash", HashFields::l3_l4, hashes, hash_fields_from_name);
    peer.cipher = section.choice("cipher", std::optional<Cipher>{}, ciphers, cipher_choice);
    read_links(section, what, peer);
    read_classes(section, what, peer, problems_);
    config_.peers.push_back(std::move(peer));
  }

  void read_peer_identity(const Section& section, PeerEntry& peer) {
    if (!section.has("name")) section.complain_missing("name", "\"vps\"");
    if (auto name = section.parsed("name", parse_label)) {
      peer.name = name->value;
      peer_names_.check(section, name->value, name->at, fmt::format("name = \"{}\"", name->value));
    }
    if (!section.has("public_key")) {
      section.complain_missing("public_key", "\"what mwtun pubkey prints at the other end\"");
    }
    if (const auto key = section.parsed("public_key", parse_public_key)) {
      peer.public_key = key->value;
      public_keys_.check(section, key->value, key->at, "public_key");
      if (own_key_known_ && key->value == config_.public_key) {
        section.complain(key->at, "public_key is our own; take the one of the other end");
      }
    }
    if (auto key = read_key(section, "preshared_key_file")) {
      peer.preshared_key = std::move(*key);
      peer.has_preshared_key = true;
    }
  }

  void read_interface(const Section& section, PeerEntry& peer) {
    const bool tun = section.has("tun");
    if (tun && section.has("tap")) {
      section.complain(section.position_of_value("tun"), "has both tap and tun; keep one of them");
    } else if (!tun && !section.has("tap")) {
      section.complain(peer.position,
                       "has no interface; add tap = \"mwt0\" (Ethernet) or tun = \"mwt0\" (IP)");
    }
    peer.interface_kind = tun ? InterfaceKind::tun : InterfaceKind::tap;
    const auto name = section.parsed(tun ? "tun" : "tap", parse_interface_name);
    if (name) {
      peer.interface = name->value;
      interfaces_.check(section, name->value, name->at,
                        fmt::format("interface \"{}\"", name->value));
    }
    if (const auto bridge = section.parsed("bridge", parse_interface_name)) {
      peer.bridge = bridge->value;
      if (tun) section.complain(bridge->at, "bridge takes Ethernet; use tap in place of tun");
      if (name && bridge->value == name->value) {
        section.complain(
            bridge->at, "bridge and interface have the same name; the bridge is another interface");
      }
    }
    if (const auto mtu = section.integer("mtu", 576, 9000)) {
      peer.mtu = static_cast<std::uint16_t>(*mtu);
    }
    Seen<Address> seen;
    for (const auto& prefix :
         section.list("address", config_addresses_max, R"(["10.90.0.2/24"])", parse_prefix)) {
      seen.check(section, prefix.value.address, prefix.at,
                 fmt::format("address {}", to_string(prefix.value)));
      if (prefix.value.address.family == Family::v6 && peer.mtu < 1280) {
        section.complain(prefix.at, "an IPv6 address needs an mtu of at least 1280 (RFC 8200)");
      }
      peer.addresses.push_back(prefix.value);
    }
  }

  void read_links(const Section& section, const std::string& what, PeerEntry& peer) {
    const auto tables = section.tables("link", "peer.link", links_max);
    if (!tables.empty() && !section.has("endpoint")) {
      section.complain(position_of(tables.front()->source()),
                       "has links but no endpoint; links belong to the end that connects");
    }
    Seen<std::string> names;
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const std::string link_what =
          fmt::format("{} of {}: ", described("link", *tables[i], i + 1), what);
      const Section link(*tables[i], link_what, problems_);
      link.refuse_unknown(link_keys);
      peer.links.push_back(read_link(link, peer, names));
    }
    if (peer.links.empty() && peer.endpoint) {
      peer.links.emplace_back();
      peer.links.back().link.name = "default";
      peer.links.back().position = peer.position;
    }
    if (!peer.links.empty() &&
        std::all_of(peer.links.begin(), peer.links.end(),
                    [](const auto& entry) { return entry.link.role == LinkRole::unused; })) {
      section.complain(peer.links.front().position,
                       "every link has role = \"never\"; one must be \"normal\" or \"backup\"");
    }
  }

  LinkEntry read_link(const Section& section, const PeerEntry& peer, Seen<std::string>& names) {
    LinkEntry entry;
    entry.position = section.position();
    if (!section.has("name")) section.complain_missing("name", "\"fibre\"");
    if (const auto name = section.parsed("name", parse_label)) {
      entry.link.name = name->value;
      names.check(section, name->value, name->at, fmt::format("name = \"{}\"", name->value));
    }
    if (const auto weight = section.integer("weight", 1, 1000)) {
      entry.link.weight = static_cast<std::uint16_t>(*weight);
    }
    if (const auto priority = section.integer("priority", 0, 255)) {
      entry.link.priority = static_cast<std::uint8_t>(*priority);
    }
    static constexpr std::string_view roles[] = {"normal", "backup", "never"};
    entry.link.role = section.choice("role", LinkRole::normal, roles, role_from_name);
    entry.link.metered = section.boolean("metered", false);
    if (const auto rates = section.parsed("max_rate", parse_rate_pair)) {
      entry.link.rate_down_bps_max = rates->value.down_bps;
      entry.link.rate_up_bps_max = rates->value.up_bps;
    }
    read_volume(section, entry);
    read_way_out(section, peer, entry);
    return entry;
  }

  static void read_volume(const Section& section, LinkEntry& entry) {
    if (const auto volume = section.parsed("monthly", parse_byte_count)) {
      entry.monthly_bytes_max = volume->value;
    }
    if (const auto day = section.integer("monthly_day", 1, 28)) {
      entry.monthly_day = static_cast<std::uint8_t>(*day);
    }
    if (section.has("monthly_day") && !section.has("monthly")) {
      section.complain(section.position_of_value("monthly_day"),
                       "monthly_day means nothing without monthly; add monthly = \"50G\" or "
                       "leave it out");
    }
  }

  /// Where the link leaves this host: all its addresses must be of one family.
  void read_way_out(const Section& section, const PeerEntry& peer, LinkEntry& entry) {
    if (const auto device = section.parsed("device", parse_interface_name))
      entry.device = device->value;
    if (const auto own = section.parsed("endpoint", parse_host_port)) entry.endpoint = own->value;
    const std::optional<HostPort>& endpoint = entry.endpoint ? entry.endpoint : peer.endpoint;
    const Address remote = endpoint ? endpoint->address : Address{};
    const auto check = [&](const Placed<Address>& given, std::string_view key) {
      if (remote.known() && given.value.family != remote.family) {
        section.complain(given.at,
                         fmt::format("{} {} and endpoint {} are not both IPv4 or both IPv6", key,
                                     to_string(given.value), to_string(remote)));
      }
      if (link_local(given.value) && !section.has("device")) {
        section.complain(given.at,
                         fmt::format("{} {} is link-local and means nothing without device", key,
                                     to_string(given.value)));
      }
    };
    if (const auto bind = section.parsed("bind", parse_host_address)) {
      entry.bind = bind->value;
      check(*bind, "bind");
    }
    if (const auto gateway = section.parsed("gateway", parse_host_address)) {
      entry.gateway = gateway->value;
      check(*gateway, "gateway");
      if (!remote.known() && entry.bind.known() && entry.bind.family != entry.gateway.family) {
        section.complain(gateway->at,
                         fmt::format("gateway {} and bind {} are not both IPv4 or both IPv6",
                                     to_string(entry.gateway), to_string(entry.bind)));
      }
      if (!section.has("bind") && !section.has("device")) {
        section.complain(gateway->at,
                         "gateway needs bind or device, to tell which datagrams go through it");
      }
    }
  }

  std::string_view file_name_;
  KeyReader& keys_;
  ConfigProblems& problems_;
  Config config_;
  bool own_key_known_ = false;
  bool listen_given_ = false;
  Seen<std::string> peer_names_;
  Seen<std::string> interfaces_;
  Seen<PublicKey> public_keys_;
};

}  // namespace

const char* to_string(Role role) {
  return role == Role::client ? "client" : "server";
}
const char* to_string(InterfaceKind kind) {
  return kind == InterfaceKind::tap ? "tap" : "tun";
}

std::string tunnel_name_of(std::string_view file_name) {
  const std::size_t slash = file_name.rfind('/');
  if (slash != file_name.npos) file_name.remove_prefix(slash + 1);
  const std::size_t dot = file_name.rfind('.');
  if (dot != file_name.npos && dot > 0) file_name = file_name.substr(0, dot);
  return std::string(file_name);
}

std::string default_control_path(std::string_view tunnel_name) {
  return fmt::format("/run/mwtun/{}.sock", tunnel_name);
}

Result<Config> parse_config(std::string_view text, std::string_view file_name, KeyReader& keys) {
  ConfigProblems problems(file_name);
  const std::optional<toml::table> root = parse_toml(text, file_name, problems);
  if (!root) return problems.error();
  Config config = ConfigBuilder(file_name, keys, problems).build(*root);
  if (!problems.empty()) return problems.error();
  return config;
}

Result<std::string> parse_control_path(std::string_view text, std::string_view file_name) {
  ConfigProblems problems(file_name);
  const std::optional<toml::table> root = parse_toml(text, file_name, problems);
  if (!root) return problems.error();
  std::string path = control_path(Section(*root, "", problems), file_name);
  if (!problems.empty()) return problems.error();
  return path;
}

}  // namespace mwtun
