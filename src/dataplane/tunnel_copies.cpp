// Which frames go over more than one link, and over which: redundant ones, urgent ones whose link
// is in doubt or loses some, the first of a stream, and copies for links that are held back.
#include <algorithm>

#include "dataplane/tunnel.hpp"

namespace mwtun {

static constexpr Duration idle_busy_max = milliseconds(20), idle_queue_max = milliseconds(5);
static constexpr std::size_t small_frame_bytes = 300;
static constexpr std::uint32_t loss_ppm_doubled = 1'000;
static constexpr Duration redundant_wait_max = milliseconds(50);
static constexpr Duration progress_stale = milliseconds(60);

/// What is urgent goes by two links at once while it is not known whether the first still works,
/// and, if it is small, when that one loses some; so do a stream's first frames, while another link
/// has nothing to do: a sender that meets the delay of a repair so early takes it for a full line
/// (HyStart, RFC 9406) and is slow for long. Not where a flow must keep to one link, nor where
/// bytes cost money.
std::optional<LinkId> Tunnel::second_link(LinkId chosen, Instant now) {
  const Scheduler& scheduler = scheduler_for(cutting_.lane.entry);
  const bool stripes =
      scheduler.kind() == SchedulerKind::adaptive || scheduler.kind() == SchedulerKind::round_robin;
  if (!stripes || cutting_.lane.pinned) return std::nullopt;
  if (cutting_.lane.young && link(chosen)->loss.loses()) {
    if (const std::optional<LinkId> idle = idle_link(chosen, now)) return idle;
  }
  if (!cutting_.urgent || cutting_.offset > 0) return std::nullopt;
  const Link& l = *link(chosen);
  const bool stale = now - l.last_progress > progress_stale;
  const bool small = cutting_.frame.size <= small_frame_bytes;
  const bool lossy =
      small && !wire::lane_ordered(cutting_.lane.lane) && l.loss.ppm() >= loss_ppm_doubled;
  std::optional<LinkId> second;
  if (stale || lossy) {
    LinkSet except = blocked_links(now);
    except.add(chosen);
    each_link([&](const Link& other) {
      if (other.config.metered) except.add(other.id);
    });
    second = scheduler.pick_soonest(views_, cutting_.frame.size, except);
    if (second && except.has(*second)) second.reset();
  }
  if (!second && small && flow_->class_of[cutting_.lane.entry] == 0) second = held_link(now);
  if (!second || link(*second)->pacer.wait(now) > Scheduler::urgent_wait_max) return std::nullopt;
  return second;
}

/// A link that could take a copy without anything else having to wait.
std::optional<LinkId> Tunnel::idle_link(LinkId not_this, Instant now) const {
  LinkSet except = blocked_links(now);
  except.add(not_this);
  for (const LinkView& view : views_) {
    const bool used = view.wait > Duration{0} || view.busy > idle_busy_max;
    if (used || view.queue > idle_queue_max || link(view.id)->config.metered) except.add(view.id);
  }
  const std::optional<LinkId> found = scheduler_.pick_soonest(views_, cutting_.frame.size, except);
  return found && !except.has(*found) ? found : std::nullopt;
}

/// A link that is not relied on at the moment shows with copies what it does to frames.
std::optional<LinkId> Tunnel::held_link(Instant now) const {
  for (const LinkView& view : views_) {
    const Link& l = *link(view.id);
    const bool held = view.tier == LinkTier::held && !scheduler_.eligible().has(view.id);
    if (held && !l.config.metered && can_send(l, now)) return view.id;
  }
  return std::nullopt;
}

/// Every frame on every link, as fast as the fastest takes it; a copy that its link would send
/// redundant_wait_max later is not worth sending.
LinkSet Tunnel::copy_links(const Scheduler& scheduler, bool urgent, Instant now) const {
  const LinkSet blocked = blocked_links(now);
  Duration wait_max = urgent ? Scheduler::urgent_wait_max : Duration{0};
  if (cutting_.active && cutting_.offset > 0 && any_link_ready(Duration{0}, now)) {
    wait_max = redundant_wait_max;  // What has begun goes on.
  }
  LinkSet links;
  bool any_ready = false;
  each_link([&](const Link& l) {
    const bool eligible = scheduler.eligible().has(l.id);
    if ((!eligible && l.tier() != LinkTier::held) || blocked.has(l.id)) return;
    const Duration wait = l.pacer.wait(now);
    any_ready |= eligible && wait <= wait_max;
    if (wait <= redundant_wait_max) links.add(l.id);
  });
  return any_ready ? links : LinkSet{};
}

}  // namespace mwtun
