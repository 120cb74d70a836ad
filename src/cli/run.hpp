#pragma once
#include "cli/config.hpp"

namespace mwtun {

/// Runs the tunnel in the foreground until SIGTERM or SIGINT; gives the program's exit code. Takes
/// the configuration over, keys and all; load_config(config.file) reads it again for a reload.
/// crypto_start() has run and check_role(config, role) was content.
int run_tunnel(Config config, Role role);

}  // namespace mwtun
