#pragma once
#include "base/ring.hpp"
#include "dataplane/out_lanes.hpp"

namespace mwtun {

/// Chunks that have to go again, in order of their loss, those of unordered lanes first: these are
/// small and somebody waits for them, and behind all that a dead link had on its way they would
/// come a round trip late.
class RepairQueue {
 public:
  void push(ChunkIndex index, bool ordered) { (ordered ? ordered_ : unordered_).push_back(index); }
  bool empty() const { return unordered_.empty() && ordered_.empty(); }
  ChunkIndex front() { return next().front(); }
  ChunkIndex pop() { return next().pop_front(); }

 private:
  Ring<ChunkIndex>& next() { return unordered_.empty() ? ordered_ : unordered_; }

  Ring<ChunkIndex> unordered_, ordered_;
};

}  // namespace mwtun
