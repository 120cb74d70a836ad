#include <fmt/format.h>

#include "cli/commands/commands.hpp"
#include "cli/config_file.hpp"
#include "cli/exit_codes.hpp"
#include "cli/run.hpp"
#include "crypto/init.hpp"

namespace mwtun {

static Result<Config> load(const std::string& file) {
  if (!crypto_start())
    return Error{"libsodium could not be set up; is /dev/urandom there?", exit_os};
  return load_config(file);
}

int command_run(const std::string& file, Role role) {
  Result<Config> config = load(file);
  if (!config) return report_error(config.error());
  if (const Result<void> fits = check_role(config.value(), role); !fits)
    return report_error(fits.error());
  return run_tunnel(config.take(), role);
}

int command_check(const std::string& file) {
  const Result<Config> config = load(file);
  if (!config) return report_error(config.error());
  // A file may serve both ends' commands; it is in order when one of them would take it.
  const bool client = check_role(config.value(), Role::client).ok();
  const bool server = check_role(config.value(), Role::server).ok();
  if (!client && !server) {
    const Role meant = config.value().listen.empty() ? Role::client : Role::server;
    return report_error(check_role(config.value(), meant).error());
  }
  std::size_t links = 0;
  for (const PeerEntry& peer : config.value().peers) links += peer.links.size();
  const std::size_t peers = config.value().peers.size();
  return write_out(fmt::format("{}: in order, for mwtun {}: {} peer{}, {} link{}\n", file,
                               client && server ? "client and server"
                               : client         ? "client"
                                                : "server",
                               peers, peers == 1 ? "" : "s", links, links == 1 ? "" : "s"));
}

}  // namespace mwtun
