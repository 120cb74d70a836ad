#pragma once
#include <vector>

#include "base/ids.hpp"
#include "dataplane/wire.hpp"

namespace mwtun {

/// A T for each lane, made when the lane is first named: the ordered lanes and the unordered ones
/// grow apart, and a session that uses ten lanes has ten.
template <typename T>
class LaneTable {
 public:
  T& operator[](LaneId lane) {
    std::vector<T>& half = halves_[wire::lane_ordered(lane) ? 0 : 1];
    const std::size_t at = place(lane);
    if (at >= half.size()) half.resize(at + 1);
    return half[at];
  }
  /// Null when the lane was never named.
  const T* find(LaneId lane) const {
    const std::vector<T>& half = halves_[wire::lane_ordered(lane) ? 0 : 1];
    return place(lane) < half.size() ? &half[place(lane)] : nullptr;
  }

 private:
  static std::size_t place(LaneId lane) {
    return wire::lane_ordered(lane) ? index_of(lane) : index_of(lane) - wire::unordered_lanes_from;
  }
  std::vector<T> halves_[2];
};

}  // namespace mwtun
