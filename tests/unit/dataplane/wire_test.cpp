#include "dataplane/wire.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("a number is rebuilt as the one nearest to what is expected", "[wire]") {
  CHECK(wire::expand(0, 0, 32) == 0);
  CHECK(wire::expand(0x1'0000'0000, 0xffff'ffff, 32) == 0xffff'ffff);
  CHECK(wire::expand(0xffff'ffff, 1, 32) == 0x1'0000'0001);
  CHECK(wire::expand(5, 0xffffff, 24) == 0xffffff);
}

TEST_CASE("an acknowledgement with many ranges comes back as it was", "[wire]") {
  wire::Ack ack;
  ack.link = LinkId{3};
  ack.epoch = 2;
  ack.delay_units = 77;
  ack.received_low = 1234;
  ack.range_count = 20;
  std::uint64_t at = 100'000;
  for (std::size_t i = 0; i < ack.range_count; ++i) {
    ack.ranges[i] = {at - i, at};
    at -= i + 2 + i * 3;
  }
  ack.arrival_count = 2;
  ack.arrivals[0] = {0, 0xabcdef};
  ack.arrivals[1] = {300, 1};
  std::uint8_t bytes[300];
  Writer out(bytes);
  REQUIRE(wire::write_ack(out, ack));
  Reader in(out.written());
  wire::ParsedChunk chunk;
  REQUIRE(wire::next_chunk(in, chunk) == wire::Next::chunk);
  REQUIRE(chunk.type == wire::Chunk::ack);
  wire::Ack read;
  REQUIRE(wire::read_ack(chunk.body, 100'001, read));
  REQUIRE(read.range_count == ack.range_count);
  for (std::size_t i = 0; i < ack.range_count; ++i) {
    CHECK(read.ranges[i].first == ack.ranges[i].first);
    CHECK(read.ranges[i].last == ack.ranges[i].last);
  }
  CHECK(read.arrivals[1].below == 300);
  CHECK_FALSE(wire::read_ack(chunk.body, 100'000, read));
}
