#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "support/sim_oracle.hpp"

namespace mwtun::test {

/// A scenario with exact expectations. The seed chooses what is left to chance: keys, jitter, which
/// datagrams are lost.
struct Case {
  std::string_view name;
  std::optional<Violation> (*run)(std::uint64_t seed);
};

/// All of them, in a fixed order.
std::span<const Case> all_cases();
/// @param name     must be one of all_cases()
/// @param verbose  as in WorldOptions
std::optional<Violation> run_case(std::string_view name, std::uint64_t seed, unsigned verbose = 0);

}  // namespace mwtun::test
