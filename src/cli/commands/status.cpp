#include "cli/status.hpp"

#include <fmt/format.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "cli/commands/commands.hpp"
#include "cli/config_file.hpp"
#include "cli/control_client.hpp"
#include "cli/exit_codes.hpp"

namespace mwtun {

static constexpr const char* control_folder = "/run/mwtun";

static bool set_in_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

static bool terminal_has_colour() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && !set_in_environment("NO_COLOR") &&
         (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
}

/// As the C library decides it: the first of these that is set.
static bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (!set_in_environment(name)) continue;
    const char* value = std::getenv(name);
    return ::strcasestr(value, "utf-8") != nullptr || ::strcasestr(value, "utf8") != nullptr;
  }
  return false;
}

static Result<std::string> only_running_tunnel() {
  Result<std::vector<std::string>> found = control_sockets_in(control_folder);
  if (!found) return found.error();
  if (found.value().empty()) {
    return Error{
        fmt::format(
            "no tunnel runs: no socket in {}; start one with mwtun client FILE or mwtun server "
            "FILE, or say which with --socket PATH",
            control_folder),
        exit_unavailable};
  }
  if (found.value().size() == 1) return found.value().front();
  std::string names;
  for (const std::string& path : found.value()) names += " " + tunnel_name_of(path);
  return Error{"several tunnels run; say which, as in mwtun status NAME:" + names, exit_usage};
}

static Result<std::string> wanted_socket(const StatusOptions& options) {
  if (!options.socket.empty()) return options.socket;
  if (!options.target.empty()) return find_control_path(options.target);
  return only_running_tunnel();
}

static std::string rendered(const StatusOptions& options, const StatusReport& report) {
  if (options.json) return status_to_json(report) + "\n";
  if (options.check) return status_line(report) + "\n";
  return status_table(report, {terminal_has_colour(), locale_is_utf8()});
}

static int watch(const StatusOptions& options, const std::string& path) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && !options.json;
  while (true) {
    const Result<StatusReport> report = query_status(path);
    // At a terminal somebody waits for it to come back; a script wants to know.
    if (!report && !terminal) return report_error(report.error());
    std::string text = report ? rendered(options, report.value()) : report.error().message + "\n";
    if (terminal) {
      text.insert(0, "\x1b[H\x1b[2J");
    } else if (!options.json) {
      text += '\n';
    }
    if (const int code = write_out(text); code != 0) return code;
    const timespec second{1, 0};
    ::nanosleep(&second, nullptr);
  }
}

int command_status(const StatusOptions& options) {
  const Result<std::string> path = wanted_socket(options);
  if (!path) return report_error(path.error());
  if (options.watch) return watch(options, path.value());
  const Result<StatusReport> report = query_status(path.value());
  if (!report) return report_error(report.error());
  if (const int code = write_out(rendered(options, report.value())); code != 0) return code;
  return options.check ? status_check_code(report.value()) : 0;
}

bool a_tunnel_runs() {
  const Result<std::vector<std::string>> found = control_sockets_in(control_folder);
  // Not permitted to look: then say so, rather than that there is none.
  return !found || !found.value().empty();
}

}  // namespace mwtun
