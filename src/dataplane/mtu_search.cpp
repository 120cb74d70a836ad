#include "dataplane/mtu_search.hpp"

#include <algorithm>

namespace mwtun {

static constexpr unsigned tries_max = 3;
static constexpr unsigned full_lost_max = 6;
static constexpr Duration probe_timeout = milliseconds(400);
static constexpr Duration search_again = seconds(600);
static constexpr Duration search_after_black_hole = seconds(60);
static constexpr std::uint32_t packet_bytes_base = 1280;

void MtuSearch::restart(std::uint32_t interface_mtu, std::uint32_t header_bytes, Instant now) {
  *this = MtuSearch{};
  base_ = size_ = packet_bytes_base - header_bytes;
  for (const std::uint32_t packet : {interface_mtu, 1492u, 1460u, 1400u, 1360u}) {
    if (packet <= packet_bytes_base || packet > interface_mtu) continue;
    const std::uint32_t candidate = packet - header_bytes;
    if (candidate_count_ > 0 && candidates_[candidate_count_ - 1] <= candidate) continue;
    candidates_[candidate_count_++] = candidate;
  }
  if (candidate_count_ > 0) next_probe_ = now;
}

std::optional<std::uint32_t> MtuSearch::probe_due(Instant now) {
  if (now < next_probe_) return std::nullopt;
  if (!searching_) {
    searching_ = true;
    candidate_ = 0, tries_ = 0, refused_ = UINT32_MAX;
  }
  while (candidate_ < candidate_count_ && candidates_[candidate_] >= refused_) {
    ++candidate_, tries_ = 0;
  }
  if (candidate_ >= candidate_count_ || candidates_[candidate_] <= size_) {
    next_probe_ = now + search_again;
    searching_ = false;
    return std::nullopt;
  }
  // Silence counts as a lost probe: the next try is due anyway.
  next_probe_ = now + probe_timeout;
  const std::uint32_t size = candidates_[candidate_];
  if (++tries_ >= tries_max) ++candidate_, tries_ = 0;
  return size;
}

bool MtuSearch::probe_acknowledged(std::uint32_t size, Instant now) {
  if (size <= size_) return false;
  size_ = size;
  full_lost_ = 0;
  next_probe_ = now + search_again;
  searching_ = false;
  return true;
}

void MtuSearch::probe_lost(std::uint32_t, Instant now) {
  if (!searching_) return;
  next_probe_ = std::min(next_probe_, now + milliseconds(1));
}

bool MtuSearch::acknowledged(std::uint32_t bytes) {
  if (bytes > base_) full_lost_ = 0, small_arrived_ = false;
  if (bytes <= base_ && full_lost_ > 0) small_arrived_ = true;
  return false;
}

bool MtuSearch::lost(std::uint32_t bytes, Instant now) {
  if (bytes <= base_ || size_ == base_) return false;
  ++full_lost_;
  if (full_lost_ < full_lost_max || !small_arrived_) return false;
  fall_back(now, search_after_black_hole);
  return true;
}

bool MtuSearch::too_big(std::uint32_t bytes, Instant now) {
  refused_ = std::min(refused_, bytes);
  if (bytes > size_) return false;
  fall_back(now, milliseconds(1));
  return size_ < bytes;
}

void MtuSearch::fall_back(Instant now, Duration retry) {
  size_ = base_;
  full_lost_ = 0;
  small_arrived_ = false;
  candidate_ = 0;
  tries_ = 0;
  searching_ = retry < search_after_black_hole;  // Then what the kernel refused stays refused.
  next_probe_ = candidate_count_ > 0 ? now + retry : never;
}

}  // namespace mwtun
