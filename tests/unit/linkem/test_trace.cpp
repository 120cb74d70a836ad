#include <catch2/catch.hpp>

#include "virtual_line.hpp"

namespace mwtun::linkem {
namespace {

DirectionOptions by_trace(const std::string& text, Duration offset = {}) {
  DirectionOptions options;
  options.own.trace = trace_of(text);
  options.own.trace_offset = offset;
  options.own.queue.unit = QueueLimit::Unit::none;
  return options;
}

std::vector<std::int64_t> due_ms(const std::vector<Release>& released) {
  std::vector<std::int64_t> times;
  for (const Release& release : released) times.push_back((release.due - start) / milliseconds(1));
  return times;
}

using Times = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("a backlog leaves at the trace's stamps, round after round", "[linkem]") {
  LineDirection line(by_trace("0\n2\n2\n5\n"), 1, start);
  // The stamp 5 ends a round and the 0 of the next is the same moment.
  CHECK(due_ms(carry(line, evenly(9, Duration{0}))) == Times{0, 2, 2, 5, 5, 7, 7, 10, 10});
}

TEST_CASE("an offset starts later in the same trace", "[linkem]") {
  LineDirection line(by_trace("0\n2\n2\n5\n", milliseconds(3)), 1, start);
  CHECK(due_ms(carry(line, evenly(5, Duration{0}))) == Times{2, 2, 4, 4, 7});
  LineDirection rounds_later(by_trace("0\n2\n2\n5\n", milliseconds(503)), 1, start);
  CHECK(due_ms(carry(rounds_later, evenly(5, Duration{0}))) == Times{2, 2, 4, 4, 7});
}

TEST_CASE("one opportunity carries several small frames", "[linkem]") {
  LineDirection line(by_trace("1\n2\n3\n4\n"), 1, start);
  CHECK(due_ms(carry(line, evenly(8, Duration{0}, 500))) == Times{1, 1, 1, 2, 2, 2, 3, 3});
}

TEST_CASE("a frame that does not fit goes on in the next opportunity", "[linkem]") {
  LineDirection line(by_trace("1\n2\n3\n4\n"), 1, start);
  // 1000 + 500 of the next, 500 + 1000, ...
  CHECK(due_ms(carry(line, evenly(6, Duration{0}, 1000))) == Times{1, 2, 2, 3, 4, 4});
  LineDirection jumbo(by_trace("1\n2\n3\n4\n"), 1, start);
  CHECK(due_ms(carry(jumbo, evenly(2, Duration{0}, 4000))) == Times{3, 6});
}

TEST_CASE("what nobody uses of an opportunity is lost", "[linkem]") {
  LineDirection line(by_trace("10\n20\n"), 1, start);
  const auto released = carry(line, {{start, 100},
                                     {start + milliseconds(11), 100},
                                     {start + milliseconds(11), 1500},
                                     {start + milliseconds(55), 1500}});
  // At 20 the second takes 100 bytes and the third 1400; its last 100 have to wait for 30.
  CHECK(due_ms(released) == Times{10, 20, 30, 60});
}

TEST_CASE("a trace gives its average rate over whole rounds", "[linkem]") {
  const DirectionOptions options = by_trace("5\n10\n11\n12\n60\n100\n");
  CHECK(options.own.trace->average_bps() == 720'000);
  LineDirection line(options, 1, start);
  const auto released = carry(line, evenly(6000, Duration{0}));
  CHECK(released.back().due == start + seconds(100));
}

TEST_CASE("a line idle for a year finds its place in the trace", "[linkem]") {
  LineDirection line(by_trace("0\n2\n2\n5\n"), 1, start);
  const Instant later = start + std::chrono::hours(24 * 365) + milliseconds(1);
  line.offer(1500, later, 0);
  std::vector<Release> released;
  pop_until(line, later + seconds(1), released);
  REQUIRE(released.size() == 1);
  CHECK(released[0].due == later + milliseconds(1));
}

TEST_CASE("a trace's queue in time is counted at its average rate", "[linkem]") {
  DirectionOptions options = by_trace("1\n2\n3\n4\n");
  options.own.queue = {};
  CHECK(options.own.queue_bytes_max() == 300'000);
}

TEST_CASE("a line goes from a rate to a trace and back at run time", "[linkem]") {
  LineDirection line(at_rate(12'000), 1, start);
  for (Token token = 0; token < 5; ++token) line.offer(1500, start, token);
  line.configure(by_trace("4\n8\n"), start + milliseconds(1500));
  std::vector<Release> released;
  pop_until(line, start + milliseconds(1510), released);
  // Half of the second frame had gone at the old rate; 750 bytes of the first opportunity are left.
  CHECK(due_ms(released) == Times{1000, 1504, 1508});
  line.configure(at_rate(12'000'000), start + milliseconds(1510));
  pop_until(line, start + seconds(2), released);
  REQUIRE(released.size() == 5);
  CHECK(released[3].due == start + milliseconds(1510) + microseconds(500));
  CHECK(released[4].due == start + milliseconds(1511) + microseconds(500));
}

TEST_CASE("a broken trace is refused with its line", "[linkem]") {
  const auto message = [](const char* text) {
    const Result<TracePtr> trace = Trace::parse(text, "lte.down");
    REQUIRE_FALSE(trace.ok());
    return trace.error().message;
  };
  using Catch::Contains;
  CHECK_THAT(message("1\n2\nx3\n"), Contains("lte.down:3") && Contains("x3"));
  CHECK_THAT(message("1\n5\n4\n"), Contains("lte.down:3") && Contains("4 comes after 5"));
  CHECK_THAT(message("1\n-5\n"), Contains("lte.down:2"));
  CHECK_THAT(message("99999999999\n"), Contains("lte.down:1"));
  CHECK_THAT(message(""), Contains("at least one stamp"));
  CHECK_THAT(message("0\n0\n"), Contains("above 0"));
  CHECK(Trace::parse("# comment\r\n1\r\n\r\n2", "x").ok());
}

}  // namespace mwtun::linkem
