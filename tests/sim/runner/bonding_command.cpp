#include "bonding_command.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "support/sim_bonding.hpp"
#include "support/sim_bonding_cases.hpp"

namespace {

using mwtun::Error;
using mwtun::Result;
using mwtun::test::BondingOptions;
using mwtun::test::BondingScenario;
using mwtun::test::TcpKind;
namespace linkem = mwtun::linkem;

struct Command {
  BondingOptions options;
  std::vector<std::string> names;
  std::string json;
  std::string traces = MWTUN_TRACES;
  std::uint64_t jobs = 1;
  std::uint64_t series_ms = 0;  // Instead of the table, what happens in each so many.
  bool list = false;
  bool check = false;  // A promise that is not kept is a failure.
};

constexpr std::string_view usage =
    R"(usage: mwtun_sim --bonding [--only NAME[,NAME...]] [--list] [--check] [--seed S]
         [--seconds 12] [--warmup 3] [--tcp cubic|bbr] [--ecn] [--flows 1]
         [--direction down|up|both] [--scheduler adaptive|...] [--window BYTES] [--jobs N]
         [--traces FOLDER] [--json FILE] [--series MILLISECONDS]
  Runs pairs of lines bare, one by one through the tunnel, and together, with a TCP flow and 100
  pings/s beside it. --only names pairs or cases; "pairs" (the default) and "cases" are all of
  them. --check fails where a promise is not kept. --series shows the course of the bonded run of
  a pair instead of its result.
)";

bool read_number(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

void split_names(std::string_view text, std::vector<std::string>& names) {
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) names.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
}

bool read_command(int argc, char** argv, Command& command) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--bonding") continue;
    bool* const flag = name == "--list"    ? &command.list
                       : name == "--check" ? &command.check
                       : name == "--ecn"   ? &command.options.ecn
                                           : nullptr;
    if (flag != nullptr) {
      *flag = true;
      continue;
    }
    if (++i == argc) return false;
    const std::string_view value = argv[i];
    std::uint64_t number = 0;
    const bool is_number = read_number(value, number);
    if (name == "--only") {
      split_names(value, command.names);
    } else if (name == "--json") {
      command.json = value;
    } else if (name == "--traces") {
      command.traces = value;
    } else if (name == "--tcp" && (value == "cubic" || value == "bbr")) {
      command.options.congestion = value == "bbr" ? TcpKind::bbr : TcpKind::cubic;
    } else if (name == "--direction" && (value == "down" || value == "up" || value == "both")) {
      command.options.down = value != "up", command.options.up = value != "down";
    } else if (name == "--scheduler") {
      const auto kind = mwtun::scheduler_from_name(value);
      if (!kind) return false;
      command.options.scheduler = *kind;
    } else if (name == "--seed" && is_number) {
      command.options.seed = number;
    } else if (name == "--seconds" && is_number && number > 1) {
      command.options.measured = mwtun::seconds(number);
    } else if (name == "--warmup" && is_number) {
      command.options.warmup = mwtun::seconds(number);
    } else if (name == "--flows" && is_number && number > 0) {
      command.options.flows = static_cast<unsigned>(number);
    } else if (name == "--window" && is_number && number >= 1 << 16 && number <= 60 << 20) {
      command.options.window_bytes = static_cast<std::uint32_t>(number);
    } else if (name == "--series" && is_number && number > 0) {
      command.series_ms = number;
    } else if (name == "--jobs" && is_number && number > 0) {
      command.jobs = number;
    } else {
      return false;
    }
  }
  return true;
}

/// What is to be run, each by its name, in the order of the tables.
std::vector<std::string> chosen(const Command& command) {
  const auto wanted = [&](std::string_view name, std::string_view group) {
    if (command.names.empty()) return group == "pairs";
    for (const std::string& one : command.names) {
      if (one == name || one == group) return true;
    }
    return false;
  };
  std::vector<std::string> names;
  for (const auto& scenario : mwtun::test::bonding_scenarios()) {
    if (wanted(scenario.name, "pairs")) names.emplace_back(scenario.name);
  }
  for (const auto& bonding_case : mwtun::test::bonding_cases()) {
    if (wanted(bonding_case.name, "cases")) names.emplace_back(bonding_case.name);
  }
  return names;
}

/// The table's line and, after a zero byte, the JSON of one name.
std::string run_one(const Command& command, const std::string& name) {
  const auto began = std::chrono::steady_clock::now();
  std::string text, json;
  for (const auto& scenario : mwtun::test::bonding_scenarios()) {
    if (scenario.name != name) continue;
    if (command.series_ms > 0) {
      const std::vector<std::string> lines(scenario.lines.begin(), scenario.lines.end());
      const auto step = mwtun::milliseconds(command.series_ms);
      return bonding_series(lines, command.options, step) + '\0';
    }
    const auto result = measure_scenario(scenario, command.options);
    text = to_line(result), json = to_json(result);
  }
  for (const auto& bonding_case : mwtun::test::bonding_cases()) {
    if (bonding_case.name != name) continue;
    const auto figures = bonding_case.run(command.options);
    text = mwtun::test::to_line(bonding_case, figures);
    json = mwtun::test::to_json(bonding_case, figures);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  text.insert(text.size() - 1, fmt::format("  ({:.1f} s)", took.count()));
  return text + '\0' + json;
}

/// The file whose name begins so; empty if there is none.
std::string trace_file(const std::string& folder, const std::string& beginning) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(beginning)) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found.empty() ? std::string() : found.front();
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  close(fd);
  return text;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(fd, text.data(), text.size());
    if (put <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

struct Child {
  pid_t pid = -1;
  int fd = -1;
};

Child start(const Command& command, const std::string& name) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    std::_Exit(write_all(ends[1], run_one(command, name)) ? 0 : 71);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

/// Each name in a process of its own, so many at a time; results in order.
int run_all(const Command& command, const std::vector<std::string>& names) {
  std::string json;
  std::vector<Child> children(names.size());
  std::size_t started = 0;
  int worst = 0;
  bool header = false;
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (; started < names.size() && started < i + command.jobs; ++started) {
      children[started] = start(command, names[started]);
    }
    const std::string answer = read_all(children[i].fd);
    int status = 0;
    waitpid(children[i].pid, &status, 0);
    const std::size_t zero = answer.find('\0');
    if (status != 0 || zero == std::string::npos) {
      fmt::print("{}: died (status {:#x})\n", names[i], status);
      worst = 1;
      continue;
    }
    for (const std::string_view broken :
         {"\"enough\": false", "\"quick\": false", "\"held\": false"}) {
      if (command.check && answer.find(broken, zero) != std::string::npos) worst = 1;
    }
    const bool pair = answer.find("\"lines\"", zero) != std::string::npos;
    if (pair && !header) fmt::print("{}", mwtun::test::bonding_header()), header = true;
    fmt::print("{}", answer.substr(0, zero));
    std::fflush(stdout);
    json += fmt::format("{}  {}", json.empty() ? "" : ",\n", answer.substr(zero + 1));
  }
  if (!command.json.empty()) {
    std::ofstream file(command.json);
    file << "[\n" << json << "\n]\n";
    if (!file.flush()) {
      fmt::print(stderr, "{}: cannot be written\n", command.json);
      return 71;
    }
  }
  return worst;
}

void list_all() {
  for (const auto& scenario : mwtun::test::bonding_scenarios()) {
    fmt::print("{}\n", scenario.name);
    for (const std::string_view line : scenario.lines) fmt::print("  {}\n", line);
  }
  for (const auto& bonding_case : mwtun::test::bonding_cases()) {
    fmt::print("{}\n  {}\n", bonding_case.name, bonding_case.claim);
  }
}

}  // namespace

int bonding_command(int argc, char** argv) {
  Command command;
  if (!read_command(argc, argv, command)) {
    std::fputs(usage.data(), stderr);
    return 64;
  }
  if (command.list) return list_all(), 0;
  const std::string folder = command.traces;
  command.options.load_trace = [folder](const std::string& beginning) -> Result<linkem::TracePtr> {
    const std::string path = trace_file(folder, beginning);
    if (path.empty()) return mwtun::test::synthetic_trace(beginning);
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return linkem::Trace::parse(text, path);
  };
  const std::vector<std::string> names = chosen(command);
  if (names.empty()) {
    fmt::print(stderr, "mwtun_sim --bonding: nothing is called so; --list shows all names\n");
    return 64;
  }
  const auto began = std::chrono::steady_clock::now();
  const int result = run_all(command, names);
  fmt::print("{:.1f} s\n",
             std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  return result;
}
