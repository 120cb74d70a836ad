#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "base/address.hpp"
#include "base/entropy.hpp"
#include "base/time.hpp"
#include "crypto/secret.hpp"

namespace mwtun {

/// What to do with an initiation whose mac1 is right.
enum class Admission : std::uint8_t {
  accept,       ///< Read it.
  cookie,       ///< Answer with a cookie; its place in the cookie budget is taken.
  source_rate,  ///< Drop: more than its source may send.
  cookie_rate,  ///< Drop: a cookie was due, but too many went out.
  dh_rate,      ///< Drop: mac2 is right, but even so the budget is spent.
};
const char* to_string(Admission admission);

/// A rate with a burst, in integers: the generic cell rate algorithm (ITU-T I.371).
class RateBudget {
 public:
  constexpr RateBudget(Duration interval, std::int64_t burst)
      : interval_(interval), room_(interval * burst) {}
  bool take(std::int64_t count, Instant now) {
    const Instant from = full_ < now ? now : full_;
    if (from + interval_ * count > now + room_) return false;
    full_ = from + interval_ * count;
    return true;
  }

 private:
  Duration interval_;
  Duration room_;
  Instant full_ = Instant::min();  // When all of the burst is there again.
};

/// Step 2 of what a responder does with an initiation: bounds what strangers can make us compute
/// and send. A fixed table, no allocation after construction.
class InitiationLimiter {
 public:
  static constexpr std::size_t sources = 8192;
  static constexpr std::int64_t source_burst = 5;
  static constexpr Duration source_interval = milliseconds(50);  ///< 20/s an address and port
  static constexpr std::int64_t address_burst = 50;
  static constexpr Duration address_interval = milliseconds(5);  ///< 200/s an address
  static constexpr Duration dh_interval = microseconds(500);     ///< 2,000/s
  static constexpr std::int64_t dh_burst = 200;
  static constexpr Duration cookie_interval = microseconds(100);  ///< 10,000/s
  static constexpr std::int64_t cookie_burst = 1000;
  static constexpr Duration load_hold = seconds(1);
  /// Reading an initiation takes two, answering it three more; all five are charged at once.
  static constexpr std::int64_t dh_per_initiation = 5;
  static constexpr std::int64_t dh_per_reading = 2;

  /// @param read_twice  an initiation may be another worker's, who reads it again
  explicit InitiationLimiter(Entropy& entropy, bool read_twice = false);

  /// @param from  source of the datagram; IPv4 counts by address, IPv6 by its /64, both
  /// with and without the port
  /// @param mac2_valid  CookieSecret::mac2_valid() of the datagram
  Admission admit(const Address& from, bool mac2_valid, Instant now);
  /// For cookies that are due for another reason (freshness): they share the budget.
  bool take_cookie(Instant now) { return cookies_.take(1, now); }
  /// The budget was spent at most a second ago.
  bool under_load(Instant now) const { return now < loaded_until_; }

 private:
  static constexpr std::size_t ways = 8;
  struct Source {
    std::uint64_t tag = 0;          // Keyed hash of the source.
    Instant full = Instant::min();  // When its whole burst is there again.
  };
  struct Rate {
    Duration interval;
    std::int64_t burst;
  };
  bool take_source(const Address& from, Instant now);
  bool take_source(const Address& from, std::uint16_t port, const Rate& rate, Instant now);

  Secret<16> hash_key_;
  std::vector<Source> table_;
  std::int64_t dh_each_;
  RateBudget dh_{dh_interval, dh_burst};
  RateBudget cookies_{cookie_interval, cookie_burst};
  Instant loaded_until_ = Instant::min();
};

}  // namespace mwtun
