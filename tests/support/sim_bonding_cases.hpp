#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/sim_bonding.hpp"

namespace mwtun::test {

/// A measured number and what it is held against.
struct Figure {
  enum class Bound : std::uint8_t { none, least, most };
  std::string name;
  double value = 0;
  std::string_view unit;
  Bound bound = Bound::none;
  double limit = 0;

  bool held() const {
    return bound == Bound::none || (bound == Bound::least ? value >= limit : value <= limit);
  }
};
using Figures = std::vector<Figure>;

/// One event or odd line, and what has to come of it.
struct BondingCase {
  std::string_view name;
  std::string_view claim;
  Figures (*run)(const BondingOptions& options);
};

std::span<const BondingCase> bonding_cases();
std::string to_line(const BondingCase& bonding_case, const Figures& figures);
std::string to_json(const BondingCase& bonding_case, const Figures& figures);

/// Stands in for a recorded trace that is not there: capacity that wanders as LTE's does, between
/// 1 and 40 Mbit/s, the same for the same name.
linkem::TracePtr synthetic_trace(std::string_view name);

// In sim_bonding_faults.cpp.
Figures case_death(const BondingOptions& options);
Figures case_carrier(const BondingOptions& options);
Figures case_idle_death(const BondingOptions& options);
Figures case_return(const BondingOptions& options);
Figures case_one_direction(const BondingOptions& options);
Figures case_flapping(const BondingOptions& options);
Figures case_rate_step(const BondingOptions& options);
Figures case_delay_step(const BondingOptions& options);

}  // namespace mwtun::test
