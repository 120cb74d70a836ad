#include "cli/config_classes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "cli/config_keys.hpp"
#include "cli/config_section.hpp"
#include "cli/exit_codes.hpp"

namespace mwtun {

static Error bad(std::string message) {
  return Error{std::move(message), exit_config};
}

static std::optional<unsigned> number_up_to(std::string_view text, unsigned most, int base = 10) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

Result<std::uint8_t> parse_dscp(std::string_view text) {
  if (const auto number = number_up_to(text, TrafficRule::dscp_max)) {
    return static_cast<std::uint8_t>(*number);
  }
  static constexpr std::pair<std::string_view, std::uint8_t> names[] = {
      {"ef", 46}, {"va", 44}, {"le", 1}, {"be", 0}, {"df", 0}};
  std::string word(text);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  for (const auto& [name, value] : names) {
    if (word == name) return value;
  }
  const auto digit = [&](std::size_t at, char low, char high) {
    return word[at] >= low && word[at] <= high;
  };
  if (word.size() == 3 && word.starts_with("cs") && digit(2, '0', '7')) {
    return static_cast<std::uint8_t>((word[2] - '0') * 8);
  }
  if (word.size() == 4 && word.starts_with("af") && digit(2, '1', '4') && digit(3, '1', '3')) {
    return static_cast<std::uint8_t>((word[2] - '0') * 8 + (word[3] - '0') * 2);
  }
  return bad(
      fmt::format("{} is not a DSCP; use a number from 0 to 63 or a name like \"ef\", "
                  "\"cs5\" or \"af41\"",
                  in_quotes(text)));
}

Result<std::vector<std::uint8_t>> parse_protocol(std::string_view text) {
  using Numbers = std::vector<std::uint8_t>;
  if (const auto number = number_up_to(text, 255)) {
    return Numbers{static_cast<std::uint8_t>(*number)};
  }
  if (text == "icmp") return Numbers{1, 58};
  static constexpr std::pair<std::string_view, std::uint8_t> names[] = {
      {"igmp", 2}, {"tcp", 6},   {"udp", 17},   {"gre", 47},  {"esp", 50},
      {"ah", 51},  {"ospf", 89}, {"vrrp", 112}, {"sctp", 132}};
  static constexpr std::string_view words[] = {"tcp", "udp", "icmp", "igmp", "gre",
                                               "esp", "ah",  "ospf", "vrrp", "sctp"};
  for (const auto& [name, value] : names) {
    if (text == name) return Numbers{value};
  }
  return bad(fmt::format("{} is not a protocol; use a number from 0 to 255, {}{}", in_quotes(text),
                         quoted_choice(words), did_you_mean(text, words)));
}

Result<PortRange> parse_port_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = number_up_to(text.substr(0, dash), 65535);
  const auto last =
      dash == std::string_view::npos ? first : number_up_to(text.substr(dash + 1), 65535);
  if (!first || !last) {
    return bad(fmt::format("{} is not a port; write 5060 or a range like \"16384-32767\"",
                           in_quotes(text)));
  }
  if (*first > *last) {
    return bad(fmt::format("{} runs backwards; write \"{}-{}\"", in_quotes(text), *last, *first));
  }
  return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

Result<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < mac.size(); ++i) {
    const auto byte = number_up_to(text.substr(3 * i, 2), 255, 16);
    good = byte.has_value() && (i == 5 || text[3 * i + 2] == ':' || text[3 * i + 2] == '-');
    if (good) mac[i] = static_cast<std::uint8_t>(*byte);
  }
  if (good) return mac;
  return bad(fmt::format("{} is not a MAC address; write \"02:00:00:ab:cd:ef\"", in_quotes(text)));
}

Result<std::uint16_t> parse_vlan(std::string_view text) {
  if (const auto number = number_up_to(text, TrafficRule::vlan_max)) {
    return static_cast<std::uint16_t>(*number);
  }
  return bad(fmt::format("{} is not a VLAN; use a number from 0 to 4094", in_quotes(text)));
}

static Result<std::string> any_text(std::string_view text) {
  return std::string(text);
}

static void read_criteria(const Section& section, const PeerEntry& peer, TrafficRule& rule) {
  for (const auto& dscp : section.one_or_more("dscp", 64, parse_dscp)) {
    rule.dscp |= std::uint64_t{1} << dscp.value;
  }
  bool ports_possible = !section.has("protocol");
  for (const auto& named :
       section.one_or_more("protocol", TrafficRule::protocols_max / 2, parse_protocol)) {
    for (const std::uint8_t protocol : named.value) {
      rule.protocols.push_back(protocol);
      for (const int with_ports : {6, 17, 33, 132, 136}) ports_possible |= protocol == with_ports;
    }
  }
  for (const auto& range : section.one_or_more("port", TrafficRule::ports_max, parse_port_range)) {
    rule.ports.push_back(range.value);
  }
  if (!rule.ports.empty() && !rule.protocols.empty() && !ports_possible) {
    section.complain(section.position_of_value("port"),
                     "port never matches, as this protocol has no ports; use \"tcp\" or \"udp\" or "
                     "leave protocol out");
  }
  for (const auto& mac : section.one_or_more("mac", TrafficRule::macs_max, parse_mac)) {
    rule.macs.push_back(mac.value);
  }
  for (const auto& vlan : section.one_or_more("vlan", TrafficRule::vlans_max, parse_vlan)) {
    rule.vlans.push_back(vlan.value);
  }
  for (const char* key : {"mac", "vlan"}) {
    if (!section.has(key) || peer.interface_kind != InterfaceKind::tun) continue;
    section.complain(section.position_of_value(key),
                     fmt::format("{} is of Ethernet, which a tun interface does not carry; use tap "
                                 "in place of tun",
                                 key));
  }
}

static void read_effects(const Section& section, const PeerEntry& peer, TrafficRule& rule) {
  static constexpr std::string_view schedulers[] = {"adaptive", "round-robin", "hash",
                                                    "active-backup", "redundant"};
  using Choice = std::optional<std::optional<SchedulerKind>>;
  const auto scheduler_named = [](std::string_view name) -> Choice {
    if (const auto kind = scheduler_from_name(name)) return kind;
    return std::nullopt;
  };
  rule.scheduler = section.choice<std::optional<SchedulerKind>>("scheduler", std::nullopt,
                                                                schedulers, scheduler_named);
  std::vector<std::string_view> names;
  for (const LinkEntry& entry : peer.links) names.push_back(entry.link.name);
  for (const auto& name : section.one_or_more("link", links_max, any_text)) {
    const auto found = std::find(names.begin(), names.end(), name.value);
    if (found == names.end()) {
      section.complain(name.at,
                       fmt::format("there is no link {}; this peer has {}{}", in_quotes(name.value),
                                   quoted_choice(names), did_you_mean(name.value, names)));
      continue;
    }
    const auto number = static_cast<std::uint8_t>(found - names.begin());
    if (peer.links[number].link.role == LinkRole::unused) {
      section.complain(name.at, fmt::format("link {} has role = \"never\", so no class can use it",
                                            in_quotes(name.value)));
    }
    rule.links.add(LinkId{number});
  }
}

void read_classes(const Section& section, const std::string& what, PeerEntry& peer,
                  ConfigProblems& problems) {
  const auto tables = section.tables("class", "peer.class", TrafficClasses::rules_max);
  if (!tables.empty() && !section.has("endpoint")) {
    section.complain(position_of(tables.front()->source()),
                     "has classes but no endpoint; classes belong to the end that connects, and "
                     "hold for both directions");
  }
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const Section rule_section(*tables[i], fmt::format("class {} of {}: ", i + 1, what), problems);
    rule_section.refuse_unknown(class_keys);
    TrafficRule rule;
    const std::size_t problems_before = problems.count();
    read_criteria(rule_section, peer, rule);
    read_effects(rule_section, peer, rule);
    const bool sound = problems.count() == problems_before;
    if (sound && !rule.has_criterion()) {
      rule_section.complain(rule_section.position(),
                            "says nothing of which frames it is for; add dscp, protocol, port, mac "
                            "or vlan");
    }
    if (sound && !rule.has_effect()) {
      rule_section.complain(rule_section.position(),
                            "says nothing of how its frames travel; add scheduler = \"redundant\" "
                            "or link = [\"NAME\"]");
    }
    peer.classes.push_back(std::move(rule));
  }
}

}  // namespace mwtun
