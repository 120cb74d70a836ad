#include "sched/kinds.hpp"

namespace mwtun {

static constexpr const char* scheduler_names[] = {"adaptive", "round-robin", "hash",
                                                  "active-backup", "redundant"};
static constexpr const char* hash_names[] = {"l2", "l2+3", "l3+4"};

template <typename Kind, std::size_t count>
static std::optional<Kind> find_name(const char* const (&names)[count], std::string_view name) {
  for (std::size_t i = 0; i < count; ++i) {
    if (name == names[i]) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

const char* to_string(SchedulerKind kind) {
  return scheduler_names[static_cast<int>(kind)];
}
const char* to_string(HashFields fields) {
  return hash_names[static_cast<int>(fields)];
}

std::optional<SchedulerKind> scheduler_from_name(std::string_view name) {
  return find_name<SchedulerKind>(scheduler_names, name);
}
std::optional<HashFields> hash_fields_from_name(std::string_view name) {
  return find_name<HashFields>(hash_names, name);
}

}  // namespace mwtun
