// Plants faults in the core, one at a time, and fails when the simulation suite does not notice
// one.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/planted.hpp"
#include "support/sim_cases.hpp"
#include "support/sim_scenario.hpp"

#ifndef MWTUN_PLANTED_FAULTS
#error "built without the guards this program is about"
#endif

namespace {

using mwtun::Fault;
using mwtun::planted_fault;
using namespace mwtun::test;

constexpr std::uint64_t case_seeds = 3;
constexpr std::uint64_t scenario_seeds = 60;

struct Plan {
  Fault fault;
  std::string_view name;
  /// Where it is expected to show; seeds of the generator are tried after these.
  std::vector<std::string_view> cases;
};

const std::vector<Plan> plans = {
    {Fault::window_off_by_one, "window off by one", {"window_edges"}},
    {Fault::commit_before_authentication,
     "commit before authentication",
     {"forged_numbers_move_nothing"}},
    {Fault::number_reused_after_send_error, "number reused after a send error", {"send_errors"}},
    {Fault::sequence_before_aqm, "sequence given before AQM", {"full_queue_leaves_no_holes"}},
    {Fault::lane_released_at_proof, "lane released at proof", {"loss_is_repaired"}},
    {Fault::lost_timer, "lost timer", {"last_frame_on_a_dying_link"}},
    {Fault::stale_key_epoch, "stale key epoch", {"keys_end_at_180_s"}},
    {Fault::ack_credited_to_another_link,
     "acknowledgement credited to another link",
     {"silent_death", "one_way_death"}},
    {Fault::lane_reused_early, "lane reused early", {"lanes_are_reused_late"}},
    {Fault::old_fragment_accepted, "old fragment accepted", {"jumbo_frames", "loss_is_repaired"}},
};

struct Finding {
  std::string where;
  std::string rule;
};

std::optional<Finding> look_in_cases(const std::vector<std::string_view>& cases) {
  for (const std::string_view name : cases) {
    for (std::uint64_t seed = 1; seed <= case_seeds; ++seed) {
      if (const auto violation = run_case(name, seed)) {
        return Finding{fmt::format("case {} seed {}", name, seed),
                       fmt::format("{}: {}", violation->rule, violation->detail)};
      }
    }
  }
  return std::nullopt;
}

std::optional<Finding> look_in_seeds(std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (const auto outcome = run_scenario(seed); outcome.violation) {
      return Finding{fmt::format("seed {}", seed),
                     fmt::format("{}: {}", outcome.violation->rule, outcome.violation->detail)};
    }
  }
  return std::nullopt;
}

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace

int main() {
  int failures = 0;
  // The same cases and seeds must hold without a fault, or finding one would mean nothing.
  auto began = std::chrono::steady_clock::now();
  std::optional<Finding> finding = look_in_seeds(scenario_seeds);
  for (const Plan& plan : plans) {
    if (!finding) finding = look_in_cases(plan.cases);
  }
  if (finding) {
    fmt::print("FAILED without any fault in {}: {}\n", finding->where, finding->rule);
    ++failures;
  } else {
    fmt::print("no fault: nothing found ({:.1f} s)\n", seconds_since(began));
  }

  for (const Plan& plan : plans) {
    began = std::chrono::steady_clock::now();
    planted_fault() = plan.fault;
    finding = look_in_cases(plan.cases);
    if (!finding) finding = look_in_seeds(scenario_seeds);
    planted_fault() = Fault::none;
    if (finding) {
      fmt::print("{}: found by {} ({:.1f} s)\n    {}\n", plan.name, finding->where,
                 seconds_since(began), finding->rule);
    } else {
      fmt::print("{}: NOT FOUND in {} seeds ({:.1f} s)\n", plan.name, scenario_seeds,
                 seconds_since(began));
      ++failures;
    }
    std::fflush(stdout);
  }
  return failures == 0 ? 0 : 1;
}
