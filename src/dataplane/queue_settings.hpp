#pragma once
#include <cstdint>

#include "base/time.hpp"

namespace mwtun {

/// What the links that are in use can do together.
struct LinksAbility {
  Duration slowest{};            // Round trip.
  bool measured = true;          // All rates are known.
  bool fewer = false;            // One has just failed, or is in doubt.
  bool lossy = false;            // At least one is.
  std::uint64_t bps = 0;         // Of all, now,
  std::uint64_t recent_bps = 0;  // the most within seconds,
  std::uint64_t peak_bps = 0;    // and within a minute.
  double swing = 0;              // How much that goes up and down, from 0 to 1.
};

/// How long flows may queue in the tunnel.
struct QueueSettings {
  Duration target{}, interval{};  // CoDel's.
  std::uint64_t bytes_max = 0;    // For what does not listen to it.
};
QueueSettings queue_settings(const LinksAbility& links);

}  // namespace mwtun
