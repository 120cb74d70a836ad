// The bytes on the wire against literal ones, so that no change of the code can change the protocol
// unseen. The expected bytes are in tests/vectors/golden/data_chunks.hex.
#include <catch2/catch.hpp>
#include <cctype>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "dataplane/wire.hpp"

using namespace mwtun;
using Octets = std::vector<std::uint8_t>;

static std::map<std::string, Octets> read_golden() {
  std::map<std::string, Octets> all;
  std::ifstream file(MWTUN_GOLDEN_FOLDER "/data_chunks.hex");
  for (std::string line; std::getline(file, line);) {
    const std::size_t equals = line.find('=');
    if (line.empty() || line[0] == '#' || equals == std::string::npos) continue;
    std::string digits;
    for (const char c : line.substr(equals + 1)) {
      if (std::isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
    }
    Octets& bytes = all[line.substr(0, line.find(' '))];
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
      bytes.push_back(static_cast<std::uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
    }
  }
  return all;
}

static const Octets& golden(const std::string& name) {
  static const std::map<std::string, Octets> all = read_golden();
  REQUIRE(all.count(name) == 1);
  return all.at(name);
}

template <typename Write>
static Octets written(Write&& write) {
  std::uint8_t room[512];
  Writer out(room);
  write(out);
  return {out.written().begin(), out.written().end()};
}

static wire::ParsedChunk parsed(const Octets& bytes) {
  Reader in(bytes);
  wire::ParsedChunk chunk;
  REQUIRE(wire::next_chunk(in, chunk) == wire::Next::chunk);
  CHECK(in.done());
  return chunk;
}

TEST_CASE("the header of a data datagram has its golden bytes", "[golden]") {
  wire::DataHeader header{2, LinkId{5}, SessionIndex{0x1a2b3c4d}, 0x01020304};
  CHECK(written([&](Writer& out) { wire::write_header(out, header); }) == golden("header"));
  Octets datagram = golden("header");
  datagram.resize(wire::overhead_bytes);
  const std::optional<wire::DataHeader> read = wire::read_header(datagram);
  REQUIRE(read.has_value());
  CHECK(read->epoch == 2);
  CHECK(read->link == LinkId{5});
  CHECK(read->receiver == SessionIndex{0x1a2b3c4d});
  CHECK(read->number_low == 0x01020304);
}

TEST_CASE("frame chunks have their golden bytes with every combination of flags", "[golden]") {
  struct Case {
    const char* name;
    bool first, last, rest;
  };
  const Octets data = {0xde, 0xad, 0xbe, 0xef};
  for (const Case& c :
       {Case{"frame_whole_rest", true, true, true}, Case{"frame_whole", true, true, false},
        Case{"frame_first", true, false, false}, Case{"frame_last", false, true, false},
        Case{"frame_middle", false, false, false}, Case{"frame_first_rest", true, false, true},
        Case{"frame_last_rest", false, true, true},
        Case{"frame_middle_rest", false, false, true}}) {
    INFO(c.name);
    CHECK(written([&](Writer& out) {
            wire::write_frame_chunk_header(out, LaneId{0xabc}, 0x123456, c.first, c.last, c.rest,
                                           data.size());
            out.bytes(data);
          }) == golden(c.name));
    const wire::ParsedChunk chunk = parsed(golden(c.name));
    REQUIRE(chunk.is_frame);
    CHECK(chunk.frame.lane == LaneId{0xabc});
    CHECK(chunk.frame.sequence_low == 0x123456);
    CHECK(chunk.frame.first == c.first);
    CHECK(chunk.frame.last == c.last);
    CHECK(Octets(chunk.frame.data.begin(), chunk.frame.data.end()) == data);
  }
}

TEST_CASE("the highest lane and a sequence beyond 24 bits keep their golden bytes", "[golden]") {
  CHECK(written([](Writer& out) {
          wire::write_frame_chunk_header(out, LaneId{4095}, 0x2ffffff, true, true, false, 1);
          out.u8(0x7e);
        }) == golden("frame_high"));
  CHECK(parsed(golden("frame_high")).frame.lane == LaneId{4095});
}

TEST_CASE("an acknowledgement has its golden bytes", "[golden]") {
  constexpr std::uint64_t largest = 0x100000200;
  wire::Ack ack;
  ack.link = LinkId{3};
  ack.epoch = 2;
  ack.delay_units = 77;
  ack.received_low = 1234;
  ack.range_count = 3;
  ack.ranges[0] = {largest - 5, largest};
  ack.ranges[1] = {largest - 306, largest - 7};
  ack.ranges[2] = {largest - 436, largest - 436};
  ack.arrival_count = 2;
  ack.arrivals[0] = {0, 0xabcdef};
  ack.arrivals[1] = {300, 1};
  CHECK(written([&](Writer& out) { CHECK(wire::write_ack(out, ack)); }) == golden("ack"));

  const wire::ParsedChunk chunk = parsed(golden("ack"));
  REQUIRE(chunk.type == wire::Chunk::ack);
  const std::optional<wire::AckKey> key = wire::read_ack_key(chunk.body);
  REQUIRE(key.has_value());
  CHECK(key->link == LinkId{3});
  CHECK(key->epoch == 2);
  wire::Ack read;
  REQUIRE(wire::read_ack(chunk.body, largest + 1, read));
  CHECK(read.delay_units == 77);
  CHECK(read.received_low == 1234);
  REQUIRE(read.range_count == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(read.ranges[i].first == ack.ranges[i].first);
    CHECK(read.ranges[i].last == ack.ranges[i].last);
  }
  REQUIRE(read.arrival_count == 2);
  CHECK(read.arrivals[0].stamp_low == 0xabcdef);
  CHECK(read.arrivals[1].below == 300);
}

TEST_CASE("the least acknowledgement and one with a saturated delay have their golden bytes",
          "[golden]") {
  wire::Ack least;
  least.link = LinkId{15};
  least.epoch = 3;
  least.received_low = 1;
  least.range_count = 1;
  CHECK(written([&](Writer& out) { CHECK(wire::write_ack(out, least)); }) == golden("ack_least"));
  wire::Ack late;
  late.delay_units = 0xffff;
  late.received_low = 10;
  late.range_count = 1;
  late.ranges[0] = {0, 9};
  CHECK(written([&](Writer& out) { CHECK(wire::write_ack(out, late)); }) ==
        golden("ack_full_delay"));
}

TEST_CASE("a join has its golden bytes", "[golden]") {
  const Octets name = {'l', 't', 'e'};
  wire::Join join;
  join.weight = 1000;
  join.priority = 2;
  join.role = 1;
  join.metered = true;
  join.rate_down_bps_max = 100'000'000;
  join.rate_up_bps_max = 20'000'000;
  join.name = name;
  CHECK(written([&](Writer& out) { wire::write_join(out, join); }) == golden("join"));
  const wire::ParsedChunk chunk = parsed(golden("join"));
  REQUIRE(chunk.type == wire::Chunk::join);
  const std::optional<wire::Join> read = wire::read_join(chunk.body);
  REQUIRE(read.has_value());
  CHECK(read->weight == 1000);
  CHECK(read->priority == 2);
  CHECK(read->role == 1);
  CHECK(read->metered);
  CHECK(read->rate_down_bps_max == 100'000'000);
  CHECK(read->rate_up_bps_max == 20'000'000);
  CHECK(Octets(read->name.begin(), read->name.end()) == name);
}

TEST_CASE("offload data has its golden bytes", "[golden]") {
  for (const auto& [name, gso_bytes] : {std::pair("offload", 1460), {"offload_checksum", 0}}) {
    Offload offload;
    offload.checksum_partial = true;
    offload.gso_bytes = static_cast<std::uint16_t>(gso_bytes);
    CHECK(written([&](Writer& out) { wire::write_offload(out, offload); }) == golden(name));
    const wire::ParsedChunk chunk = parsed(golden(name));
    REQUIRE(chunk.type == wire::Chunk::offload);
    CHECK(wire::read_offload(chunk.body) == offload);
  }
}

TEST_CASE("holes have their golden bytes", "[golden]") {
  const Octets headers = {0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
  const wire::Hole middle{
      .lane = LaneId{0x123}, .sequence_low = 0x345678, .bytes = 1400, .headers = {}};
  const wire::Hole first{
      .lane = LaneId{5}, .first = true, .bytes = 1400, .gso_bytes = 1460, .headers = headers};
  for (const auto& [name, hole] : {std::pair("hole", middle), {"hole_first", first}}) {
    CHECK(written([&, &made = hole](Writer& out) { wire::write_hole(out, made); }) == golden(name));
    const wire::ParsedChunk chunk = parsed(golden(name));
    REQUIRE(chunk.type == wire::Chunk::hole);
    const std::optional<wire::Hole> read = wire::read_hole(chunk.body);
    REQUIRE(read.has_value());
    CHECK(read->lane == hole.lane);
    CHECK(read->sequence_low == hole.sequence_low);
    CHECK(read->first == hole.first);
    CHECK_FALSE(read->last);
    CHECK(read->bytes == 1400);
    CHECK(read->gso_bytes == hole.gso_bytes);
    CHECK(read->headers.size() == hole.headers.size());
  }
}

TEST_CASE("every other control chunk has its golden type and body", "[golden]") {
  struct Case {
    const char* name;
    wire::Chunk type;
    std::size_t body;
  };
  for (const Case& c :
       {Case{"heads", wire::Chunk::heads, 10}, Case{"lane_floor", wire::Chunk::lane_floor, 10},
        Case{"ping", wire::Chunk::ping, 0}, Case{"challenge", wire::Chunk::challenge, 8},
        Case{"response", wire::Chunk::response, 8}, Case{"settings", wire::Chunk::settings, 4},
        Case{"mtu_probe", wire::Chunk::mtu_probe, 2}, Case{"close", wire::Chunk::close, 1},
        Case{"unknown", static_cast<wire::Chunk>(0x7f), 3}}) {
    INFO(c.name);
    const wire::ParsedChunk chunk = parsed(golden(c.name));
    CHECK_FALSE(chunk.is_frame);
    CHECK(chunk.type == c.type);
    REQUIRE(chunk.body.size() == c.body);
    CHECK(written([&](Writer& out) {
            wire::write_control_header(out, c.type, c.body);
            out.bytes(chunk.body);
          }) == golden(c.name));
  }
  Reader floors(parsed(golden("lane_floor")).body);
  CHECK(floors.u16() == 3071);
  CHECK(floors.u24() == 0x123456);
  Reader heads(parsed(golden("heads")).body);
  CHECK(heads.u8() == 0x10);
  CHECK(heads.u32() == 0x01000000);
}

TEST_CASE("a datagram's content is its chunks one after the other, up to the padding", "[golden]") {
  const Octets& content = golden("content");
  Reader in(content);
  CHECK(in.u24() == 0x030201);
  wire::ParsedChunk chunk;
  const auto next_is = [&](wire::Chunk type) {
    REQUIRE(wire::next_chunk(in, chunk) == wire::Next::chunk);
    CHECK_FALSE(chunk.is_frame);
    CHECK(chunk.type == type);
  };
  next_is(wire::Chunk::ping);
  next_is(wire::Chunk::offload);
  REQUIRE(wire::next_chunk(in, chunk) == wire::Next::chunk);
  CHECK(chunk.is_frame);
  CHECK(chunk.frame.first);
  CHECK_FALSE(chunk.frame.last);
  CHECK(chunk.frame.data.size() == 4);
  REQUIRE(wire::next_chunk(in, chunk) == wire::Next::chunk);
  CHECK(chunk.frame.last);
  CHECK(chunk.frame.sequence_low == 0x123457);
  CHECK(chunk.frame.data[1] == 0xfe);
  next_is(static_cast<wire::Chunk>(0x7f));
  next_is(wire::Chunk::close);
  CHECK(wire::next_chunk(in, chunk) == wire::Next::end);
  Reader padding(golden("padding"));
  CHECK(wire::next_chunk(padding, chunk) == wire::Next::end);
}

TEST_CASE("a chunk cut short at any length is malformed", "[golden]") {
  for (const char* name :
       {"frame_whole", "frame_first", "frame_last", "frame_middle", "frame_high",       "ack",
        "heads",       "lane_floor",  "ping",       "join",         "challenge",        "response",
        "settings",    "mtu_probe",   "close",      "offload",      "offload_checksum", "hole",
        "hole_first",  "unknown"}) {
    const Octets& whole = golden(name);
    for (std::size_t size = 1; size < whole.size(); ++size) {
      INFO(name << " cut to " << size);
      const Octets cut(whole.begin(), whole.begin() + static_cast<long>(size));
      Reader in(cut);
      wire::ParsedChunk chunk;
      CHECK(wire::next_chunk(in, chunk) == wire::Next::malformed);
    }
  }
  // Without a length nothing but an empty chunk can be told from a shorter one.
  for (std::size_t size = 1; size <= wire::rest_chunk_header_bytes; ++size) {
    const Octets& whole = golden("frame_whole_rest");
    const Octets cut(whole.begin(), whole.begin() + static_cast<long>(size));
    Reader in(cut);
    wire::ParsedChunk chunk;
    CHECK(wire::next_chunk(in, chunk) == wire::Next::malformed);
  }
}

TEST_CASE("the body of a chunk cut short or too long at any length is refused", "[golden]") {
  const Octets ack(golden("ack").begin() + 2, golden("ack").end());
  const Octets join(golden("join").begin() + 2, golden("join").end());
  const Octets offload(golden("offload").begin() + 2, golden("offload").end());
  wire::Ack read;
  for (std::size_t size = 0; size < ack.size(); ++size) {
    const Octets cut(ack.begin(), ack.begin() + static_cast<long>(size));
    CHECK_FALSE(wire::read_ack(cut, UINT32_MAX, read));
  }
  for (std::size_t size = 0; size < 21; ++size) {
    const Octets cut(join.begin(), join.begin() + static_cast<long>(size));
    CHECK_FALSE(wire::read_join(cut).has_value());
  }
  CHECK_FALSE(wire::read_offload(Bytes(offload).first(1)).has_value());
  CHECK_FALSE(wire::read_offload(Octets{0, 0}).has_value());  // Segments of nothing.
  Octets longer = ack;
  longer.push_back(0);
  CHECK_FALSE(wire::read_ack(longer, 0x100000201, read));
  longer = offload;
  longer.push_back(0);
  CHECK_FALSE(wire::read_offload(longer).has_value());
}
