#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cli/config.hpp"

// What the subcommands do, once the command line is understood. Each gives the program's exit code.
namespace mwtun {

/// Writes a new private or preshared key: to the new file `path` with mode 0600, or to standard
/// output.
int command_genkey(const std::string& path);
int command_genpsk(const std::string& path);
/// Private key on standard input, public key on standard output.
int command_pubkey();
int command_run(const std::string& file, Role role);
int command_check(const std::string& file);

struct StatusOptions {
  std::string target;  // Configuration file or name; empty: the only one running.
  std::string socket;  // Overrides target.
  bool json = false;
  bool check = false;
  bool watch = false;
};
int command_status(const StatusOptions& options);
/// What `mwtun` alone does: the status of the only running tunnel. False: none runs.
bool a_tunnel_runs();

/// Replaces this process with the demonstration script.
int command_demo(const std::vector<std::string>& arguments);

/// "mwtun: " before each line of the message, on standard error; gives the error's exit code.
int report_error(const Error& error);
/// Writes all of it or reports why not (exit 71).
int write_out(std::string_view text);

}  // namespace mwtun
