#include <catch2/catch.hpp>

#include "linkem/quantity.hpp"
#include "virtual_line.hpp"

namespace mwtun::linkem {
namespace {

using Catch::Contains;

Result<TracePtr> load(const std::string& path) {
  if (path == "lte.down") return trace_of("1\n2\n4\n");
  return Error{"cannot read trace \"" + path + "\"", 66};
}

LineOptions line_of(const std::string& settings) {
  Result<LineOptions> line = parse_line("name=wan1 a=wan1a b=wan1b@vps " + settings, load);
  INFO((line.ok() ? std::string() : line.error().message));
  REQUIRE(line.ok());
  return line.take();
}

std::string error_of(const std::string& settings) {
  const Result<LineOptions> line = parse_line("name=wan1 a=wan1a b=wan1b " + settings, load);
  REQUIRE_FALSE(line.ok());
  CHECK(line.error().exit_code == 64);
  return line.error().message;
}

}  // namespace

TEST_CASE("quantities are read with their units", "[linkem]") {
  CHECK(parse_rate("100M").value() == 100'000'000);
  CHECK(parse_rate("2.5Mbit").value() == 2'500'000);
  CHECK(parse_rate("64k").value() == 64'000);
  CHECK(parse_rate("1G").value() == 1'000'000'000);
  CHECK(parse_rate("9600").value() == 9600);
  CHECK(parse_rate("none").value() == 0);
  CHECK(parse_time("10ms").value() == milliseconds(10));
  CHECK(parse_time("0.5ms").value() == microseconds(500));
  CHECK(parse_time("1.5s").value() == milliseconds(1500));
  CHECK(parse_time("0").value() == Duration{0});
  CHECK(parse_probability("1%").value() == Approx(0.01));
  CHECK(parse_probability("0.01").value() == Approx(0.01));
  CHECK(parse_size("256KiB").value() == 262'144);
  CHECK(parse_size("64kB").value() == 64'000);
}

TEST_CASE("a quantity without sense is refused", "[linkem]") {
  for (const char* text : {"", "M", "-5M", "5Q", "1e9", "inf", "nan", "5 M", "0x5", "2000G"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_rate(text).ok());
  }
  for (const char* text : {"", "10", "ms", "-1ms", "1h", "4000s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_time(text).ok());
  }
  for (const char* text : {"", "101%", "1.5", "-1%", "%"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_probability(text).ok());
  }
}

TEST_CASE("a line takes every setting, for both directions or for one", "[linkem]") {
  const LineOptions line = line_of(
      "down.rate=50M up.rate=10M delay=30ms down.jitter=3ms jitter_mode=reorder up.loss=1% "
      "ge=1%,25%,90% duplicate=2% corrupt=3% mtu=1400 burst=20ms queue=100ms up.queue=64kB "
      "policer=40M policer_burst=100kB");
  CHECK(line.name == "wan1");
  CHECK(line.a.interface == "wan1a");
  CHECK(line.a.netns.empty());
  CHECK(line.b.interface == "wan1b");
  CHECK(line.b.netns == "vps");
  CHECK(line.down.own.rate_bps == 50'000'000);
  CHECK(line.up.own.rate_bps == 10'000'000);
  CHECK(line.up.delay == milliseconds(30));
  CHECK(line.down.delay == milliseconds(30));
  CHECK(line.down.jitter == milliseconds(3));
  CHECK(line.up.jitter == Duration{0});
  CHECK(line.down.jitter_mode == JitterMode::reorder);
  CHECK(line.up.loss == Approx(0.01));
  CHECK(line.down.loss == 0);
  CHECK(line.up.burst_loss.enter_bad == Approx(0.01));
  CHECK(line.up.burst_loss.leave_bad == Approx(0.25));
  CHECK(line.up.burst_loss.loss_bad == Approx(0.9));
  CHECK(line.up.duplicate == Approx(0.02));
  CHECK(line.up.corrupt == Approx(0.03));
  CHECK(line.up.mtu == 1400);
  CHECK(line.down.burst == milliseconds(20));
  CHECK(line.down.own.queue_bytes_max() == 625'000);
  CHECK(line.up.own.queue_bytes_max() == 64'000);
  CHECK(line.up.policer_burst() == 100'000);
}

TEST_CASE("a line that says nothing is a wire with 200 ms of queue once it has a rate",
          "[linkem]") {
  const LineOptions line = line_of("");
  CHECK(line.up.own.rate_bps == 0);
  CHECK(line.up.delay == Duration{0});
  CHECK(line.up.mtu == 0);
  CHECK(line_of("rate=8M").up.own.queue_bytes_max() == 200'000);
}

TEST_CASE("an error names the token and what is allowed", "[linkem]") {
  CHECK_THAT(error_of("rate=100Q"), Contains("rate=100Q") && Contains("k, M or G"));
  CHECK_THAT(error_of("up.delay=10"), Contains("delay=10") && Contains("ms"));
  CHECK_THAT(error_of("lag=10ms"), Contains("\"lag\"") && Contains("delay") && Contains("loss"));
  CHECK_THAT(error_of("loss=150%"), Contains("loss=150%") && Contains("100%"));
  CHECK_THAT(error_of("rate"), Contains("\"rate\"") && Contains("key=value"));
  CHECK_THAT(error_of("jitter_mode=lifo"), Contains("fifo or reorder"));
  CHECK_THAT(error_of("ge=1%"), Contains("P,R"));
  CHECK_THAT(error_of("ge=1%,0%"), Contains("never leaves"));
  CHECK_THAT(error_of("queue=many"), Contains("queue=many") && Contains("200ms"));
  CHECK_THAT(error_of("mtu=70000"), Contains("65535"));
  CHECK_THAT(error_of("trace=gone"), Contains("cannot read trace \"gone\""));
  CHECK_THAT(error_of("rate=5M shared=cell"), Contains("one of the three"));
  CHECK_THAT(error_of("down.rate=5M trace=lte.down"), Contains("one of the three"));
  CHECK_THAT(error_of("a=averylonginterfacename"), Contains("15"));
  CHECK_THAT(error_of("a=eth0@"), Contains("network namespace"));
  const Result<LineOptions> nameless = parse_line("a=x b=y", load);
  REQUIRE_FALSE(nameless.ok());
  CHECK_THAT(nameless.error().message, Contains("name=NAME"));
}

TEST_CASE("of rate, trace and shared bottleneck the last one set holds", "[linkem]") {
  LineOptions line = line_of("rate=10M");
  REQUIRE(change_line(line, "trace=lte.down trace_offset=2ms", load).ok());
  CHECK(line.up.own.trace != nullptr);
  CHECK(line.up.own.rate_bps == 0);
  REQUIRE(change_line(line, "down.shared=cell", load).ok());
  CHECK(line.down.shared == "cell");
  CHECK(line.up.shared.empty());
  REQUIRE(change_line(line, "rate=3M", load).ok());
  CHECK(line.down.shared.empty());
  CHECK(line.up.own.trace == nullptr);
  CHECK(line.down.own.rate_bps == 3'000'000);
}

TEST_CASE("a change with one bad token changes nothing", "[linkem]") {
  LineOptions line = line_of("rate=10M");
  CHECK_FALSE(change_line(line, "rate=20M loss=2% delay=oops", load).ok());
  CHECK(line.up.own.rate_bps == 10'000'000);
  CHECK(line.up.loss == 0);
  CHECK_FALSE(change_line(line, "", load).ok());
  CHECK_FALSE(change_line(line, "name=other", load).ok());
}

TEST_CASE("a shared bottleneck needs a name and a rate or trace", "[linkem]") {
  const Result<SharedOptions> cell = parse_shared("name=cell rate=50M queue=100ms", load);
  REQUIRE(cell.ok());
  CHECK(cell.value().bottleneck.queue_bytes_max() == 625'000);
  CHECK(parse_shared("name=cell trace=lte.down", load).ok());
  CHECK_FALSE(parse_shared("name=cell", load).ok());
  CHECK_FALSE(parse_shared("rate=50M", load).ok());
  CHECK_FALSE(parse_shared("name=cell rate=50M delay=5ms", load).ok());
  CHECK_FALSE(parse_shared("name=cell up.rate=50M", load).ok());
}

}  // namespace mwtun::linkem
