#include "support/sim_cases.hpp"

#include <algorithm>
#include <vector>

#include "base/assert.hpp"
#include "support/cases/lists.hpp"
#include "support/cases/steps.hpp"

namespace mwtun::test {

std::span<const Case> all_cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> found;
    for (const std::span<const Case> list :
         {sessions_cases(), links_cases(), order_cases(), quiet_cases()}) {
      found.insert(found.end(), list.begin(), list.end());
    }
    return found;
  }();
  return all;
}

std::optional<Violation> run_case(std::string_view name, std::uint64_t seed, unsigned verbose) {
  const std::span<const Case> all = all_cases();
  const auto found =
      std::find_if(all.begin(), all.end(), [name](const Case& it) { return it.name == name; });
  MWTUN_ASSERT(found != all.end());
  set_verbosity(verbose);
  return found->run(seed);
}

}  // namespace mwtun::test
