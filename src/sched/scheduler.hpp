#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "base/time.hpp"
#include "sched/active_backup.hpp"
#include "sched/edpf.hpp"
#include "sched/hash_buckets.hpp"
#include "sched/kinds.hpp"
#include "sched/link_view.hpp"
#include "sched/weighted_round_robin.hpp"

namespace mwtun {

/// The links of the best tier that has any (design 5.3: all schedulers leave a link that is dead or
/// lossy while there is a better one).
LinkSet best_tier(std::span<const LinkView> links);

/// Which link the next frame takes. One object holds all five ways, chosen by kind: a switch, not a
/// virtual call, as it runs for each frame. Pure: the same calls give the same picks.
class Scheduler {
 public:
  explicit Scheduler(SchedulerKind kind) : kind_(kind) {}
  SchedulerKind kind() const { return kind_; }

  /// To be called when a tier or the configuration of a link may have changed.
  void update(std::span<const LinkView> links, Instant now);
  /// Links that update() found eligible; a redundant frame goes on all of them.
  LinkSet eligible() const { return eligible_; }
  /// The link for `bytes` more of the flow with this hash; none when no link is eligible. `links`
  /// has the current facts, in the order of update(). `except` is avoided where another is
  /// eligible.
  std::optional<LinkId> pick(std::span<const LinkView> links, std::uint32_t bytes,
                             std::uint64_t flow_hash, LinkSet except = {});
  /// The link on which this would arrive soonest, whatever the kind: for repairs and urgent frames.
  std::optional<LinkId> pick_soonest(std::span<const LinkView> links, std::uint32_t bytes,
                                     LinkSet except = {}) const;
  /// `bytes` were sent on the link.
  void sent(LinkId link, std::uint32_t bytes) { round_robin_.sent(link, bytes); }

 private:
  SchedulerKind kind_;
  LinkSet eligible_;
  WeightedRoundRobin round_robin_;
  HashBuckets hash_;
  ActiveBackup active_backup_;
};

}  // namespace mwtun
