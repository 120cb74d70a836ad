#include "dataplane/queue_settings.hpp"

#include <algorithm>

namespace mwtun {

static constexpr Duration interval_min = milliseconds(100);
static constexpr std::uint64_t queue_ms_max = 400;
static constexpr std::uint64_t queue_bytes_least = 128 * 1024;

static Duration part_of(Duration whole, double part) {
  return Duration{static_cast<Duration::rep>(static_cast<double>(whole.count()) * part)};
}

/// A flow over the slowest link must not be told to slow down before it can have heard.
QueueSettings queue_settings(const LinksAbility& links) {
  QueueSettings settings;
  settings.interval = std::max<Duration>(interval_min, 2 * links.slowest);
  // What queues while a link's rate is still being found, or because one has just failed and what
  // it had on its way goes again, is not the senders' doing.
  if (!links.measured || links.fewer) settings.interval *= 3;
  // No window follows a rate that goes up and down within a round trip. What lasts through the dips
  // fills the line after them, and nobody waits for it but the flow itself.
  settings.interval += part_of(settings.interval, links.swing);
  const Duration lasting = part_of(settings.interval / 2, links.swing);
  // A frame or two must fit the target, however slow the links are.
  const std::uint64_t frames_ns =
      3 * 1514 * 8'000'000'000ull / std::max<std::uint64_t>(links.bps, 1);
  const Duration frames{static_cast<std::int64_t>(frames_ns)};
  // CUBIC takes three tenths off its window when told: with less queued than that, the links idle.
  const Duration backing_off = part_of(links.slowest, 0.4);
  // While a loss is repaired the flow stands still, and then comes at once.
  const Duration standstill = links.lossy ? links.slowest : Duration{0};
  settings.target = std::clamp<Duration>(std::max({frames, lasting, backing_off}),
                                         settings.interval / 10, settings.interval / 2) +
                    standstill;
  // In a dip, or while a queue in the line is let run empty, what was right before must not be
  // thrown away at once: it is half of a window, and a flow in slow start has then found its limit.
  const auto before_dip =
      static_cast<std::uint64_t>(static_cast<double>(links.peak_bps) * links.swing);
  settings.bytes_max = std::max<std::uint64_t>(
      queue_bytes_least,
      std::max({links.bps, links.recent_bps, before_dip}) / 8 * queue_ms_max / 1000);
  return settings;
}

}  // namespace mwtun
