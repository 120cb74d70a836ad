#pragma once
// How the program ends: sysexits.h numbers, besides the two that `status --check` answers with. 71
// (refused by the system) and 77 (not permitted) are in dataplane/io/os_error.hpp.
#include "dataplane/io/os_error.hpp"

namespace mwtun {

inline constexpr int exit_degraded = 1;
inline constexpr int exit_down = 2;
inline constexpr int exit_usage = 64;        // EX_USAGE
inline constexpr int exit_unavailable = 69;  // EX_UNAVAILABLE: not running, or not reachable
inline constexpr int exit_bug = 70;          // EX_SOFTWARE
inline constexpr int exit_timeout = 75;      // EX_TEMPFAIL
inline constexpr int exit_config = 78;       // EX_CONFIG

}  // namespace mwtun
