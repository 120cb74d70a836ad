#pragma once
#include <array>
#include <cstdint>

#include "base/ids.hpp"
#include "base/time.hpp"

namespace mwtun {

/// How far each link has delivered, in the sender's stamps. A hole before a frame stamped s is
/// proven when every link has delivered, or lost, all that was sent up to s: the rule of multilink
/// PPP (RFC 1990 section 4), with each link's own reordering allowed for. Between arrivals the
/// sender's heads tell what was sent.
class ProofTracker {
 public:
  /// A datagram arrived; stamps and numbers are rebuilt to 64 bits, numbers within their epoch.
  void arrived(LinkId link, std::uint8_t epoch, std::uint64_t number, std::uint64_t stamp,
               Instant now);
  /// The sender says: up to `stamp` nothing above `number` was sent on this link.
  void head(LinkId link, std::uint8_t epoch, std::uint64_t number, std::uint64_t stamp,
            Instant now);
  /// All links that have carried anything have delivered everything stamped below this. A link that
  /// has for long not delivered what a head told of does not count.
  std::uint64_t clear(Instant now);
  /// The link carries nothing any more.
  void forget(LinkId link) {
    links_[index_of(link)] = {};
    used_ &= static_cast<std::uint16_t>(~(1u << index_of(link)));
  }
  /// How late a datagram of this link may come after one sent later.
  Duration tolerance(LinkId link) const { return links_[index_of(link)].tolerance; }

 private:
  struct Mark {
    std::uint64_t number = 0;
    std::uint64_t stamp = 0;
    Instant at{};
  };
  struct Head {
    std::uint64_t number = 0;
    std::uint64_t stamp = 0;
  };
  struct PerLink {
    std::uint8_t epoch = 0;
    std::uint64_t largest = 0;
    std::uint64_t clear = 0;
    Duration tolerance{};
    Instant tolerance_learnt{};
    std::array<Mark, 32> marks{};  // Newest arrivals in order, a ring.
    std::size_t next_mark = 0;
    Instant newest_at{};
    // What heads said and what has not come true so far: the first of those, and the newest of all.
    bool waits = false;
    Head waiting, newest_head;
    Instant waiting_since{};
  };
  static void settle(PerLink& link, Instant now);
  bool used(LinkId link) const { return (used_ >> index_of(link) & 1) != 0; }
  std::array<PerLink, links_max> links_{};
  std::uint16_t used_ = 0;  // A bit a link: most are none, and they are large.
};

}  // namespace mwtun
