#pragma once
#include <cerrno>
#include <string>
#include <system_error>

#include "base/result.hpp"

namespace mwtun {

inline constexpr int exit_os = 71;          // EX_OSERR
inline constexpr int exit_permission = 77;  // EX_NOPERM

/// "No such device"
inline std::string errno_text(int error) {
  return std::generic_category().message(error);
}

/// An Error for a failed system call: `what` says what we wanted, `mend` what a person can do.
inline Error os_error(int error, const std::string& what, const std::string& mend = {}) {
  const bool denied = error == EPERM || error == EACCES;
  std::string message = what + ": " + errno_text(error);
  if (!mend.empty()) message += "; " + mend;
  return {std::move(message), denied ? exit_permission : exit_os};
}

}  // namespace mwtun
