// Runs the simulator over many seeds, or one.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#ifdef MWTUN_SIM_BONDING
#include "bonding_command.hpp"
#endif
#include "support/sim_cases.hpp"
#include "support/sim_scenario.hpp"

namespace {

using mwtun::test::run_scenario;
using mwtun::test::ScenarioOutcome;

struct Options {
  std::uint64_t first = 1;
  std::uint64_t count = 100;
  std::uint64_t jobs = 1;
  std::uint64_t twice_every =
      25;                 // Every so many seeds run a second time and must give the same trace.
  std::string_view name;  // Of a case, instead of generated scenarios.
  bool keep_going = false;
  bool list = false;
  unsigned verbose = 0;
};

constexpr std::string_view usage =
    "usage: mwtun_sim [--seeds N] [--first S] [--seed S] [--case NAME] [--jobs N] [--keep-going] "
    "[--list] "
    "[--verbose]\n"
    "  --seeds N      run N seeds (100), from --first S (1)\n"
    "  --seed S       run one seed, twice, and compare the traces\n"
    "  --case NAME    a directed case in place of the generated scenarios; ? lists them\n"
    "  --jobs N       processes to share the seeds (1)\n"
    "  --keep-going   do not stop at the first seed that fails\n"
    "  --list         a line for every seed\n"
    "  --verbose      say what happens when\n"
    "  --packets      and say it of every datagram and frame\n"
    "or: mwtun_sim --bonding ...: TCP over pairs of lines; --bonding --help tells more\n";

bool read_number(const char* text, std::uint64_t& value) {
  if (text == nullptr) return false;
  const std::string_view all(text);
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  return error == std::errc{} && end == all.data() + all.size();
}

bool read_options(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (name == "--keep-going") {
      options.keep_going = true;
    } else if (name == "--list") {
      options.list = true;
    } else if (name == "--verbose") {
      options.verbose = 1;
    } else if (name == "--packets") {
      options.verbose = 2;
    } else if (name == "--case") {
      if (value == nullptr) return false;
      options.name = value, ++i;
    } else if (name == "--seed") {
      if (!read_number(value, options.first)) return false;
      options.count = 1, options.twice_every = 1, options.list = true, ++i;
    } else {
      std::uint64_t* const number = name == "--seeds"   ? &options.count
                                    : name == "--first" ? &options.first
                                    : name == "--jobs"  ? &options.jobs
                                                        : nullptr;
      if (number == nullptr || !read_number(value, *number)) return false;
      ++i;
    }
  }
  return options.jobs >= 1;
}

ScenarioOutcome run_one(const Options& options, std::uint64_t seed, unsigned verbose) {
  if (options.name.empty()) return run_scenario(seed, verbose);
  ScenarioOutcome outcome;
  outcome.violation = mwtun::test::run_case(options.name, seed, verbose);
  outcome.description = options.name;
  return outcome;
}

bool known_case(std::string_view name) {
  for (const auto& it : mwtun::test::all_cases()) {
    if (it.name == name) return true;
  }
  for (const auto& it : mwtun::test::all_cases()) fmt::print("{}\n", it.name);
  return false;
}

void print_failure(const Options& options, std::uint64_t seed, const ScenarioOutcome& outcome) {
  fmt::print(
      "seed {} FAILED at {:.6f} s, step {}\n  rule:   {}\n  what:   {}\n  world:  {}\n  replay: "
      "./dev sim {}--seed {}\n",
      seed, std::chrono::duration<double>(outcome.simulated).count(), outcome.steps,
      outcome.violation->rule, outcome.violation->detail, outcome.description,
      options.name.empty() ? std::string() : fmt::format("--case {} ", options.name), seed);
  std::fflush(stdout);
}

/// Seeds first + job, first + job + jobs, … One failure is enough unless told to go on.
int run_share(const Options& options, std::uint64_t job) {
  int failures = 0;
  std::uint64_t seeds = 0, frames = 0;
  double simulated = 0;
  for (std::uint64_t i = job; i < options.count; i += options.jobs) {
    const std::uint64_t seed = options.first + i;
    ScenarioOutcome outcome = run_one(options, seed, options.verbose);
    if (!outcome.violation && i % options.twice_every == 0 &&
        run_one(options, seed, 0).trace_hash != outcome.trace_hash) {
      outcome.violation = {mwtun::Instant{}, "the same seed gives the same trace",
                           "two runs differ"};
    }
    ++seeds, frames += outcome.delivered;
    simulated += std::chrono::duration<double>(outcome.simulated).count();
    if (outcome.violation) {
      print_failure(options, seed, outcome);
      ++failures;
      if (!options.keep_going) break;
    } else if (options.list) {
      fmt::print("seed {} ok, trace {:016x}, {}\n", seed, outcome.trace_hash, outcome.description);
    }
  }
  fmt::print("{} seeds, {:.0f} s simulated, {} frames delivered, {} failed\n", seeds, simulated,
             frames, failures);
  std::fflush(stdout);
  return failures == 0 ? 0 : 1;
}

int run_jobs(const Options& options) {
  std::vector<pid_t> children;
  for (std::uint64_t job = 0; job < options.jobs; ++job) {
    const pid_t child = fork();
    if (child == 0) std::exit(run_share(options, job));
    if (child < 0) {
      std::perror("mwtun_sim: fork");
      return 71;
    }
    children.push_back(child);
  }
  int worst = 0;
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
      fmt::print(
          "a share of the seeds died of signal {}; run with --jobs 1 --list to see which seed\n",
          WTERMSIG(status));
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) worst = 1;
  }
  return worst;
}

}  // namespace

int main(int argc, char** argv) {
#ifdef MWTUN_SIM_BONDING
  if (argc > 1 && std::string_view(argv[1]) == "--bonding") return bonding_command(argc, argv);
#endif
  Options options;
  if (!read_options(argc, argv, options)) {
    std::fputs(usage.data(), stderr);
    return 64;
  }
  if (!options.name.empty() && !known_case(options.name)) return 64;
  const auto began = std::chrono::steady_clock::now();
  const int result = options.jobs == 1 ? run_share(options, 0) : run_jobs(options);
  fmt::print("{} in {:.1f} s\n", result == 0 ? "all passed" : "FAILED",
             std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  return result;
}
