#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "support/sim_oracle.hpp"

namespace mwtun::test {

/// What came of one seed.
struct ScenarioOutcome {
  std::optional<Violation> violation;
  std::string description;  ///< The kind of scenario and its main figures.
  std::uint64_t trace_hash = 0;
  std::uint64_t steps = 0;
  std::uint64_t frames = 0;
  std::uint64_t delivered = 0;
  Duration simulated{};  ///< When it ended, or when the rule broke.
};

/// Makes a world, its traffic and its weather from the seed and runs it: first all faults at once
/// (nothing wrong may ever come out), then some links heal and everything has to flow again, then
/// silence, in which every frame must be accounted for.
ScenarioOutcome run_scenario(std::uint64_t seed, unsigned verbose = 0);

}  // namespace mwtun::test
