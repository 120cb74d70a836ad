#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hpp"
#include "dataplane/wire.hpp"

namespace mwtun {

/// What a sent datagram carried that must be told of its fate: a small list in a ContentPool.
struct Content {
  enum class Kind : std::uint8_t { chunk, floor, settings, traffic_class, join };
  Kind kind = Kind::chunk;
  std::uint32_t next = UINT32_MAX;
  std::uint32_t value = 0;     // Chunk index, lane, or number of a rule.
  std::uint64_t sequence = 0;  // Of a floor.
};

/// Free list of Contents; grows to what the bounded number of datagrams and chunks can need.
class ContentPool {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;
  std::uint32_t add(const Content& content, std::uint32_t next);
  Content& operator[](std::uint32_t index) { return items_[index]; }
  const Content& operator[](std::uint32_t index) const { return items_[index]; }
  void free(std::uint32_t index);

 private:
  std::vector<Content> items_;
  std::uint32_t free_ = none;
};

/// One datagram in the log of its link and epoch.
struct SentDatagram {
  enum class Fate : std::uint8_t { none, in_flight, acknowledged, lost };
  Fate fate = Fate::none;
  bool eliciting = false;
  bool mtu_probe = false;
  std::uint16_t bytes = 0;  // UDP payload.
  std::uint32_t contents = ContentPool::none;
  std::uint32_t paused_us = 0;  // Pacer::paused_us() with this one.
  Instant sent{};
  // For the rate control: all the link had sent with this one, and how much of it while it had room
  // for more.
  std::uint64_t sent_bytes = 0;
  std::uint64_t starved_bytes = 0;
};

/// The datagrams sent on one link in one epoch: a ring from the oldest whose fate may still change
/// to the next number. At most `capacity_max`; when it is full nothing more may be sent.
class SentLog {
 public:
  static constexpr std::size_t capacity_max = 16384;

  std::uint64_t next_number() const { return next_; }
  std::uint64_t base() const { return base_; }
  bool full() const { return next_ - base_ >= capacity_max; }
  SentDatagram& append();
  bool contains(std::uint64_t number) const { return number >= base_ && number < next_; }
  SentDatagram& operator[](std::uint64_t number) { return ring_[number & (ring_.size() - 1)]; }
  const SentDatagram& operator[](std::uint64_t number) const {
    return ring_[number & (ring_.size() - 1)];
  }
  std::uint64_t largest_acknowledged() const { return largest_acknowledged_; }
  bool any_acknowledged() const { return any_acknowledged_; }
  void note_acknowledged(std::uint64_t number) {
    if (!any_acknowledged_ || number > largest_acknowledged_) largest_acknowledged_ = number;
    any_acknowledged_ = true;
  }
  /// Gives up the entries at the front whose fate is settled, calling `forget` for each; lost ones
  /// stay until `lost_before`, since a late acknowledgement tells that the link reorders.
  template <typename Forget>
  void trim(Instant lost_before, Forget&& forget) {
    for (; base_ < next_; ++base_) {
      SentDatagram& sent = (*this)[base_];
      if (sent.fate == SentDatagram::Fate::in_flight) break;
      const bool keep = sent.fate == SentDatagram::Fate::lost && sent.sent >= lost_before;
      if (keep && next_ - base_ < capacity_max / 2) break;
      forget(sent);
    }
    unsettled_ = std::max(unsettled_, base_);
  }
  /// Everything below is acknowledged or lost.
  std::uint64_t unsettled() const { return unsettled_; }
  void settle_below(std::uint64_t number) { unsettled_ = std::max(unsettled_, number); }
  /// Plants the fault of handing a spent number out again; nothing else calls it.
  void take_back_last() { --next_; }

 private:
  std::vector<SentDatagram> ring_;
  std::uint64_t base_ = 0;
  std::uint64_t next_ = 0;
  std::uint64_t unsettled_ = 0;
  std::uint64_t largest_acknowledged_ = 0;
  bool any_acknowledged_ = false;
};

}  // namespace mwtun
