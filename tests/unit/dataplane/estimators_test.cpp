#include <catch2/catch.hpp>
#include <vector>

#include "dataplane/meters.hpp"
#include "dataplane/mtu_search.hpp"
#include "dataplane/rtt.hpp"
#include "dataplane/sent_log.hpp"

using namespace mwtun;

static constexpr Instant start{seconds(1000)};

TEST_CASE("round trips are smoothed as RFC 9002 has it", "[rtt]") {
  RttEstimator rtt;
  CHECK_FALSE(rtt.known());
  CHECK(rtt.min() == Duration{0});
  rtt.sample(milliseconds(80), Duration{0}, start);
  CHECK(rtt.smoothed() == milliseconds(80));
  CHECK(rtt.variance() == milliseconds(40));
  rtt.sample(milliseconds(160), Duration{0}, start);
  CHECK(rtt.smoothed() == milliseconds(90));
  CHECK(rtt.variance() == milliseconds(50));
  CHECK(rtt.min() == milliseconds(80));
  // The peer's wait is taken off, but not below the least seen.
  rtt.sample(milliseconds(100), milliseconds(15), start);
  CHECK(rtt.latest() == milliseconds(85));
  rtt.sample(milliseconds(100), milliseconds(60), start);
  CHECK(rtt.latest() == milliseconds(100));
  CHECK(rtt.min() == milliseconds(80));
}

TEST_CASE("the least round trip is forgotten when the path has become longer", "[rtt]") {
  RttEstimator rtt;
  for (int s = 0; s < 40; ++s) {
    rtt.sample(milliseconds(s == 0 ? 10 : 50), Duration{0}, start + seconds(s));
    if (s == 9) CHECK(rtt.min() == milliseconds(10));
  }
  CHECK(rtt.min() == milliseconds(50));
  rtt.reset();
  CHECK_FALSE(rtt.known());
}

TEST_CASE("a meter shows the rate of late and nothing after a silence", "[rate]") {
  RateMeter meter;
  for (int i = 0; i < 200; ++i) meter.add(1250, start + milliseconds(10) * i);
  CHECK(meter.bps(start + seconds(2)) == Approx(1'000'000).epsilon(0.05));
  CHECK(meter.bps(start + seconds(10)) == 0);
}

TEST_CASE("loss is a share of a second and of at least fifty", "[loss]") {
  LossMeter loss;
  for (int i = 0; i < 49; ++i) loss.add(true, start);
  CHECK(loss.ppm() == 0);
  for (int i = 0; i < 51; ++i) loss.add(false, start + microseconds(i));
  CHECK(loss.windows() == 1);
  CHECK(loss.ppm() == 980'000);
  for (int i = 0; i < 100; ++i) {
    loss.add(i % 4 == 0, start + milliseconds(1 + 20 * i));
    if (i % 8 == 0) loss.take_back();
  }
  CHECK(loss.windows() >= 2);
  CHECK(loss.ppm() == 6'000'000 / 101);  // Fifty from before; 13 lost, 7 of them falsely.
}

TEST_CASE("a link loses when more than one in a thousand of the last few thousand were lost",
          "[loss]") {
  LossMeter loss;
  CHECK_FALSE(loss.loses());
  for (int i = 0; i < 1'500; ++i) loss.add(i == 700, start);
  CHECK_FALSE(loss.loses());
  for (int i = 0; i < 200; ++i) loss.add(i % 100 == 0, start);
  CHECK(loss.loses());
  loss.take_back();
  loss.take_back();
  CHECK_FALSE(loss.loses());
  for (int i = 0; i < 1'000; ++i) loss.add(i % 100 == 0, start);
  CHECK(loss.loses());
  for (int i = 0; i < 20'000; ++i) loss.add(false, start);
  CHECK_FALSE(loss.loses());
}

TEST_CASE("delays keep their peak for some seconds and their least for longer", "[delay]") {
  DelayMeter delay;
  CHECK_FALSE(delay.recent(start));
  delay.sample(-500, start);
  CHECK(delay.min() == -500);
  CHECK(delay.peak() == -500);
  delay.sample(10'000, start);
  CHECK(delay.peak() == 10'000);
  CHECK(delay.recent(start + seconds(29)));
  CHECK_FALSE(delay.recent(start + seconds(30)));
  for (int s = 1; s <= 30; ++s) {
    delay.sample(50 + s, start + seconds(s));
    if (s == 5) CHECK(delay.peak() == 10'000);
    if (s == 11) CHECK(delay.peak() < 100);
    if (s == 15) CHECK(delay.min() == -500);
  }
  CHECK(delay.min() > 50);
}

TEST_CASE("the size starts where every path must carry it and rises by the first probe that lands",
          "[mtu]") {
  MtuSearch mtu;
  mtu.restart(1500, 28, start);
  CHECK(mtu.size() == 1252);
  CHECK(mtu.probe_due(start) == 1472u);
  CHECK_FALSE(mtu.probe_due(start).has_value());
  CHECK(mtu.probe_acknowledged(1472, start));
  CHECK(mtu.size() == 1472);
  CHECK_FALSE(mtu.probe_due(start + seconds(599)).has_value());
  mtu.restart(1280, 48, start);
  CHECK(mtu.size() == 1232);
  CHECK(mtu.deadline() == never);
}

TEST_CASE("unanswered probes go down the list, three of each, and then rest", "[mtu]") {
  MtuSearch mtu;
  mtu.restart(1500, 28, start);
  std::vector<std::uint32_t> sent;
  Instant now = start;
  while (now < start + seconds(100)) {
    if (const std::optional<std::uint32_t> size = mtu.probe_due(now)) sent.push_back(*size);
    REQUIRE(mtu.deadline() > now);
    now = mtu.deadline();
  }
  CHECK(sent == std::vector<std::uint32_t>{1472, 1472, 1472, 1464, 1464, 1464, 1432, 1432, 1432,
                                           1372, 1372, 1372, 1332, 1332, 1332});
  CHECK(mtu.size() == 1252);
  CHECK(mtu.probe_due(now) == 1472u);  // And once more, minutes later.
}

TEST_CASE("a black hole is told from loss by small ones that arrive", "[mtu]") {
  MtuSearch mtu;
  mtu.restart(1500, 28, start);
  mtu.probe_due(start);
  mtu.probe_acknowledged(1472, start);
  for (int i = 0; i < 20; ++i) CHECK_FALSE(mtu.lost(1472, start));
  mtu.acknowledged(1472);
  for (int i = 0; i < 5; ++i) CHECK_FALSE(mtu.lost(1472, start));
  mtu.acknowledged(100);
  CHECK(mtu.lost(1472, start));
  CHECK(mtu.size() == 1252);
  CHECK_FALSE(mtu.probe_due(start + seconds(59)).has_value());
  mtu.probe_lost(1472, start + seconds(1));  // A late word changes nothing.
  CHECK_FALSE(mtu.probe_due(start + seconds(59)).has_value());
  CHECK(mtu.probe_due(start + seconds(60)) == 1472u);
}

TEST_CASE("a size that the kernel refuses is not tried again in this search", "[mtu]") {
  MtuSearch mtu;
  mtu.restart(1500, 28, start);
  CHECK(mtu.probe_due(start) == 1472u);
  CHECK_FALSE(mtu.too_big(1472, start));
  CHECK(mtu.probe_due(start + seconds(1)) == 1464u);
  CHECK(mtu.probe_acknowledged(1464, start));
  // The route changed: what was good is refused.
  CHECK(mtu.too_big(1464, start + seconds(2)));
  CHECK(mtu.size() == 1252);
  CHECK(mtu.probe_due(start + seconds(2) + milliseconds(1)) == 1432u);
}

TEST_CASE("the log keeps what is in flight or freshly lost, and the newest numbers", "[sent_log]") {
  using Fate = SentDatagram::Fate;
  SentLog log;
  for (int i = 0; i < 200; ++i) log.append().sent = start + milliseconds(i);
  CHECK(log.next_number() == 200);
  CHECK(log[150].sent == start + milliseconds(150));
  log[0].fate = log[2].fate = Fate::acknowledged;
  log[1].fate = Fate::lost;
  int forgotten = 0;
  const auto forget = [&](SentDatagram&) { ++forgotten; };
  log.trim(start, forget);
  CHECK(log.base() == 1);  // Lost a moment ago: it may still be acknowledged.
  log.trim(start + milliseconds(2), forget);
  CHECK(log.base() == 3);  // In flight, however old.
  CHECK(forgotten == 3);
  CHECK_FALSE(log.contains(2));
  CHECK(log.contains(199));
  CHECK_FALSE(log.contains(200));
  CHECK(log.unsettled() == 3);
  log.note_acknowledged(9);
  log.note_acknowledged(4);
  CHECK(log.largest_acknowledged() == 9);
}

TEST_CASE("a full log says so, and gives lost ones up when half is waiting", "[sent_log]") {
  SentLog log;
  while (!log.full()) log.append().fate = SentDatagram::Fate::lost;
  CHECK(log.next_number() == SentLog::capacity_max);
  log.trim(Instant::min(), [](SentDatagram&) {});
  CHECK_FALSE(log.full());
  CHECK(log.next_number() - log.base() == SentLog::capacity_max / 2 - 1);
}

TEST_CASE("freed contents are used again", "[sent_log]") {
  ContentPool pool;
  const std::uint32_t one = pool.add({.value = 1}, ContentPool::none);
  const std::uint32_t two = pool.add({.value = 2}, one);
  CHECK(pool[two].next == one);
  pool.free(two);
  CHECK(pool.add({.value = 3}, one) == two);
  CHECK(pool[two].value == 3);
}
