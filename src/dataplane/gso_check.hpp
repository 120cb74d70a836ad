#pragma once
#include <cstdint>

namespace mwtun {

/// Whether datagrams that leave several as one (UDP GSO) arrive as well as those that leave alone.
/// Some kernels and drivers spoil them without a word (Linux 7.0 to 7.1.4, some virtual network
/// cards): a link that carries everything but full batches looks like a very bad line. So one in
/// so many goes alone, and the fates are compared; fewer once that was fine, since each of them
/// ends a batch, until many are lost.
class GsoCheck {
 public:
  /// Whether datagram `number` may leave together with others.
  bool may_join(std::uint64_t number) const { return !given_up_ && !goes_alone(number); }

  /// A datagram's fate is known. True: from now on all go alone, since the others vanish.
  bool settled(std::uint64_t number, bool lost) {
    if (given_up_) return false;
    Fates& fates = goes_alone(number) ? alone_ : joined_;
    ++fates.all;
    fates.lost += lost ? 1 : 0;
    if (alone_every_ == alone_every_later && joined_.lost >= lost_looked_into) {
      alone_every_ = alone_every_first;
      alone_ = joined_ = {};
    }
    if (alone_.all < alone_least) return false;
    // Both meet the same line, so only a difference that no chance makes counts.
    const bool many = joined_.lost * 10 >= joined_.all;
    given_up_ = many && joined_.lost * alone_.all > 4 * (alone_.lost + 1) * joined_.all;
    alone_ = joined_ = {};
    alone_every_ = alone_every_later;
    return given_up_;
  }
  bool given_up() const { return given_up_; }

 private:
  static constexpr std::uint64_t alone_every_first = 64, alone_every_later = 512;
  static constexpr std::uint64_t alone_least = 256;
  static constexpr std::uint64_t lost_looked_into = 256;
  struct Fates {
    std::uint64_t all = 0, lost = 0;
  };
  bool goes_alone(std::uint64_t number) const { return (number & (alone_every_ - 1)) == 0; }

  Fates joined_, alone_;
  std::uint64_t alone_every_ = alone_every_first;
  bool given_up_ = false;
};

}  // namespace mwtun
