#pragma once
#include <array>
#include <cstdint>

#include "base/prng.hpp"
#include "base/time.hpp"

namespace mwtun::test {

/// One direction of a line, as the datagrams on it experience it.
struct LineOptions {
  Duration delay = milliseconds(10);
  Duration jitter{};                           ///< Added to the delay, uniform in [0, jitter].
  bool jitter_reorders = false;                ///< Else arrivals keep the order of sending.
  std::uint64_t rate_bps = 0;                  ///< Of IP packets; 0: unlimited.
  std::uint32_t queue_bytes_max = 256 * 1024;  ///< Drop-tail, before the rate limit.
  std::uint32_t mtu = 1500;                    ///< IP packets above it vanish without a word.
  double loss = 0;
  double burst_enter = 0;  ///< Gilbert-Elliott: chance a datagram to go from good to bad, …
  double burst_leave = 0.2;
  double burst_loss = 0;  ///< … and the loss while bad.
  double duplicate = 0;
  double corrupt = 0;
  double reorder = 0;  ///< Chance to be held up by `reorder_by`, overtaken by those after it.
  Duration reorder_by = milliseconds(20);
  bool dead = false;
  bool eats_handshakes = false;  ///< Drops datagram types 1 to 3 only.
};

/// What became of the datagrams given to a line.
struct LineCounters {
  std::uint64_t datagrams = 0;
  std::uint64_t lost = 0;  ///< By any cause but the queue.
  std::uint64_t queue_dropped = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t corrupted = 0;
};

/// When the copies of a datagram come out at the other end.
struct Arrivals {
  struct Copy {
    Instant at{};
    bool corrupt = false;
  };
  std::array<Copy, 2> copies{};
  std::size_t count = 0;
};

class SimLine {
 public:
  LineOptions options;

  Arrivals pass(std::uint32_t ip_bytes, bool handshake, Instant now, Prng& chance);
  const LineCounters& counters() const { return counters_; }
  /// Nothing but delay, rate and queue: what comes in comes out, once, as it was.
  bool faultless() const;

 private:
  bool lose(std::uint32_t ip_bytes, bool handshake, Prng& chance);

  LineCounters counters_;
  Instant busy_until_{};
  Instant last_arrival_{};
  bool bad_ = false;
};

}  // namespace mwtun::test
