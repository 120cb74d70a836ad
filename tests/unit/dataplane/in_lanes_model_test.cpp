// The receiver's lanes against a model that is obviously right: maps instead of rings, no bounds.
#include <catch2/catch.hpp>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "base/prng.hpp"
#include "dataplane/in_lanes.hpp"

using namespace mwtun;

namespace {

struct Piece {
  std::uint64_t sequence = 0;
  std::uint32_t frame = 0;
  bool first = false;
  bool last = false;
};

/// One lane as PROTOCOL.md 4.1 has it. Delivered frames are lists of the sequences of their pieces.
class ModelLane {
 public:
  explicit ModelLane(bool is_ordered) : ordered_(is_ordered) {}
  std::deque<std::vector<std::uint64_t>> delivered;

  void insert(const Piece& piece) {
    beyond_ = std::max(beyond_, piece.sequence + 1);
    if (piece.sequence < next_ || held_.count(piece.sequence) != 0 ||
        done_.count(piece.sequence) != 0) {
      return;
    }
    held_[piece.sequence] = piece;
    if (!ordered_) {
      std::uint64_t from = piece.sequence;
      while (held_.count(from) != 0 && !held_[from].first && from > next_ &&
             held_.count(from - 1) != 0 && !held_[from - 1].last) {
        --from;
      }
      if (const std::uint64_t end = frame_end(from); end > piece.sequence) deliver(from, end);
    }
    drain();
  }
  void floor(std::uint64_t sequence) {
    if (held_.empty() && done_.empty()) next_ = std::max(next_, sequence);
    while (next_ < sequence) {
      const std::uint64_t before = next_;
      drain();
      if (next_ != before) continue;
      held_.erase(next_++);
    }
    beyond_ = std::max(beyond_, next_);
    drain();
  }
  void release_all() {
    while (!held_.empty()) {
      std::uint64_t at = next_;
      while (held_.count(at) != 0 || done_.count(at) != 0) ++at;
      while (at < beyond_ && held_.count(at) == 0) ++at;
      floor(at);
    }
  }
  std::size_t held() const { return held_.size(); }

 private:
  /// One above the last piece of the whole frame that begins at `from`; 0 when it is not whole.
  std::uint64_t frame_end(std::uint64_t from) {
    for (std::uint64_t at = from; held_.count(at) != 0; ++at) {
      if (held_[at].first != (at == from)) return 0;
      if (held_[at].last) return at + 1;
    }
    return 0;
  }
  void deliver(std::uint64_t from, std::uint64_t end) {
    delivered.emplace_back();
    for (std::uint64_t at = from; at < end; ++at) {
      delivered.back().push_back(at);
      held_.erase(at);
      done_.insert(at);
    }
  }
  /// Passes what is done, what has lost its beginning and what cannot end; delivers what is whole.
  void drain() {
    while (true) {
      if (done_.erase(next_) != 0) {
        ++next_;
      } else if (held_.count(next_) == 0) {
        return;
      } else if (!held_[next_].first) {
        held_.erase(next_++);
      } else if (const std::uint64_t end = frame_end(next_); end != 0) {
        deliver(next_, end);
      } else {
        std::uint64_t at = next_ + 1;
        while (held_.count(at) != 0 && !held_[at].first) ++at;
        if (held_.count(at) == 0) return;
        while (next_ < at) held_.erase(next_++);
      }
    }
  }
  bool ordered_;
  std::uint64_t next_ = 0;
  std::uint64_t beyond_ = 0;
  std::map<std::uint64_t, Piece> held_;
  std::set<std::uint64_t> done_;
};

constexpr std::uint32_t frames_a_lane = 1'000'000;  // A frame's number tells its lane.

struct Sender {
  LaneId id{};
  ModelLane model;
  std::uint64_t next = 0;
  std::vector<Piece> network;
  std::uint32_t frames = 0;
  std::set<std::uint32_t> seen;
  std::uint32_t newest_seen = 0;
};

void run(std::uint64_t seed, int operations) {
  const Limits limits;
  SlabPool pool(256, 20'000);
  DropCounters drops;
  InLanes lanes(limits, pool, drops);
  Prng prng(seed);
  std::vector<Sender> senders;
  for (const std::uint16_t id : std::initializer_list<std::uint16_t>{0, 3071, 3072, 4095}) {
    senders.push_back({LaneId{id},
                       ModelLane(wire::lane_ordered(LaneId{id})),
                       0,
                       {},
                       frames_a_lane * static_cast<std::uint32_t>(senders.size()),
                       {},
                       0});
    // So that the 24 bits wrap soon.
    for (const std::uint64_t at : {0x7fffffu, 0xffff00u}) {
      lanes.floor(LaneId{id}, static_cast<std::uint32_t>(at));
      senders.back().model.floor(at);
      senders.back().next = at;
    }
  }
  for (int i = 0; i < operations; ++i) {
    Sender& s = senders[prng.below(senders.size())];
    const std::uint64_t dice = prng.below(1000);
    if (s.network.size() < 5 || (dice < 300 && s.network.size() < 120)) {
      const std::uint64_t pieces = prng.chance(0.6) ? 1 : prng.between(2, 6);
      for (std::uint64_t p = 0; p < pieces; ++p) {
        s.network.push_back({s.next++, s.frames, p == 0, p + 1 == pieces});
      }
      ++s.frames;
    } else if (dice < 960) {
      // Mostly the oldest, so that order is the rule and not the exception.
      const std::size_t at = prng.chance(0.6) ? 0 : prng.below(s.network.size());
      const Piece piece = s.network[at];
      const bool lost = prng.chance(0.03);
      if (lost || !prng.chance(0.1)) s.network.erase(s.network.begin() + static_cast<long>(at));
      if (!lost) {
        InChunk chunk;
        chunk.slab = pool.take();
        REQUIRE(chunk.slab);
        chunk.offset = static_cast<std::uint32_t>(prng.below(100));
        chunk.size = 12;
        store_le(chunk.slab.data() + chunk.offset, piece.sequence, 8);
        store_le(chunk.slab.data() + chunk.offset + 8, piece.frame, 4);
        chunk.first = piece.first;
        chunk.last = piece.last;
        lanes.insert(s.id, static_cast<std::uint32_t>(piece.sequence & 0xffffff), std::move(chunk));
        s.model.insert(piece);
      }
    } else if (dice < 998) {
      // Up to the oldest still on its way, or beyond it: given up.
      const std::uint64_t floor = std::min(s.next, s.network[0].sequence + prng.below(4));
      lanes.floor(s.id, static_cast<std::uint32_t>(floor & 0xffffff));
      s.model.floor(floor);
    } else {
      lanes.expire(Instant{seconds(1)}, Duration{0});
      for (Sender& each : senders) each.model.release_all();
    }
    std::size_t held = 0;
    for (const Sender& each : senders) held += each.model.held();
    if (lanes.held() != held)
      FAIL("operation " << i << ": held " << lanes.held() << " not " << held);
    while (lanes.ready()) {
      const Frame frame = lanes.take_ready();
      const Bytes bytes = frame.bytes();
      REQUIRE(bytes.size() >= 12);
      std::vector<std::uint64_t> sequences;
      const std::uint32_t number = load_le32(bytes.data() + 8);
      for (std::size_t at = 0; at < bytes.size(); at += 12) {
        sequences.push_back(load_le64(bytes.data() + at));
        if (load_le32(bytes.data() + at + 8) != number) FAIL("pieces of two frames in one");
      }
      Sender* from = &senders[number / frames_a_lane];
      if (from->model.delivered.empty() || from->model.delivered.front() != sequences) {
        FAIL("operation " << i << ": a frame the model does not deliver now");
      }
      from->model.delivered.pop_front();
      if (!from->seen.insert(number).second) FAIL("a frame came twice");
      if (wire::lane_ordered(from->id)) {
        if (number < from->newest_seen) FAIL("an ordered lane gave frames out of order");
        from->newest_seen = number;
      }
    }
    for (const Sender& each : senders) {
      if (!each.model.delivered.empty()) FAIL("operation " << i << ": a frame is held too long");
    }
  }
  for (const Sender& each : senders) CHECK(each.seen.size() > each.frames % frames_a_lane / 4);
  CHECK(pool.in_use() == lanes.held());
  CHECK(drops.of(Drop::lane_overrun) == 0);
}

}  // namespace

TEST_CASE("lanes do what the model does over 200,000 random operations", "[in_lanes]") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    INFO("seed " << seed);
    run(seed, 50'000);
  }
}
