#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "sched/link_view.hpp"

namespace mwtun {

/// LACP-like: a flow's hash names one of 256 buckets, a bucket one link. Buckets are spread by
/// measured rate where every eligible link has one, else by weight, and move only when the set of
/// eligible links changes; then no more of them than must.
class HashBuckets {
 public:
  static constexpr std::size_t bucket_count = 256;
  void update(std::span<const LinkView> links, LinkSet eligible);
  std::optional<LinkId> pick(std::uint64_t flow_hash, LinkSet among) const;

 private:
  std::array<LinkId, bucket_count> owner_{};
  bool filled_ = false;
};

}  // namespace mwtun
