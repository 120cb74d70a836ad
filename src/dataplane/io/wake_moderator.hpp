#pragma once
#include <cstddef>

#include "base/time.hpp"

namespace mwtun {

/// Packets that come one by one wake the thread for each, and where it goes ahead of their sender
/// on the same core, each costs two switches. Then it is better to rest before the next wait, as
/// network cards do with interrupts, and to find several. What comes in bulk, or seldom, is not
/// kept waiting. Reads no clock.
class WakeModerator {
 public:
  static constexpr Duration rest_time = microseconds(100);

  /// To be asked when a turn of the loop has ended.
  /// @param turn   from before its wait to its end
  /// @param bytes  what came in
  /// @return whether to rest for rest_time
  bool should_rest(Duration turn, std::size_t bytes) {
    const bool few = bytes > 0 && bytes <= few_bytes_max && turn < few_within;
    few_in_a_row_ = few ? few_in_a_row_ + 1 : 0;
    return few_in_a_row_ >= few_in_a_row_min;
  }

 private:
  static constexpr Duration few_within = microseconds(100);
  static constexpr std::size_t few_bytes_max = 8 * 1024;
  // TCP in bulk has such turns too, of acknowledgements: with one it lost 9 %, with four nothing.
  static constexpr unsigned few_in_a_row_min = 4;

  unsigned few_in_a_row_ = 0;
};

}  // namespace mwtun
