#include "dataplane/wire_classes.hpp"

#include <catch2/catch.hpp>

#include "base/prng.hpp"

using namespace mwtun;
using Octets = std::vector<std::uint8_t>;

namespace {

TrafficRule voice() {
  TrafficRule rule;
  rule.scheduler = SchedulerKind::redundant;
  rule.dscp = std::uint64_t{1} << 46;
  rule.protocols = {17};
  rule.ports = {{5060, 5060}, {16384, 32767}};
  rule.macs = {{2, 0, 0, 0, 0, 0xaa}};
  rule.vlans = {10};
  rule.links.add(LinkId{1});
  return rule;
}

/// Every list as long as it may be.
TrafficRule largest() {
  TrafficRule rule;
  rule.dscp = ~std::uint64_t{0};
  for (std::size_t i = 0; i < TrafficRule::protocols_max; ++i) rule.protocols.push_back(255);
  for (std::size_t i = 0; i < TrafficRule::ports_max; ++i) rule.ports.push_back({0, 65535});
  for (std::size_t i = 0; i < TrafficRule::macs_max; ++i) rule.macs.push_back({1, 2, 3, 4, 5, 6});
  for (std::size_t i = 0; i < TrafficRule::vlans_max; ++i) rule.vlans.push_back(4094);
  rule.links.add(LinkId{0}), rule.links.add(LinkId{15});
  return rule;
}

Octets body_of(const wire::ClassChunk& chunk) {
  std::array<std::uint8_t, 300> room{};
  Writer out(room);
  wire::write_class(out, chunk);
  REQUIRE(out.size() == wire::control_header_bytes + wire::class_body_bytes(chunk.rule));
  Reader in(out.written());
  wire::ParsedChunk parsed;
  REQUIRE(wire::next_chunk(in, parsed) == wire::Next::chunk);
  CHECK(parsed.type == wire::Chunk::traffic_class);
  CHECK(in.size() == 0);
  return {parsed.body.begin(), parsed.body.end()};
}

}  // namespace

TEST_CASE("a class chunk is these bytes", "[wire]") {
  const Octets expected = {3, 7, 4,  0x02, 0x00, 0,    0,    0,    0,    0,    0x40, 0,
                           0, 1, 17, 2,    0xc4, 0x13, 0xc4, 0x13, 0x00, 0x40, 0xff, 0x7f,
                           1, 2, 0,  0,    0,    0,    0xaa, 1,    10,   0};
  CHECK(body_of({3, 7, voice()}) == expected);
}

TEST_CASE("a rule comes back as it was, the smallest and the largest too", "[wire]") {
  TrafficRule smallest;
  smallest.vlans = {0};
  smallest.scheduler = SchedulerKind::adaptive;
  for (const TrafficRule& rule : {voice(), largest(), smallest}) {
    const auto back = wire::read_class(body_of({31, 32, rule}));
    REQUIRE(back.has_value());
    CHECK(back->rule == rule);
    CHECK(back->index == 31);
    CHECK(back->count == 32);
  }
  CHECK(wire::class_body_bytes(largest()) <= wire::control_body_max);
}

TEST_CASE("a class chunk that is cut, longer or out of bounds is malformed", "[wire]") {
  const Octets good = body_of({3, 7, voice()});
  for (std::size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    CHECK_FALSE(wire::read_class(Octets(good.begin(), good.begin() + static_cast<long>(size))));
  }
  Octets longer = good;
  longer.push_back(0);
  CHECK_FALSE(wire::read_class(longer));

  struct Wrong {
    std::size_t at;
    std::uint8_t value;
  };
  for (const Wrong& wrong :
       {Wrong{0, 7}, Wrong{1, 0}, Wrong{1, 33}, Wrong{1, 3}, Wrong{2, 5}, Wrong{2, 0xfe},
        Wrong{13, 9}, Wrong{13, 255}, Wrong{15, 17}, Wrong{15, 255}, Wrong{24, 17}, Wrong{24, 255},
        Wrong{31, 17}, Wrong{31, 2}, Wrong{33, 0x10}}) {
    INFO(wrong.at << " " << int{wrong.value});
    Octets bytes = good;
    bytes[wrong.at] = wrong.value;
    CHECK_FALSE(wire::read_class(bytes));
  }
  Octets backwards = good;
  backwards[16] = 0xc5;  // 5061 to 5060.
  CHECK_FALSE(wire::read_class(backwards));
}

TEST_CASE("a rule for every frame, or one that changes nothing, is malformed", "[wire]") {
  TrafficRule rule;
  rule.scheduler = SchedulerKind::hash;
  CHECK_FALSE(wire::read_class(body_of({0, 1, rule})));
  rule = {};
  rule.dscp = 1;
  CHECK_FALSE(wire::read_class(body_of({0, 1, rule})));
  rule.links.add(LinkId{2});
  CHECK(wire::read_class(body_of({0, 1, rule})));
}

TEST_CASE("what is read of random bytes is within its bounds, and is written the same", "[wire]") {
  Prng random(7);
  const Octets good = body_of({3, 7, voice()});
  std::size_t read = 0;
  for (int i = 0; i < 100'000; ++i) {
    Octets bytes = good;
    if (random.chance(0.3)) bytes.resize(random.below(256), 0xff);
    for (std::uint64_t n = random.below(5); n > 0 && !bytes.empty(); --n) {
      bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    }
    const auto chunk = wire::read_class(bytes);
    if (!chunk) continue;
    ++read;
    REQUIRE(body_of(*chunk) == bytes);
  }
  CHECK(read > 1000);
}
