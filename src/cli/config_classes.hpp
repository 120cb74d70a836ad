#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cli/config.hpp"
#include "dataplane/traffic_class.hpp"

namespace mwtun {

class ConfigProblems;
class Section;

// The small grammars of [[peer.class]]; errors as those of config_values.hpp.

/// A number from 0 to 63, or a name of RFC 2474, 2597, 3246, 5865 or 8622: "cs1", "af41", "ef",
/// "va", "le".
Result<std::uint8_t> parse_dscp(std::string_view text);
/// A number from 0 to 255, or a name. "icmp" is that of both IP versions.
Result<std::vector<std::uint8_t>> parse_protocol(std::string_view text);
/// "5060" or "16384-32767".
Result<PortRange> parse_port_range(std::string_view text);
/// "02:00:00:ab:cd:ef", also with dashes.
Result<MacAddress> parse_mac(std::string_view text);
/// A number from 0 (tagged with a priority only) to 4094.
Result<std::uint16_t> parse_vlan(std::string_view text);

/// Reads the [[peer.class]] tables into peer.classes. The peer's links and interface have been
/// read.
/// @param what  for messages: "peer \"vps\""
void read_classes(const Section& section, const std::string& what, PeerEntry& peer,
                  ConfigProblems& problems);

}  // namespace mwtun
