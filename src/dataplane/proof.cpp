#include "dataplane/proof.hpp"

#include <algorithm>

namespace mwtun {

static constexpr Duration tolerance_max = milliseconds(250);
static constexpr Duration tolerance_kept = seconds(10);

void ProofTracker::arrived(LinkId id, std::uint8_t epoch, std::uint64_t number, std::uint64_t stamp,
                           Instant now) {
  PerLink& link = links_[index_of(id)];
  const bool new_epoch = !link.used || static_cast<std::uint8_t>((epoch - link.epoch) & 3) == 1;
  if (new_epoch) {
    link.used = true;
    link.epoch = epoch;
    link.largest = number;
  } else if (epoch != link.epoch) {
    return;  // A straggler under the old key.
  } else if (number < link.largest) {
    // Overtaken: learn by how much, from the first later one that came before it.
    Duration late{};
    for (const Mark& mark : link.marks) {
      if (mark.number > number && mark.at != Instant{}) late = std::max(late, now - mark.at);
    }
    link.tolerance = std::min(std::max(link.tolerance, late + late / 4), tolerance_max);
    link.tolerance_learnt = now;
    return;
  }
  link.largest = std::max(link.largest, number);
  const Mark& newest = link.marks[(link.next_mark + link.marks.size() - 1) % link.marks.size()];
  // Marks are spread so that the ring reaches back over the whole tolerance.
  if (link.tolerance > Duration{0} && now - newest.at < link.tolerance / 16) return;
  link.marks[link.next_mark++ % link.marks.size()] = {number, stamp, now};
  settle(link, now);
}

void ProofTracker::settle(PerLink& link, Instant now) {
  if (link.tolerance > Duration{0} && now - link.tolerance_learnt > tolerance_kept) {
    link.tolerance /= 2;
    link.tolerance_learnt = now;
    if (link.tolerance < microseconds(100)) link.tolerance = Duration{0};
  }
  for (const Mark& mark : link.marks) {
    if (mark.at != Instant{} && mark.at + link.tolerance <= now) {
      link.clear = std::max(link.clear, mark.stamp);
    }
  }
}

void ProofTracker::head(LinkId id, std::uint8_t epoch, std::uint64_t number, std::uint64_t stamp,
                        Instant now) {
  PerLink& link = links_[index_of(id)];
  if (!link.used || epoch != link.epoch || number > link.largest) return;
  // Everything there is has been overtaken by nothing: clear up to the head's own time.
  const Mark& newest = link.marks[(link.next_mark + link.marks.size() - 1) % link.marks.size()];
  if (newest.at + link.tolerance <= now) link.clear = std::max(link.clear, stamp);
}

std::uint64_t ProofTracker::clear(Instant now) {
  std::uint64_t least = UINT64_MAX;
  for (PerLink& link : links_) {
    if (!link.used) continue;
    if (link.tolerance > Duration{0}) settle(link, now);
    least = std::min(least, link.clear);
  }
  return least == UINT64_MAX ? 0 : least;
}

}  // namespace mwtun
