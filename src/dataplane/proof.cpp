#include "dataplane/proof.hpp"

#include <algorithm>
#include <bit>

namespace mwtun {

static constexpr Duration tolerance_max = milliseconds(250);
static constexpr Duration tolerance_kept = seconds(10);
static constexpr Duration head_patience = seconds(2);  // More than any link's delay.

void ProofTracker::arrived(LinkId id, std::uint8_t epoch, std::uint64_t number, std::uint64_t stamp,
                           Instant now) {
  PerLink& link = links_[index_of(id)];
  const Mark& newest = link.marks[(link.next_mark + link.marks.size() - 1) % link.marks.size()];
  // The next epoch, or, after a long silence, any other: then the stamp tells it from a straggler.
  const bool next_epoch = static_cast<std::uint8_t>((epoch - link.epoch) & 3) == 1;
  if (!used(id) || next_epoch || (epoch != link.epoch && stamp > newest.stamp)) {
    used_ |= static_cast<std::uint16_t>(1u << index_of(id));
    link.epoch = epoch;
    link.largest = number;
    link.waits = false;
    // The old numbers say nothing of who overtook whom from now on.
    for (Mark& mark : link.marks) mark.number = 0;
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
  link.newest_at = now;
  // Marks are spread so that the ring reaches back over the whole tolerance.
  if (link.tolerance > Duration{0} && now - newest.at < link.tolerance / 16) return;
  link.marks[link.next_mark++ % link.marks.size()] = {number, stamp, now};
  if (link.tolerance == Duration{0}) link.clear = std::max(link.clear, stamp);
  settle(link, now);
}

void ProofTracker::settle(PerLink& link, Instant now) {
  const bool learnt = link.tolerance > Duration{0};
  if (learnt && now - link.tolerance_learnt > tolerance_kept) {
    link.tolerance /= 2;
    link.tolerance_learnt = now;
    if (link.tolerance < microseconds(100)) link.tolerance = Duration{0};
  }
  if (learnt) {
    for (const Mark& mark : link.marks) {
      if (mark.at != Instant{} && mark.at + link.tolerance <= now) {
        link.clear = std::max(link.clear, mark.stamp);
      }
    }
  }
  // Everything there is has been overtaken by nothing: clear up to the head's own time.
  const bool still = link.newest_at + link.tolerance <= now;
  while (link.waits && still && link.waiting.number <= link.largest) {
    link.clear = std::max(link.clear, link.waiting.stamp);
    link.waits = link.newest_head.stamp > link.waiting.stamp;
    link.waiting = link.newest_head;
    link.waiting_since = now;
  }
}

void ProofTracker::head(LinkId id, std::uint8_t epoch, std::uint64_t number, std::uint64_t stamp,
                        Instant now) {
  PerLink& link = links_[index_of(id)];
  if (!used(id) || epoch != link.epoch) return;
  const Head head{number, stamp};
  if (!link.waits || stamp > link.newest_head.stamp) link.newest_head = head;
  if (!link.waits) link.waiting_since = now;
  // It may come by another link, long before what it tells of.
  if (!link.waits || (number == link.waiting.number && stamp > link.waiting.stamp)) {
    link.waiting = head;
  }
  link.waits = true;
  settle(link, now);
}

std::uint64_t ProofTracker::clear(Instant now) {
  std::uint64_t least = UINT64_MAX;
  for (unsigned used = used_; used != 0; used &= used - 1) {
    PerLink& link = links_[static_cast<std::size_t>(std::countr_zero(used))];
    if (link.waits || link.tolerance > Duration{0}) settle(link, now);
    const bool missing = link.waits && link.waiting.number > link.largest;
    if (missing && now - link.waiting_since > head_patience) continue;
    least = std::min(least, link.clear);
  }
  return least == UINT64_MAX ? 0 : least;
}

}  // namespace mwtun
