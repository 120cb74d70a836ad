// Priorities and traffic classes in the tunnel itself, in both directions.
#include <catch2/catch.hpp>

#include "quiet_pair.hpp"

using namespace mwtun;
using test::QuietPair;

namespace {

TrafficRule rule_for(std::uint8_t dscp) {
  TrafficRule rule;
  rule.dscp = std::uint64_t{1} << dscp;
  return rule;
}

/// Expedited forwarding on both lines, code point 8 on lte alone.
void with_classes(PeerConfig& peer) {
  peer.classes.push_back(rule_for(46));
  peer.classes.back().scheduler = SchedulerKind::redundant;
  peer.classes.push_back(rule_for(8));
  peer.classes.back().links.add(LinkId{1});
}

struct Carried {
  std::uint64_t bytes[2] = {};  // By link.
};
/// What one end's links send while `count` frames of 1000 bytes go.
Carried carried(QuietPair& pair, std::size_t end, std::uint8_t dscp, int count = 200) {
  Carried before, after;
  pair.run(milliseconds(200));
  for (std::size_t l = 0; l < 2; ++l) before.bytes[l] = pair.link(end, l).counters.bytes_out;
  const std::uint64_t delivered = pair.frames_delivered(1 - end);
  for (int i = 0; i < count; ++i) {
    pair.send_frame(end, dscp, static_cast<std::uint16_t>(1000 + dscp), 1000);
    pair.run(milliseconds(2));
  }
  pair.run(milliseconds(500));
  CHECK(pair.frames_delivered(1 - end) - delivered == static_cast<std::uint64_t>(count));
  for (std::size_t l = 0; l < 2; ++l) {
    after.bytes[l] = pair.link(end, l).counters.bytes_out - before.bytes[l];
  }
  return after;
}

}  // namespace

TEST_CASE("a class's frames take its scheduler or its links, at both ends") {
  QuietPair pair(with_classes);
  pair.run(seconds(1));
  for (const std::size_t end : {0u, 1u}) {
    INFO(end);
    const Carried calls = carried(pair, end, 46);
    CHECK(calls.bytes[0] > 200'000);
    CHECK(calls.bytes[1] > 200'000);
    const Carried backup = carried(pair, end, 8);
    CHECK(backup.bytes[0] < 40'000);
    CHECK(backup.bytes[1] > 200'000);
    const Carried rest = carried(pair, end, 0);
    CHECK(rest.bytes[0] + rest.bytes[1] < 280'000);
  }
}

TEST_CASE("rules arrive through loss, and the first frames wait for nothing") {
  QuietPair pair(
      [](PeerConfig& peer) {
        for (std::uint8_t dscp = 10; dscp < 40; ++dscp) {
          peer.classes.push_back(rule_for(dscp));
          peer.classes.back().scheduler = SchedulerKind::hash;
          for (std::uint8_t i = 0; i < 16; ++i) peer.classes.back().macs.push_back({i});
        }
        with_classes(peer);
      },
      0.3);
  for (int i = 0; i < 3000; ++i) {
    pair.send_frame(0), pair.send_frame(1);
    pair.run(milliseconds(1));
  }
  pair.set_loss(0);
  pair.run(seconds(4));
  const Carried backup = carried(pair, 1, 8);
  CHECK(backup.bytes[0] < 40'000);
  CHECK(backup.bytes[1] > 200'000);
}

TEST_CASE("a class whose only link dies goes on by the others") {
  QuietPair pair(with_classes);
  pair.run(seconds(1));
  pair.cut(1);
  for (const std::size_t end : {0u, 1u}) {
    const Carried backup = carried(pair, end, 8);
    CHECK(backup.bytes[0] > 200'000);
  }
}

TEST_CASE("a line of a worse priority is used when the better one is full or dead, else not") {
  QuietPair pair([](PeerConfig& peer) {
    peer.links[1].priority = 1;
    peer.links[0].rate_up_bps_max = 10'000'000;
    peer.links[0].rate_down_bps_max = 10'000'000;
  });
  // The line has just come up beside the other: that ends after two seconds of room.
  for (int i = 0; i < 3000; ++i) {
    pair.send_frame(0), pair.send_frame(1);
    pair.run(milliseconds(1));
  }
  for (const std::size_t end : {0u, 1u}) {
    INFO(end);
    const Carried little = carried(pair, end, 0);
    CHECK(little.bytes[0] > 200'000);
    CHECK(little.bytes[1] < 30'000);
    // 24 Mbit/s are too much for it.
    const std::uint64_t before = pair.link(end, 1).counters.bytes_out;
    for (int i = 0; i < 2000; ++i) {
      for (int n = 0; n < 3; ++n) pair.send_frame(end, 0, 2000, 1000);
      pair.run(milliseconds(1));
    }
    CHECK(pair.link(end, 1).counters.bytes_out - before > 1'500'000);
  }
  pair.cut(0);
  pair.run(seconds(1));
  CHECK(carried(pair, 0, 0).bytes[1] > 200'000);
}
