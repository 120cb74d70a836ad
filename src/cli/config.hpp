#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "cli/config_values.hpp"
#include "cli/log.hpp"
#include "cli/profile.hpp"
#include "crypto/keys.hpp"
#include "dataplane/config.hpp"
#include "dataplane/io/loop_kind.hpp"

namespace mwtun {

/// What the program was started as. The same file may serve both.
enum class Role : std::uint8_t { client, server };
const char* to_string(Role role);

enum class InterfaceKind : std::uint8_t { tap, tun };
const char* to_string(InterfaceKind kind);

inline constexpr std::size_t config_bytes_max = 1 << 20;
inline constexpr std::size_t config_peers_max = 1024;
inline constexpr std::size_t config_listen_max = 64;
inline constexpr std::size_t config_addresses_max = 64;

/// Where in the file something was said; both count from 1.
struct ConfigPosition {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
};

/// One [[peer.link]]: how the link is named and weighed, and where it goes out.
struct LinkEntry {
  LinkConfig link;
  Address bind;                         // Source address, port 0; family none: the kernel's choice.
  std::string device;                   // Interface to bind to; empty: any.
  Address gateway;                      // Own rule and table through it; family none: none.
  std::optional<HostPort> endpoint;     // None: the peer's.
  std::uint64_t monthly_bytes_max = 0;  // Both ways together, IP and UDP headers too; 0: no cap.
  std::uint8_t monthly_day = 1;         // Of the month, on which the provider's count begins.
  ConfigPosition position;
};

struct PeerEntry {
  std::string name;
  PublicKey public_key;
  PresharedKey preshared_key;  // All zeros: none.
  bool has_preshared_key = false;
  std::optional<HostPort> endpoint;  // None: the peer connects to us.
  std::string interface;
  InterfaceKind interface_kind = InterfaceKind::tap;
  std::vector<Prefix> addresses;
  std::string bridge;  // Empty: none.
  std::uint16_t mtu = 1500;
  SchedulerKind scheduler = SchedulerKind::adaptive;
  HashFields hash_fields = HashFields::l3_l4;
  std::optional<Cipher> cipher;  // None: auto.
  std::vector<LinkEntry>
      links;  // Index is the link's number. Never empty when there is an endpoint.
  std::vector<TrafficRule> classes;
  ConfigPosition position;
};

/// One configuration file, checked: every value is within its bounds, names and keys are distinct.
struct Config {
  std::string file;        // As given, for messages and for reading it again.
  std::string name;        // The file's name without folder and extension.
  std::string control;     // Path of the control socket.
  std::string usage_file;  // Where what links used of their monthly volume is kept.
  LogLevel log = LogLevel::info;
  std::optional<Profile> profile;  // None: by the machine's memory.
  std::optional<unsigned> workers;  // None: by the machine's cores.
  LoopKind event_loop = LoopKind::automatic;
  std::optional<int> nice;  // None: unasked_nice().
  PrivateKey private_key;
  PublicKey public_key;
  std::vector<Address> listen;
  std::vector<PeerEntry> peers;  // Index is the PeerId.
};

/// How the parser gets at keys: the file system in the program, memory in tests.
class KeyReader {
 public:
  virtual ~KeyReader() = default;
  /// The 32 bytes that the file `path` (as written in the configuration) holds as base64.
  virtual Result<Secret<32>> read_key(std::string_view path) = 0;
};

/// Pure but for `keys`. The error's message is one "file:line:column: what; how to mend it" a line,
/// for everything that is wrong (at most 50), in the order of the file; exit code 78.
/// crypto_start() has run.
Result<Config> parse_config(std::string_view text, std::string_view file_name, KeyReader& keys);

/// Where the control socket is, according to a file whose keys the caller may not be able to read.
Result<std::string> parse_control_path(std::string_view text, std::string_view file_name);

/// "home" for "/etc/mwtun/home.toml".
std::string tunnel_name_of(std::string_view file_name);
/// "/run/mwtun/home.sock" for "home".
std::string default_control_path(std::string_view tunnel_name);
inline constexpr const char* default_state_folder = "/var/lib/mwtun";

/// Whether the file says enough to be run this way: a server listens, a client has somewhere to
/// connect to.
Result<void> check_role(const Config& config, Role role);

/// What the core needs of it. Copies the keys.
/// @param ciphers        see available_ciphers()
/// @param wall_clock_ns  real time now, since 1970
NodeConfig node_config(const Config& config, std::uint16_t ciphers, std::uint64_t wall_clock_ns);

}  // namespace mwtun
