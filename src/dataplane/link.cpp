#include "dataplane/link.hpp"

#include <algorithm>

namespace mwtun {

static constexpr Duration ack_delay_max = milliseconds(10);

LinkTier Link::tier() const {
  if (!carries() || config.role == LinkRole::unused) return LinkTier::unusable;
  if (suspect) return LinkTier::suspect;
  if (hold.held()) return LinkTier::held;
  const bool backup = config.role == LinkRole::backup;
  if (state == LinkState::lossy) return backup ? LinkTier::lossy_backup : LinkTier::lossy;
  return backup ? LinkTier::backup : LinkTier::healthy;
}

LinkView Link::view(Instant now) const {
  LinkView view;
  view.id = id;
  view.tier = tier();
  view.weight = config.weight;
  view.priority = config.priority;
  view.rate_bps = rate.pacing_bps();
  view.rate_proven = rate.proven();
  view.queue = rate.queue_ahead(sent_bytes, now);
  view.wait = pacer.wait(now);
  view.busy = pacer.busy(now);
  return view;
}

Duration Link::suspect_after() const {
  if (!rtt.known()) return milliseconds(500);
  const Duration slack = std::max<Duration>(milliseconds(30), 7 * rtt.variance());
  // A line whose delay swings has done so just now.
  const Duration peak = std::min(rtt.peak(), 4 * rtt.smoothed() + milliseconds(200));
  return std::max(rtt.smoothed() + slack, peak * 9 / 8 + ack_delay_max) + ack_delay_max;
}

Duration Link::down_after() const {
  // So that two probes, sent once it is suspect, could have been answered.
  return std::max<Duration>(milliseconds(300), 3 * suspect_after());
}

}  // namespace mwtun
