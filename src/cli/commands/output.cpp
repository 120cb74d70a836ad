#include <cerrno>
#include <cstdio>

#include "cli/commands/commands.hpp"
#include "cli/exit_codes.hpp"

namespace mwtun {

int report_error(const Error& error) {
  std::string_view rest = error.message;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::fprintf(stderr, "mwtun: %.*s\n", static_cast<int>(end), rest.data());
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return error.exit_code;
}

int write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return 0;
  return report_error({"cannot write to standard output: " + errno_text(errno), exit_os});
}

}  // namespace mwtun
