#include "dataplane/received_log.hpp"

#include <algorithm>

namespace mwtun {

void ReceivedLog::add(std::uint64_t number, std::uint64_t arrival_units) {
  ++total_;
  arrivals_[next_arrival_++ % arrivals_.size()] = {number, arrival_units};
  // Runs go downwards; the first that begins at or below number + 1 is the one to join or to
  // precede.
  std::size_t at = 0;
  while (at < count_ && runs_[at].first > number + 1) ++at;
  if (at < count_ && runs_[at].first == number + 1) {
    runs_[at].first = number;
    if (at + 1 < count_ && runs_[at + 1].last + 1 == number) {
      runs_[at].first = runs_[at + 1].first;
      std::copy(runs_.begin() + static_cast<std::ptrdiff_t>(at) + 2,
                runs_.begin() + static_cast<std::ptrdiff_t>(count_),
                runs_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      --count_;
    }
    return;
  }
  if (at < count_ && runs_[at].last >= number) return;  // Known.
  if (at < count_ && runs_[at].last + 1 == number) {
    runs_[at].last = number;
    return;
  }
  if (at == runs_.size()) return;  // Older than all we keep.
  const std::size_t keep = std::min(count_, runs_.size() - 1);
  std::copy_backward(runs_.begin() + static_cast<std::ptrdiff_t>(at),
                     runs_.begin() + static_cast<std::ptrdiff_t>(keep),
                     runs_.begin() + static_cast<std::ptrdiff_t>(keep) + 1);
  runs_[at] = {number, number};
  count_ = keep + 1;
}

void ReceivedLog::fill(wire::Ack& ack, Instant now) {
  const Duration since = now - largest_arrived_;
  ack.delay_units = static_cast<std::uint16_t>(
      std::clamp<std::int64_t>(since.count() / wire::stamp_unit_ns, 0, UINT16_MAX));
  ack.received_low = static_cast<std::uint32_t>(total_);
  ack.range_count = count_;
  std::copy_n(runs_.begin(), count_, ack.ranges.begin());
  ack.arrival_count = 0;
  const std::size_t fresh = std::max<std::size_t>(next_arrival_ - told_arrivals_, 1);
  const std::size_t known = std::min({next_arrival_, fresh, arrivals_.size()});
  told_arrivals_ = next_arrival_;
  for (std::size_t i = 0; i < known; ++i) {
    const Arrival& arrival = arrivals_[(next_arrival_ - 1 - i) % arrivals_.size()];
    if (largest() - arrival.number > UINT32_MAX) continue;
    ack.arrivals[ack.arrival_count++] = {static_cast<std::uint32_t>(largest() - arrival.number),
                                         static_cast<std::uint32_t>(arrival.units & 0xffffff)};
  }
}

}  // namespace mwtun
