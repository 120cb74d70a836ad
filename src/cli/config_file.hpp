#pragma once
#include <string>

#include "base/result.hpp"
#include "cli/config.hpp"

namespace mwtun {

/// Reads and checks a file with the keys it names. Exit codes: 78 for anything wrong with it, 77
/// when we may not read it. Nothing but these files is opened.
Result<Config> load_config(const std::string& path);

/// The control socket's path for what a person calls a tunnel: a configuration file, or the bare
/// name of one that runs with the default path.
Result<std::string> find_control_path(const std::string& file_or_name);

}  // namespace mwtun
