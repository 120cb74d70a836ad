#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "linkem/commands.hpp"
#include "linkem/control_client.hpp"
#include "linkem/emulator.hpp"

namespace {

using namespace mwtun;
using namespace mwtun::linkem;

int fail(const Error& error) {
  std::fprintf(stderr, "linkem: %s\n", error.message.c_str());
  return error.exit_code;
}

int control(const std::string& path, const std::vector<std::string>& words) {
  const Result<std::string> answer = ask(path, fmt::format("{}", fmt::join(words, " ")));
  if (!answer.ok()) return fail(answer.error());
  const nlohmann::json json = nlohmann::json::parse(answer.value(), nullptr, false);
  if (!json.is_object() || !json.value("ok", false)) {
    return fail({json.is_object() ? json.value("error", answer.value()) : answer.value(), 64});
  }
  std::printf("%s\n", answer.value().c_str());
  return 0;
}

int emulate(const std::vector<std::string>& lines, const std::vector<std::string>& shared,
            EmulatorOptions options, bool realtime) {
  for (const std::string& text : shared) {
    Result<SharedOptions> parsed = parse_shared(text, load_trace);
    if (!parsed.ok()) return fail(parsed.error());
    options.shared.push_back(parsed.take());
  }
  for (const std::string& text : lines) {
    Result<LineOptions> parsed = parse_line(text, load_trace);
    if (!parsed.ok()) return fail(parsed.error());
    options.lines.push_back(parsed.take());
  }
  // A wire does not wait for a busy machine: exact timers, and the processor first where we may.
  // Niceness is the worse half: with autogroups it counts within our own session only.
  prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
  const sched_param lowest_realtime{1};
  if (realtime && sched_setscheduler(0, SCHED_RR, &lowest_realtime) != 0) {
    setpriority(PRIO_PROCESS, 0, -20);
  }

  Result<std::unique_ptr<Emulator>> emulator = Emulator::create(std::move(options));
  if (!emulator.ok()) return fail(emulator.error());
  std::puts("linkem: ready");
  std::fflush(stdout);
  const Result<void> ended = emulator.value()->run();
  return ended.ok() ? 0 : fail(ended.error());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Emulates network lines between pairs of TAP interfaces."};
  app.name("linkem");
  app.footer("\n" + std::string(settings_help()) + "\n" + std::string(commands_help()));
  EmulatorOptions options;
  std::vector<std::string> lines;
  std::vector<std::string> shared;
  app.add_option("--line", lines,
                 "A line: 'name=wan1 a=IFACE[@NETNS] b=IFACE[@NETNS] rate=100M …'");
  app.add_option("--shared", shared, "A bottleneck for several lines: 'name=cell rate=50M'");
  app.add_option("--control", options.control_path, "Unix socket to take commands on");
  app.add_option("--seed", options.seed, "Seed of every random draw")->capture_default_str();
  std::int64_t coalesce_us = options.coalesce / microseconds{1};
  app.add_option("--coalesce-us", coalesce_us, "Least microseconds between two wake-ups under load")
      ->capture_default_str()
      ->check(CLI::Range(0, 10'000));
  bool realtime = true;
  app.add_flag("--realtime,!--no-realtime", realtime,
               "Run before other processes, as SCHED_RR (default)");
  app.add_option("--frames", options.frames, "Frame buffers, for all lines together")
      ->capture_default_str()
      ->check(CLI::Range(1, 4'000'000));
  CLI::App* const ctl = app.add_subcommand("ctl", "Send a command to a running linkem");
  std::string path;
  std::vector<std::string> words;
  ctl->add_option("SOCKET", path, "The --control of the running linkem")->required();
  ctl->add_option("COMMAND", words, "As listed by linkem --help")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;
  }
  if (ctl->parsed()) return control(path, words);
  if (lines.empty()) return fail({"nothing to do: give at least one --line (see --help)", 64});
  options.coalesce = microseconds{coalesce_us};
  return emulate(lines, shared, std::move(options), realtime);
}
