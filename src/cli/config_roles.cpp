// What a checked configuration is good for.
#include <fmt/format.h>

#include <algorithm>

#include "cli/config.hpp"
#include "cli/config_text.hpp"
#include "cli/exit_codes.hpp"

namespace mwtun {

Result<void> check_role(const Config& config, Role role) {
  ConfigProblems problems(config.file);
  if (role == Role::server && config.listen.empty()) {
    problems.add(
        {},
        "a server needs an address to listen on; add listen = [\"0.0.0.0:4649\", \"[::]:4649\"]");
  }
  const auto connects = [](const PeerEntry& peer) { return peer.endpoint.has_value(); };
  if (role == Role::client && std::none_of(config.peers.begin(), config.peers.end(), connects)) {
    problems.add(
        {},
        "a client needs a peer to connect to; add endpoint = \"HOST:PORT\" to a [[peer]], or run "
        "it as mwtun server");
  }
  for (const PeerEntry& peer : config.peers) {
    if (!peer.cipher || (available_ciphers() & cipher_bit(*peer.cipher)) != 0) continue;
    problems.add(peer.position,
                 fmt::format("peer \"{}\": this processor cannot do {}; set cipher = \"auto\"",
                             peer.name, to_string(*peer.cipher)));
  }
  if (!problems.empty()) return problems.error();
  return {};
}

NodeConfig node_config(const Config& config, std::uint16_t ciphers, std::uint64_t wall_clock_ns) {
  NodeConfig node;
  node.private_key = config.private_key.clone();
  node.ciphers = ciphers;
  node.wall_clock_ns = wall_clock_ns;
  for (const PeerEntry& entry : config.peers) {
    PeerConfig peer;
    peer.name = entry.name;
    peer.public_key = entry.public_key;
    peer.preshared_key = entry.preshared_key.clone();
    peer.initiator = entry.endpoint.has_value();
    peer.mtu = entry.mtu;
    peer.scheduler = entry.scheduler;
    peer.hash_fields = entry.hash_fields;
    peer.cipher = entry.cipher;
    for (const LinkEntry& link : entry.links) peer.links.push_back(link.link);
    peer.classes = entry.classes;
    node.peers.push_back(std::move(peer));
  }
  return node;
}

}  // namespace mwtun
