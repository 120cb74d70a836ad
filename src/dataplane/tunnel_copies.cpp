// Which frames go over more than one link, and over which: redundant ones, urgent ones whose link
// is in doubt or loses some, the first of a stream, and copies for links that are held back.
#include <algorithm>

#include "dataplane/tunnel.hpp"

namespace mwtun {

static constexpr Duration idle_busy_max = milliseconds(20), idle_queue_max = milliseconds(5);
static constexpr std::size_t small_frame_bytes = 300;
static constexpr std::uint32_t loss_ppm_doubled = 1'000;
static constexpr Duration second_late = milliseconds(5);
static constexpr Duration redundant_wait_max = milliseconds(50);
static constexpr Duration progress_stale = milliseconds(60);

/// The frame is small, nobody holds it for order, and its link loses some: a copy costs little, and
/// the loss of the only one would be seen as delay.
bool Tunnel::loss_would_show(const Link& l) const {
  return cutting_.urgent && cutting_.offset == 0 && cutting_.frame.size <= small_frame_bytes &&
         !wire::lane_ordered(cutting_.lane.lane) && l.loss.ppm() >= loss_ppm_doubled;
}

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
  std::optional<LinkId> second;
  if (stale || loss_would_show(l)) {
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

/// Whether a copy by the next datagram of the same link would come well before the one by the
/// second link.
bool Tunnel::goes_again(LinkId chosen, std::optional<LinkId> second) const {
  const Link& l = *link(chosen);
  if (!loss_would_show(l) || l.config.metered) return false;
  if (!second) return true;
  const auto delivery = [&](LinkId id) {
    for (const LinkView& view : views_) {
      if (view.id == id) return predicted_delivery(view, cutting_.frame.size);
    }
    return Duration::max();
  };
  return delivery(*second) - delivery(chosen) > second_late;
}

/// Into the datagram that was just begun on the link: what is to go on it again.
void Tunnel::write_again(Link& l, Instant now) {
  Ring<Again>& again = flow_->again;
  for (std::size_t left = again.size(); left > 0; --left) {
    const Again next = again.pop_front();
    const OutChunk& chunk = flow_->out[next.chunk];
    const std::size_t need = wire::frame_chunk_header_bytes + wire::offload_bytes + chunk.size;
    if (next.link != l.id || builder_for(l, now).room() < need) {
      again.push_back(next);
      continue;
    }
    if (!chunk.resolved) write_chunk(l, next.chunk, now);
    flow_->out.release(next.chunk);
  }
}

/// No frame is left that would begin another datagram. True when there is something to send.
bool Tunnel::flush_again(Instant now) {
  while (!flow_->again.empty()) {
    const Again& next = flow_->again.front();
    Link& l = *link(next.link);
    if (!flow_->out[next.chunk].resolved && l.carries() && can_send(l, now)) {
      builder_for(l, now);
      return true;
    }
    flow_->out.release(flow_->again.pop_front().chunk);
  }
  return false;
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
