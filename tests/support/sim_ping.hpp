#pragma once
#include <cstdint>
#include <vector>

#include "support/sim_net.hpp"

namespace mwtun::test {

/// Echo requests from one side at a fixed pace, answered by the other.
class PingSource final : public FrameSink, public Actor {
 public:
  struct Ping {
    Instant sent{};
    Instant answered = never;
    Duration rtt() const { return answered - sent; }
  };

  PingSource(Agenda& agenda, FrameNet& net, Side from, Duration interval, Instant start,
             Instant stop = never);
  void receive(Side at, Bytes frame, Instant now) override;
  void act(Instant now) override;

  const std::vector<Ping>& pings() const { return pings_; }
  /// Answers that came twice.
  std::uint64_t duplicates() const { return duplicates_; }
  /// Round trip that this share of the answered ones sent in [from, to) does not exceed, ms; 0 if
  /// there are none.
  double percentile_ms(double share, Instant from, Instant to) const;
  std::uint64_t unanswered(Instant from, Instant to) const;
  /// Longest time between two answers in a row, of those sent in [from, to).
  Duration longest_gap(Instant from, Instant to) const;

 private:
  Agenda& agenda_;
  FrameNet& net_;
  Side from_;
  Duration interval_;
  Instant stop_;
  std::uint16_t flow_;
  std::size_t actor_;
  std::vector<Ping> pings_;
  std::uint64_t duplicates_ = 0;
};

/// UDP datagrams of one size at a steady rate.
class UdpSource final : public FrameSink, public Actor {
 public:
  struct Options {
    Side to = Side::client;
    std::uint64_t rate_bps = 10'000'000;  ///< Of IP packets.
    std::uint16_t payload_bytes = 1400;
    Duration start{};
    Duration stop = seconds(1'000'000);
  };
  struct Datagram {
    Instant sent{};
    Instant arrived = never;
    bool late = false;  ///< Came after one that was sent later.
  };
  struct Summary {
    std::uint64_t sent = 0;
    std::uint64_t lost = 0;
    std::uint64_t out_of_order = 0;
    Duration longest_gap{};  ///< Between two arrivals.
    double delay_p99_ms = 0;
  };

  UdpSource(Agenda& agenda, FrameNet& net, const Options& options);
  void receive(Side at, Bytes frame, Instant now) override;
  void act(Instant now) override;

  /// Of the datagrams sent in [from, to); those on their way count as lost.
  Summary summary(Instant from, Instant to) const;
  /// IP bits a second that arrived in [from, to).
  double arrived_bps(Instant from, Instant to) const;
  std::uint64_t duplicates() const { return duplicates_; }
  const std::vector<Datagram>& datagrams() const { return datagrams_; }
  void set_rate(std::uint64_t rate_bps);

 private:
  Agenda& agenda_;
  FrameNet& net_;
  Options options_;
  std::uint16_t flow_;
  std::size_t actor_;
  Duration interval_;
  std::vector<Datagram> datagrams_;
  std::uint64_t highest_ = 0;
  std::uint64_t duplicates_ = 0;
};

}  // namespace mwtun::test
