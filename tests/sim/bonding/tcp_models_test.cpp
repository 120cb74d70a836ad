#include <catch2/catch.hpp>
#include <cmath>

#include "bare_line.hpp"
#include "support/tcp_bbr.hpp"
#include "support/tcp_cubic.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

constexpr double payload_share = 1448.0 / 1500;

}  // namespace

TEST_CASE("one CUBIC flow fills a line with a buffer") {
  BareLine line("rate=100M delay=10ms");
  TcpFlow& flow = line.flow(TcpKind::cubic);
  line.world.run_until(seconds(3));
  const double rate = line.run_mbit(flow, seconds(33));
  CHECK(rate > 0.99 * 100 * payload_share);
  CHECK(rate <= 100.01 * payload_share);
  CHECK(flow.sender().counters().timeouts == 0);
  CHECK(flow.broken() == 0);
}

TEST_CASE("one BBR flow fills a line and keeps its queue short") {
  BareLine line("rate=100M delay=10ms");
  const PingSource& ping = line.world.add_ping(milliseconds(10));
  TcpFlow& flow = line.flow(TcpKind::bbr);
  line.world.run_until(seconds(3));
  const double rate = line.run_mbit(flow, seconds(33));
  CHECK(rate > 0.96 * 100 * payload_share);
  CHECK(flow.sender().counters().retransmitted == 0);
  // CUBIC would have 200 ms of queue; BBR has about a quarter of a round trip while it probes.
  CHECK(ping.percentile_ms(0.9, Agenda::begin + seconds(3), Agenda::begin + seconds(33)) < 40);
}

TEST_CASE("a long fat line is filled by both") {
  for (const TcpKind kind : {TcpKind::cubic, TcpKind::bbr}) {
    BareLine line("rate=300M delay=50ms");
    TcpFlow& flow = line.flow(kind);
    line.world.run_until(seconds(10));
    INFO(to_string(kind));
    // The window of 6 MB is enough for 480 Mbit/s at 100 ms.
    CHECK(line.run_mbit(flow, seconds(30)) > 0.93 * 300 * payload_share);
  }
}

TEST_CASE("random loss holds CUBIC down as the response function says, BBR not") {
  // Mathis et al. (1997): MSS / RTT * 1.22 / sqrt(p) is 7.1 Mbit/s here; CUBIC is in its
  // TCP-friendly region.
  BareLine cubic_line("rate=100M delay=10ms down.loss=1%");
  TcpFlow& cubic = cubic_line.flow(TcpKind::cubic);
  cubic_line.world.run_until(seconds(3));
  const double rate = cubic_line.run_mbit(cubic, seconds(63));
  CHECK(rate > 3.5);
  CHECK(rate < 15);

  BareLine bbr_line("rate=100M delay=10ms down.loss=1%");
  TcpFlow& bbr = bbr_line.flow(TcpKind::bbr);
  bbr_line.world.run_until(seconds(3));
  CHECK(bbr_line.run_mbit(bbr, seconds(33)) > 0.85 * 100 * payload_share);
}

TEST_CASE("CUBIC loses a fourth as much rate to a fourth of the loss, or less") {
  double rates[2];
  for (const int i : {0, 1}) {
    BareLine line(i == 0 ? "rate=1G delay=10ms down.loss=0.4%"
                         : "rate=1G delay=10ms down.loss=0.1%");
    TcpFlow& flow = line.flow(TcpKind::cubic);
    line.world.run_until(seconds(3));
    rates[i] = line.run_mbit(flow, seconds(63));
  }
  // Square root of 4 in the TCP-friendly region, 4^0.75 = 2.8 in the cubic one.
  CHECK(rates[1] / rates[0] > 1.6);
  CHECK(rates[1] / rates[0] < 3.2);
}

TEST_CASE("two flows of one kind share a line") {
  for (const TcpKind kind : {TcpKind::cubic, TcpKind::bbr}) {
    BareLine line("rate=50M delay=20ms queue=100ms");
    TcpFlow& first = line.flow(kind);
    TcpFlow& second = line.flow(kind, seconds(5));
    line.world.run_until(seconds(20));
    const std::uint64_t before = second.delivered_bytes();
    const double one = line.run_mbit(first, seconds(100));
    const double two = static_cast<double>(second.delivered_bytes() - before) * 8e-6 / 80;
    INFO(to_string(kind) << ": " << one << " and " << two);
    CHECK(one + two > 0.95 * 50 * payload_share);
    CHECK(std::min(one, two) > 0.28 * (one + two));
  }
}

TEST_CASE("slow start is left before the buffer overflows") {
  BareLine line("rate=100M delay=20ms");
  TcpFlow& flow = line.flow(TcpKind::cubic);
  line.world.run_until(seconds(1));
  CHECK(flow.sender().counters().retransmitted == 0);
  CHECK(flow.sender().window().cwnd > 100);
  CHECK_FALSE(flow.sender().window().slow_start());
}

TEST_CASE("packets that overtake one another are not taken for lost for long") {
  BareLine line("rate=100M delay=20ms jitter=3ms jitter_mode=reorder");
  TcpFlow& flow = line.flow(TcpKind::cubic);
  line.world.run_until(seconds(5));
  const std::uint64_t repeated = flow.sender().counters().retransmitted;
  const double rate = line.run_mbit(flow, seconds(25));
  CHECK(rate > 0.85 * 100 * payload_share);
  CHECK(flow.receiver().counters().late > 1000);
  CHECK(flow.sender().counters().retransmitted - repeated < 2000);  // of some 160,000
}

TEST_CASE("a line that stops for two seconds costs timeouts, and then all goes on") {
  for (const TcpKind kind : {TcpKind::cubic, TcpKind::bbr}) {
    BareLine line("rate=50M delay=10ms");
    TcpFlow& flow = line.flow(kind);
    line.world.run_until(seconds(5));
    line.world.line(0).cut(true);
    line.world.run_until(seconds(7));
    CHECK(flow.sender().counters().timeouts >= 2);
    line.world.line(0).cut(false);
    line.world.run_until(seconds(10));
    INFO(to_string(kind));
    CHECK(line.run_mbit(flow, seconds(20)) > 0.93 * 50 * payload_share);
    CHECK(flow.broken() == 0);
  }
}

TEST_CASE("a delay that rises suddenly is no loss") {
  BareLine line("rate=50M delay=20ms queue=1s");
  TcpFlow& flow = line.flow(TcpKind::cubic);
  line.world.run_until(seconds(4));
  const std::uint32_t cwnd = flow.sender().window().cwnd;
  line.world.change(0, "delay=1s");
  line.world.run_until(seconds(9));
  CHECK(flow.sender().counters().timeouts > 0);
  CHECK(flow.sender().counters().undone > 0);
  CHECK(flow.sender().window().cwnd >= cwnd);
}

TEST_CASE("BBR gives way to a policer once it knows it") {
  BareLine line("rate=1G delay=10ms down.policer=20M down.policer_burst=64000");
  TcpFlow& flow = line.flow(TcpKind::bbr);
  line.world.run_until(seconds(10));
  const auto before = line.world.line(0).counters(Side::server);
  const double rate = line.run_mbit(flow, seconds(40));
  const auto after = line.world.line(0).counters(Side::server);
  const double lost = static_cast<double>(after.drops[1] - before.drops[1]) /
                      static_cast<double>(after.in_frames - before.in_frames);
  CHECK(rate > 0.8 * 20 * payload_share);
  CHECK(lost < 0.15);
}

TEST_CASE("an application that gives little is served, and then the rest at once") {
  BareLine line("rate=100M delay=10ms");
  TcpFlow& flow = line.flow(TcpKind::cubic);
  flow.set_rate(2'000'000);
  line.world.run_until(seconds(2));
  CHECK(line.run_mbit(flow, seconds(12)) == Approx(2).epsilon(0.02));
  flow.set_rate(0);
  line.world.run_until(seconds(14));
  CHECK(line.run_mbit(flow, seconds(20)) > 0.95 * 100 * payload_share);
}

TEST_CASE("after a loss CUBIC is back at its window after K") {
  TcpCubic cubic;
  TcpWindow window;
  window.now = Instant{} + seconds(100);
  window.cwnd = 1000, window.ssthresh = 500;
  window.cwnd_limited = true;
  cubic.start(window);
  cubic.acked(window, milliseconds(100));
  window.ssthresh = window.cwnd = cubic.ssthresh(window);
  CHECK(window.cwnd == 700);
  // W(t) = C (t - K)^3 + W_max with K = cbrt(W_max (1 - beta) / C), RFC 9438 §4.2.
  const double k_s = std::cbrt(1000 * (1 - TcpCubic::beta) / TcpCubic::c);
  const auto run_until = [&, began = window.now](double time_s) {
    while (std::chrono::duration<double>(window.now - began).count() < time_s) {
      window.now += milliseconds(1);
      cubic.grow(window, window.cwnd / 100);  // A window each 100 ms.
    }
  };
  run_until(k_s / 2);
  CHECK(window.cwnd == Approx(1000 - TcpCubic::c * std::pow(k_s / 2, 3)).margin(6));
  run_until(k_s);
  CHECK(window.cwnd == Approx(1000).margin(3));
  run_until(k_s + 5);
  CHECK(window.cwnd == Approx(1000 + TcpCubic::c * 125).margin(6));
}

TEST_CASE("the same seed gives the same run") {
  std::uint64_t delivered[2], steps[2];
  for (const int i : {0, 1}) {
    BareLine line("rate=50M delay=20ms jitter=5ms loss=0.5%", 7);
    TcpFlow& flow = line.flow(TcpKind::bbr);
    line.world.run_until(seconds(10));
    delivered[i] = flow.delivered_bytes(), steps[i] = line.world.agenda.steps();
  }
  CHECK(delivered[0] == delivered[1]);
  CHECK(steps[0] == steps[1]);
}
