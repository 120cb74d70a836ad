#pragma once
#include <array>
#include <cstdint>

#include "base/time.hpp"
#include "dataplane/wire.hpp"

namespace mwtun {

/// What arrived on one link in one epoch, for the acknowledgements: the newest runs of numbers, how
/// many in all, and when the newest came. At most 33 runs; the oldest are forgotten first.
class ReceivedLog {
 public:
  /// A number that the replay window took.
  void add(std::uint64_t number, std::uint64_t arrival_units);
  bool empty() const { return count_ == 0; }
  std::uint64_t largest() const { return runs_[0].last; }
  /// Every number up to this one has arrived or is forgotten; meaningless when empty().
  std::uint64_t contiguous_from_below() const { return runs_[count_ - 1].last; }
  std::size_t runs() const { return count_; }
  std::uint64_t total() const { return total_; }
  Instant largest_arrived() const { return largest_arrived_; }
  void note_largest_time(Instant at) { largest_arrived_ = at; }
  /// Everything but link and epoch; arrival times of what came since the last time.
  void fill(wire::Ack& ack, Instant now);

 private:
  std::array<wire::AckRange, wire::ack_ranges_max> runs_{};  // Downwards.
  std::size_t count_ = 0;
  std::uint64_t total_ = 0;
  Instant largest_arrived_{};
  struct Arrival {
    std::uint64_t number = 0;
    std::uint64_t units = 0;
  };
  std::array<Arrival, 4> arrivals_{};  // The newest, a ring.
  std::size_t next_arrival_ = 0, told_arrivals_ = 0;
};

}  // namespace mwtun
