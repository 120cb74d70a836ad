#include "dataplane/received_log.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "base/prng.hpp"

using namespace mwtun;

TEST_CASE("the newest runs are those of a plain set, in any order of arrival", "[received_log]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Prng prng(seed);
    ReceivedLog log;
    std::set<std::uint64_t> model;
    std::uint64_t newest = 0;
    for (int i = 0; i < 3000; ++i) {
      // Near the newest, so that the oldest runs are not asked to come back.
      newest += prng.below(3);
      const std::uint64_t number = newest - std::min(newest, prng.below(20));
      if (!model.insert(number).second) continue;
      log.add(number, number * 10);
      wire::Ack ack;
      log.fill(ack, Instant{});
      auto at = model.rbegin();
      for (std::size_t run = 0; run < std::min<std::size_t>(ack.range_count, 8); ++run) {
        if (at == model.rend()) FAIL("a run too many");
        std::uint64_t first = *at;
        const std::uint64_t last = *at;
        for (++at; at != model.rend() && *at + 1 == first; ++at) first = *at;
        if (ack.ranges[run].first != first || ack.ranges[run].last != last) FAIL("another run");
      }
      if (log.total() != model.size()) FAIL("another total");
      if (ack.arrivals[0].below != log.largest() - number) FAIL("another arrival");
      if (ack.arrivals[0].stamp_low != (number * 10 & 0xffffff)) FAIL("another time");
    }
  }
}

TEST_CASE("at most 33 runs are kept and the oldest go first", "[received_log]") {
  ReceivedLog log;
  for (std::uint64_t i = 0; i < 100; ++i) log.add(i * 2, i);
  CHECK(log.runs() == 33);
  CHECK(log.largest() == 198);
  CHECK(log.contiguous_from_below() == 198 - 64);
  log.add(3, 0);  // Older than all that are kept.
  CHECK(log.runs() == 33);
  CHECK(log.contiguous_from_below() == 198 - 64);
  log.add(197, 0);
  CHECK(log.runs() == 32);
}

TEST_CASE("the acknowledgement says how long ago the largest came, saturating", "[received_log]") {
  ReceivedLog log;
  CHECK(log.empty());
  log.add(7, 0);
  log.note_largest_time(Instant{seconds(1)});
  wire::Ack ack;
  log.fill(ack, Instant{seconds(1)} + microseconds(160));
  CHECK(ack.delay_units == 10);
  CHECK(ack.received_low == 1);
  CHECK(ack.arrival_count == 1);
  log.fill(ack, Instant{seconds(9)});
  CHECK(ack.delay_units == 0xffff);
  log.fill(ack, Instant{});  // Never below nought.
  CHECK(ack.delay_units == 0);
}
