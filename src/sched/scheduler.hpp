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
  /// Small enough that links do not queue by it, long enough that urgent frames rarely wait.
  static constexpr Duration urgent_wait_max = milliseconds(5);
  /// A link whose frames arrive later than the best one's by more than this takes no part in
  /// striping: the receiver would hold all the others back for as long.
  static constexpr Duration stripe_spread_max = milliseconds(250);
  static constexpr Duration stripe_slack = milliseconds(5);

  /// To be called when a tier or the configuration of a link may have changed.
  void update(std::span<const LinkView> links, Instant now);
  /// Links that update() found eligible; a redundant frame goes on all of them.
  LinkSet eligible() const { return eligible_; }
  /// Those of them that a flow may be striped over: not what is too far behind the best.
  LinkSet striped(std::span<const LinkView> links) const;
  /// The link for `bytes` more of the flow with this hash; none when no link is eligible, or when
  /// those that this scheduler allows have to wait for their pacing. `links` has the current facts,
  /// in the order of update(). `except` is avoided where another is eligible. What is urgent (a
  /// sparse flow's) does not wait for pacing if that is behind by no more than urgent_wait_max.
  /// `backlog_bytes` is all that waits to be sent, these included.
  std::optional<LinkId> pick(std::span<const LinkView> links, std::uint32_t bytes,
                             std::uint64_t flow_hash, LinkSet except = {}, bool urgent = false,
                             std::uint64_t backlog_bytes = 0) const;
  /// The link on which this would arrive soonest, whatever the kind: for repairs and urgent frames.
  std::optional<LinkId> pick_soonest(std::span<const LinkView> links, std::uint32_t bytes,
                                     LinkSet except = {}) const;
  /// `bytes` were sent on the link.
  void sent(LinkId link, std::uint32_t bytes) { round_robin_.sent(link, bytes); }

 private:
  LinkSet stripe(std::span<const LinkView> links, LinkSet among, std::uint64_t backlog_bytes) const;

  SchedulerKind kind_;
  bool weights_equal_ = true;
  LinkSet eligible_;
  WeightedRoundRobin round_robin_;
  HashBuckets hash_;
  ActiveBackup active_backup_;
};

}  // namespace mwtun
