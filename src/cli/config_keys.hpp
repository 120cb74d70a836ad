#pragma once
#include <span>
#include <string>
#include <string_view>

namespace mwtun {

using Words = std::span<const std::string_view>;

// The keys that each table of the configuration file may hold.
inline constexpr std::string_view top_keys[] = {
    "private_key_file", "control", "state_dir", "listen",    "log",
    "peer",             "profile", "workers",   "event_loop", "nice"};
inline constexpr std::string_view peer_keys[] = {
    "name",   "public_key", "preshared_key_file", "endpoint", "tap",    "tun",  "address",
    "bridge", "mtu",        "scheduler",          "hash",     "cipher", "link", "class"};
inline constexpr std::string_view class_keys[] = {"dscp", "protocol",  "port", "mac",
                                                  "vlan", "scheduler", "link"};
inline constexpr std::string_view link_keys[] = {"name",     "bind",     "device",   "gateway",
                                                 "endpoint", "weight",   "priority", "role",
                                                 "metered",  "max_rate", "monthly",  "monthly_day"};

bool contains(Words words, std::string_view word);

/// What may have been meant by a key that is not among `known`: "; did you mean ...", or where it
/// belongs.
std::string unknown_key_hint(std::string_view key, Words known);

}  // namespace mwtun
