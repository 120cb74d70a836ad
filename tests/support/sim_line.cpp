#include "support/sim_line.hpp"

#include <algorithm>

namespace mwtun::test {
namespace {

Duration within(Duration limit, Prng& chance) {
  return Duration(static_cast<Duration::rep>(
      chance.below(static_cast<std::uint64_t>(std::max<Duration::rep>(limit.count(), 0)) + 1)));
}

}  // namespace

bool SimLine::lose(std::uint32_t ip_bytes, bool handshake, Prng& chance) {
  if (options.burst_enter > 0 || bad_) {
    bad_ = bad_ ? !chance.chance(options.burst_leave) : chance.chance(options.burst_enter);
    if (bad_ && chance.chance(options.burst_loss)) return true;
  }
  if (options.loss > 0 && chance.chance(options.loss)) return true;
  return options.dead || ip_bytes > options.mtu || (handshake && options.eats_handshakes);
}

bool SimLine::faultless() const {
  return !options.dead && !options.eats_handshakes && options.loss <= 0 &&
         options.burst_enter <= 0 && !bad_ && options.duplicate <= 0 && options.corrupt <= 0 &&
         options.mtu >= 1280;
}

Arrivals SimLine::pass(std::uint32_t ip_bytes, bool handshake, Instant now, Prng& chance) {
  Arrivals arrivals;
  ++counters_.datagrams;
  if (lose(ip_bytes, handshake, chance)) {
    ++counters_.lost;
    return arrivals;
  }
  const std::size_t copies = options.duplicate > 0 && chance.chance(options.duplicate) ? 2 : 1;
  counters_.duplicated += copies - 1;
  for (std::size_t copy = 0; copy < copies; ++copy) {
    Instant out = now;
    if (options.rate_bps > 0) {
      const auto bits_per_s = static_cast<double>(options.rate_bps);
      const Instant begin = std::max(now, busy_until_);
      const double waiting = static_cast<double>((begin - now).count()) * 1e-9 * bits_per_s / 8;
      if (waiting + ip_bytes > options.queue_bytes_max) {
        ++counters_.queue_dropped;
        continue;
      }
      busy_until_ = begin + Duration(static_cast<Duration::rep>(ip_bytes * 8e9 / bits_per_s));
      out = busy_until_;
    }
    out += options.delay + within(options.jitter, chance);
    if (options.reorder > 0 && chance.chance(options.reorder)) {
      out += within(options.reorder_by, chance);
    } else if (!options.jitter_reorders) {
      out = std::max(out, last_arrival_);
      last_arrival_ = out;
    }
    const bool corrupt = options.corrupt > 0 && chance.chance(options.corrupt);
    counters_.corrupted += corrupt ? 1u : 0u;
    arrivals.copies[arrivals.count++] = {out, corrupt};
  }
  return arrivals;
}

}  // namespace mwtun::test
