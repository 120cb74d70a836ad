#pragma once
#include <cstddef>
#include <vector>

#include "base/assert.hpp"
#include "base/time.hpp"

namespace mwtun::test {

/// Somebody in a simulation who acts at times of its own choosing.
class Actor {
 public:
  virtual ~Actor() = default;
  virtual void act(Instant now) = 0;
};

/// Somebody who has to settle what the others did, before time goes on.
class Settler {
 public:
  virtual ~Settler() = default;
  virtual void settle(Instant now) = 0;
};

/// Virtual time. Each actor has one date at a time; the earliest acts next, the one that was added
/// first among equals. There are some dozens of them, so looking through all their dates is quicker
/// than keeping a heap, and nothing is allocated.
class Agenda {
 public:
  /// Far from zero, so that clocks may differ in both directions.
  static constexpr Instant begin{seconds(1'000'000)};

  std::size_t add(Actor& actor) {
    actors_.push_back(&actor);
    dates_.push_back(never);
    return actors_.size() - 1;
  }
  void add(Settler& settler) { settlers_.push_back(&settler); }
  void set(std::size_t actor, Instant at) { dates_[actor] = at; }
  Instant now() const { return now_; }
  /// Time since the simulation began.
  Duration elapsed() const { return now_ - begin; }

  void run_until(Instant until) {
    settle();
    for (;;) {
      std::size_t first = 0;
      for (std::size_t i = 1; i < dates_.size(); ++i) {
        if (dates_[i] < dates_[first]) first = i;
      }
      if (dates_.empty() || dates_[first] > until) break;
      at_once_ = dates_[first] > now_ ? 0 : at_once_ + 1;
      MWTUN_ASSERT(at_once_ < 1'000'000);  // Somebody acts for ever at one moment.
      if (dates_[first] > now_) now_ = dates_[first];
      dates_[first] = never;
      ++steps_;
      actors_[first]->act(now_);
      settle();
    }
    now_ = until;
  }
  std::uint64_t steps() const { return steps_; }

 private:
  void settle() {
    for (Settler* const settler : settlers_) settler->settle(now_);
  }

  Instant now_ = begin;
  std::vector<Actor*> actors_;
  std::vector<Instant> dates_;
  std::vector<Settler*> settlers_;
  std::uint64_t at_once_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace mwtun::test
