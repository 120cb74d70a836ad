#pragma once
#include <cstdint>

#include "base/ids.hpp"
#include "base/time.hpp"

namespace mwtun {

/// How good a link is at the moment; schedulers use the best tier that has any link.
enum class LinkTier : std::uint8_t {
  healthy,  // Up, answers.
  backup,   // Healthy, but to be used only when no other is.
  lossy,    // Loses so much that any healthy one is better.
  lossy_backup,
  held,     // Has just come back, or fails often: for copies, and when nothing else is left.
  suspect,  // Has not acknowledged lately.
  unusable,
};

/// The facts a scheduler may see of one link.
struct LinkView {
  LinkId id{};
  LinkTier tier = LinkTier::unusable;
  std::uint16_t weight = 1;
  std::uint8_t priority = 0;
  std::uint64_t rate_bps = 0;  // What it is paced at, UDP payload; 0: nothing is known.
  bool rate_proven = false;    // It was seen full: it cannot carry much more.
  Duration one_way{};          // Delay without queues, up to an offset that all links share.
  Duration queue{};            // And what the queue in the line will add.
  Duration wait{};             // Until pacing lets the next datagram go; zero: now.
  Duration busy{};             // For so long it has been sending without a pause.
};

/// A set of links, a bit a number.
class LinkSet {
 public:
  constexpr LinkSet() = default;
  constexpr void add(LinkId id) { bits_ = static_cast<std::uint16_t>(bits_ | 1u << index_of(id)); }
  constexpr void remove(LinkId id) {
    bits_ = static_cast<std::uint16_t>(bits_ & ~(1u << index_of(id)));
  }
  constexpr bool has(LinkId id) const { return (bits_ >> index_of(id) & 1) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr std::uint16_t bits() const { return bits_; }
  bool operator==(const LinkSet&) const = default;

 private:
  std::uint16_t bits_ = 0;
};

}  // namespace mwtun
