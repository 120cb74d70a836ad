#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "sched/link_view.hpp"

namespace mwtun {

/// Bytes in proportion to the configured weights: the next frame goes to the link that has had the
/// least for its weight.
class WeightedRoundRobin {
 public:
  /// The eligible set changed: everyone starts even, so that a link that comes back is not flooded.
  void restart() { sent_bytes_.fill(0); }
  std::optional<LinkId> pick(std::span<const LinkView> links, LinkSet among) const;
  void sent(LinkId link, std::uint32_t bytes) { sent_bytes_[index_of(link)] += bytes; }

 private:
  std::array<std::uint64_t, links_max> sent_bytes_{};
};

}  // namespace mwtun
