#pragma once
#include <span>

#include "support/sim_cases.hpp"

namespace mwtun::test {

/// The cases by what they are about; all_cases() has them all.
std::span<const Case> sessions_cases();
std::span<const Case> links_cases();
std::span<const Case> order_cases();
std::span<const Case> quiet_cases();

}  // namespace mwtun::test
