#pragma once
#include <array>
#include <optional>
#include <span>

#include "base/time.hpp"
#include "sched/link_view.hpp"

namespace mwtun {

/// All frames on the eligible link of the lowest `priority` (then the lowest number). A better link
/// that comes back must have been eligible for the hold-down before traffic returns to it.
class ActiveBackup {
 public:
  static constexpr Duration hold_down = seconds(3);
  void update(std::span<const LinkView> links, LinkSet eligible, Instant now);
  std::optional<LinkId> pick(std::span<const LinkView> links, LinkSet among) const;

 private:
  std::optional<LinkId> active_;
  std::array<Instant, links_max> eligible_since_{};
  LinkSet eligible_;
};

}  // namespace mwtun
