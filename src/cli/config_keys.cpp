#include "cli/config_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/config_values.hpp"

namespace mwtun {

/// What people call things elsewhere.
static constexpr std::pair<std::string_view, std::string_view> other_names[] = {
    {"bandwidth", "max_rate"},
    {"rate", "max_rate"},
    {"limit", "max_rate"},
    {"speed", "max_rate"},
    {"metric", "priority"},
    {"interface", "device"},
    {"dev", "device"},
    {"ifname", "device"},
    {"source", "bind"},
    {"local", "bind"},
    {"src", "bind"},
    {"via", "gateway"},
    {"router", "gateway"},
    {"server", "endpoint"},
    {"remote", "endpoint"},
    {"host", "endpoint"},
    {"private_key", "private_key_file"},
    {"key", "private_key_file"},
    {"preshared_key", "preshared_key_file"},
    {"psk", "preshared_key_file"},
    {"mode", "scheduler"},
    {"policy", "scheduler"},
    {"links", "link"},
    {"peers", "peer"},
    {"socket", "control"},
    {"port", "listen"},
    {"listen_port", "listen"},
    {"loglevel", "log"},
    {"log_level", "log"},
    {"verbosity", "log"},
    {"encryption", "cipher"},
    {"ip", "address"},
    {"addresses", "address"},
    {"pubkey", "public_key"},
    {"classes", "class"},
    {"rule", "class"},
    {"ports", "port"},
    {"dport", "port"},
    {"sport", "port"},
    {"proto", "protocol"},
    {"tos", "dscp"},
    {"lines", "link"},
    {"quota", "monthly"},
    {"cap", "monthly"},
    {"volume", "monthly"},
    {"data_cap", "monthly"},
    {"state", "state_dir"},
    {"statedir", "state_dir"},
    {"threads", "workers"},
    {"cores", "workers"},
    {"loop", "event_loop"},
    {"io_uring", "event_loop"},
    {"epoll", "event_loop"},
    {"niceness", "nice"},
    {"interface", "tap"}};

bool contains(Words words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string unknown_key_hint(std::string_view key, Words known) {
  for (const auto& [theirs, ours] : other_names) {
    if (key == theirs && contains(known, ours)) return fmt::format("; did you mean \"{}\"?", ours);
  }
  if (std::string hint = did_you_mean(key, known); !hint.empty()) return hint;
  if (contains(link_keys, key)) return "; it belongs in [[peer.link]]";
  if (contains(peer_keys, key)) return "; it belongs in [[peer]]";
  if (contains(class_keys, key)) return "; it belongs in [[peer.class]]";
  if (contains(top_keys, key))
    return "; it belongs at the top of the file, before the first [[peer]]";
  return "; known here are " + quoted_choice(known);
}

}  // namespace mwtun
