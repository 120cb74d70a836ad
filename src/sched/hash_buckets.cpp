#include "sched/hash_buckets.hpp"

#include <algorithm>

namespace mwtun {

void HashBuckets::update(std::span<const LinkView> links, LinkSet eligible) {
  if (eligible.empty()) return;
  bool rates_known = true;
  for (const LinkView& link : links) {
    if (eligible.has(link.id) && (!link.rate_proven || link.rate_bps == 0)) rates_known = false;
  }
  std::array<std::uint64_t, links_max> share{};
  std::uint64_t total = 0;
  for (const LinkView& link : links) {
    if (!eligible.has(link.id)) continue;
    share[index_of(link.id)] = rates_known ? link.rate_bps / 1000 + 1 : link.weight;
    total += share[index_of(link.id)];
  }
  // Quotas that sum to 256: rounded down, and the rest to the lowest numbers.
  std::array<std::size_t, links_max> quota{};
  std::size_t given = 0;
  for (std::size_t i = 0; i < links_max; ++i) {
    quota[i] = share[i] == 0 ? 0 : std::max<std::size_t>(1, share[i] * bucket_count / total);
    given += quota[i];
  }
  for (std::size_t i = 0; given < bucket_count; i = (i + 1) % links_max) {
    if (share[i] > 0) ++quota[i], ++given;
  }
  while (given > bucket_count) --*std::max_element(quota.begin(), quota.end()), --given;
  // Keep what may stay, then hand out the rest.
  std::array<bool, bucket_count> keeps{};
  if (filled_) {
    for (std::size_t b = 0; b < bucket_count; ++b) {
      std::size_t& left = quota[index_of(owner_[b])];
      if (left > 0) --left, keeps[b] = true;
    }
  }
  std::size_t next = 0;
  for (std::size_t b = 0; b < bucket_count; ++b) {
    if (keeps[b]) continue;
    while (quota[next] == 0) next = (next + 1) % links_max;
    owner_[b] = LinkId{static_cast<std::uint8_t>(next)};
    --quota[next];
    next = (next + 1) % links_max;
  }
  filled_ = true;
}

std::optional<LinkId> HashBuckets::pick(std::uint64_t flow_hash, LinkSet among) const {
  // A link that is avoided for the moment: the next bucket along whose link is not.
  for (std::size_t i = 0; i < bucket_count; ++i) {
    const LinkId owner = owner_[(flow_hash + i) % bucket_count];
    if (among.has(owner)) return owner;
  }
  return std::nullopt;
}

}  // namespace mwtun
