#include "dataplane/frame_joiner.hpp"

#include <catch2/catch.hpp>
#include <ostream>

#include "dataplane/super_frame.hpp"
#include "support/tcp_segments.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

struct Rig {
  SlabPool large{super_frame_bytes_max + 1, 32}, slabs{2048, 512};
  Rig() { slabs.set_larger(large); }
  FrameJoiner joiner{slabs};
  WireCompare wire{slabs};
  std::vector<Frame> out;

  void add(Frame frame) {
    wire.in(frame);
    if (joiner.add(frame)) return take();
    wire.out(frame);
    out.push_back(std::move(frame));
  }
  void add(const TcpSegment& segment) { add(segment.frame(slabs)); }
  void flush() {
    joiner.flush();
    take();
  }
  void take() {
    while (joiner.ready()) {
      out.push_back(joiner.take_ready());
      wire.out(out.back());
    }
  }
  /// Of what came out so far.
  std::size_t super_frames() const {
    std::size_t count = 0;
    for (const Frame& frame : out) count += frame.offload.gso != Offload::Gso::none;
    return count;
  }
  /// Everything came out as so many frames, and is what went in.
  void check_frames(std::size_t count) {
    flush();
    CHECK(out.size() == count);
    CHECK(wire.difference().empty());
  }
};

struct Shape {
  const char* name;
  TcpSegment segment;
};
std::ostream& operator<<(std::ostream& text, const Shape& shape) {
  return text << shape.name;
}

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  const auto add = [&](const char* name) -> TcpSegment& {
    all.push_back({name, {}});
    return all.back().segment;
  };
  add("IPv4");
  add("IPv4 without options").options.clear();
  add("IPv4 that may be fragmented").fragment = 0;
  add("IPv4 in a VLAN").tags = 1;
  add("IPv4, ECN-capable, with ECE").traffic = 2, all.back().segment.flags = 0x50;
  add("IPv4, congestion experienced").traffic = 3;
  add("IPv4, checksums partial").partial = true;
  add("IPv6").v6 = true;
  TcpSegment& tagged = add("IPv6 in two VLANs, checksums partial");
  tagged.v6 = tagged.partial = true, tagged.tags = 2;
  TcpSegment& sack = add("IPv6 with SACK");
  sack.v6 = true, sack.options.assign({1, 1, 5, 10, 0, 0, 1, 0, 0, 0, 2, 0});
  return all;
}

}  // namespace

TEST_CASE_METHOD(Rig, "segments that follow on each other become one super-frame", "[joiner]") {
  const std::vector<Shape> all = shapes();
  const Shape shape = GENERATE_REF(from_range(all.begin(), all.end()));
  INFO(shape);
  TcpSegment segment = shape.segment;
  for (int i = 0; i < 20; ++i) {
    add(segment);
    segment = segment.next();
  }
  CHECK(out.empty());
  check_frames(1);
  CHECK(out[0].offload.gso_bytes == 1000);
  CHECK(out[0].size - find_headers(out[0].bytes())->payload_at == 20'000);
  CHECK(joiner.counters().frames == 20);
  CHECK(joiner.counters().super_frames == 1);
}

TEST_CASE_METHOD(Rig, "a segment with PSH or FIN, or a shorter one, is the last", "[joiner]") {
  TcpSegment first;
  TcpSegment last = first.next();
  SECTION("PSH") {
    last.flags = 0x18;
  }
  SECTION("FIN") {
    last.flags = 0x11;
  }
  SECTION("both, and ECE in all") {
    first.flags = 0x50, last.flags = 0x59;
  }
  SECTION("one byte shorter") {
    last.payload_bytes = 999;
  }
  SECTION("a single byte") {
    last.payload_bytes = 1;
    last.tags = first.tags = 2;
  }
  add(first), add(last);
  // It need not wait for the end of the drain.
  CHECK(out.size() == 1);
  CHECK(super_frames() == 1);
  TcpSegment after = last.next();
  after.flags = 0x10, after.payload_bytes = 1000;
  add(after);
  check_frames(2);
}

TEST_CASE_METHOD(Rig, "any bit of the headers that is another keeps frames apart", "[joiner]") {
  const std::vector<Shape> all = shapes();
  const Shape shape = GENERATE_REF(from_range(all.begin(), all.end()));
  const TcpSegment first = shape.segment;
  const std::vector<std::uint8_t> before = first.bytes(), after = first.next().bytes();
  const InnerHeaders at = *find_headers(before);
  for (std::size_t bit = 0; bit < 8u * at.payload_at; ++bit) {
    const std::size_t byte = bit / 8;
    const auto mask = static_cast<std::uint8_t>(1u << bit % 8);
    for (const bool of_first : {false, true}) {
      std::vector<std::uint8_t> changed = of_first ? before : after;
      changed[byte] ^= mask;
      mend_checksums(changed, first.partial);
      // Partial checksums are what they are by the frame's own headers, so it must have such.
      if (first.partial && !find_headers(changed)) continue;
      Rig rig;
      rig.add(of_first ? to_frame(changed, first.partial, rig.slabs) : first.frame(rig.slabs));
      rig.add(of_first ? first.next().frame(rig.slabs)
                       : to_frame(changed, first.partial, rig.slabs));
      rig.flush();
      INFO(shape << ", byte " << byte << ", bit " << bit % 8 << ", of the first: " << of_first);
      REQUIRE(rig.wire.difference().empty());
      // A checksum was mended, so nothing has changed; and the last may have PSH and FIN.
      const bool checksum = changed == (of_first ? before : after);
      const bool end = !of_first && byte == at.transport_at + 13u && (mask & 0x09) != 0;
      REQUIRE(rig.super_frames() == (checksum || end ? 1 : 0));
    }
  }
}

TEST_CASE_METHOD(Rig, "a frame that was spoiled anywhere leaves by itself, as it came",
                 "[joiner]") {
  const std::vector<Shape> all = shapes();
  const Shape shape = GENERATE_REF(from_range(all.begin(), all.end()));
  const TcpSegment first = shape.segment;
  const std::vector<std::uint8_t> before = first.bytes(), after = first.next().bytes();
  const InnerHeaders at = *find_headers(before);
  // Of a partial checksum nothing covers the payload.
  const std::size_t end = first.partial ? at.payload_at : before.size();
  for (std::size_t byte = 0; byte < end; ++byte) {
    for (const bool of_first : {false, true}) {
      std::vector<std::uint8_t> changed = of_first ? before : after;
      changed[byte] ^= 0x40;
      if (first.partial && !find_headers(changed)) continue;
      Rig rig;
      rig.add(of_first ? to_frame(changed, first.partial, rig.slabs) : first.frame(rig.slabs));
      rig.add(of_first ? first.next().frame(rig.slabs)
                       : to_frame(changed, first.partial, rig.slabs));
      rig.flush();
      INFO(shape << ", byte " << byte << ", of the first: " << of_first);
      REQUIRE(rig.wire.difference().empty());
      REQUIRE(rig.out.size() == 2);
    }
  }
}

TEST_CASE_METHOD(Rig, "what stands alone is not joined", "[joiner]") {
  TcpSegment first;
  TcpSegment second = first.next();
  SECTION("pure acknowledgements") {
    first.payload_bytes = second.payload_bytes = 0;
    second = first.next();
  }
  SECTION("a second that is longer") {
    second.payload_bytes = 1001;
  }
  SECTION("a hole") {
    ++second.sequence;
  }
  SECTION("the same again") {
    second = first;
  }
  SECTION("a sequence that goes back") {
    std::swap(first, second);
  }
  SECTION("another acknowledgement") {
    ++second.acknowledged;
  }
  SECTION("CWR in both") {
    first.flags = second.flags = 0x90;
  }
  SECTION("CWR in the first") {
    first.flags = 0x90;
  }
  SECTION("ECE in the second alone") {
    second.flags = 0x50;
  }
  SECTION("a mark of congestion on the second alone") {
    first.traffic = 2, second.traffic = 3;
  }
  SECTION("SYN, RST or URG in both") {
    first.flags = second.flags = GENERATE(as<std::uint8_t>{}, 0x12, 0x14, 0x30);
  }
  SECTION("PSH in the first") {
    first.flags = 0x18;
  }
  SECTION("no ACK") {
    first.flags = second.flags = 0;
  }
  SECTION("an IPv4 id that is not the next") {
    second.id = GENERATE(as<std::uint16_t>{}, 0, 0xfffe, 0xfffd);
  }
  SECTION("IPv4 ids of zero in packets that must not be fragmented") {
    first.id = second.id = 0;
  }
  SECTION("fragments") {
    first.fragment = second.fragment = GENERATE(as<std::uint16_t>{}, 0x2000, 0x6000, 0x0010);
  }
  SECTION("the reserved bit of IPv4") {
    first.fragment = second.fragment = 0xc000;
  }
  SECTION("a partial checksum behind a full one") {
    second.partial = true;
  }
  SECTION("a full checksum behind a partial one") {
    first.partial = true;
  }
  SECTION("options that are not the same") {
    second.options.back() = 10;
  }
  SECTION("options of another length") {
    second.options.clear();
  }
  SECTION("TCP-MD5") {
    first.options.assign(20, 1);
    first.options[1] = 19, first.options[2] = 18;
    second.options = first.options;
  }
  SECTION("TCP-AO behind other options") {
    first.options = timestamps;
    first.options.insert(first.options.end(), {29, 8, 1, 2, 3, 4, 5, 6});
    second.options = first.options;
  }
  SECTION("options that end in the middle of one") {
    const std::uint8_t length = GENERATE(as<std::uint8_t>{}, 0, 1, 9);
    first.options.assign({1, 1, 1, 1, 1, 8, length, 0});
    second.options = first.options;
  }
  SECTION("segments smaller than kernels make") {
    first.payload_bytes = 47;
    second = first.next();
  }
  SECTION("the same connection in another VLAN") {
    second.tags = 1;
  }
  add(first), add(second);
  flush();
  CHECK(super_frames() == 0);
  CHECK(joiner.counters().frames == 0);
  check_frames(2);
}

TEST_CASE_METHOD(Rig, "bits that TCP reserves keep frames apart, even in both", "[joiner]") {
  const TcpSegment first;
  for (std::vector<std::uint8_t> bytes : {first.bytes(), first.next().bytes()}) {
    bytes[14 + 20 + 12] |= 1;
    mend_checksums(bytes, false);
    add(to_frame(bytes, false, slabs));
  }
  check_frames(2);
}

TEST_CASE_METHOD(Rig, "a checksum of zero, which has two forms, keeps frames apart", "[joiner]") {
  const TcpSegment first;
  std::vector<std::uint8_t> bytes = first.next().bytes();
  std::uint8_t* checksum = &bytes[14 + 20 + 16];
  std::uint8_t* word = &bytes[bytes.size() - 2];
  const std::uint32_t sum = std::uint32_t{load_be16(word)} + load_be16(checksum);
  store_be16(word, static_cast<std::uint16_t>(sum + (sum >> 16)));
  mend_checksums(bytes, false);
  REQUIRE(load_be16(checksum) == 0);
  if (GENERATE(false, true)) store_be16(checksum, 0xffff);
  add(first), add(to_frame(bytes, false, slabs));
  check_frames(2);
}

TEST_CASE_METHOD(Rig, "unknown options are as good as any, and none is looked for behind the end",
                 "[joiner]") {
  TcpSegment first;
  first.options =
      GENERATE(std::vector<std::uint8_t>{254, 4, 1, 2}, std::vector<std::uint8_t>{1, 0, 19, 77});
  add(first), add(first.next());
  check_frames(1);
}

TEST_CASE_METHOD(Rig, "IPv4 options, IPv6 extensions and padding keep frames apart", "[joiner]") {
  std::vector<std::uint8_t> bytes[2];
  const auto insert = [&](std::size_t at, std::vector<std::uint8_t> what) {
    for (std::vector<std::uint8_t>& frame : bytes) {
      frame.insert(frame.begin() + static_cast<long>(at), what.begin(), what.end());
    }
  };
  const auto lengthen = [](std::uint8_t* length, unsigned bytes_more) {
    store_be16(length, static_cast<std::uint16_t>(load_be16(length) + bytes_more));
  };
  TcpSegment first;
  SECTION("IPv4 options") {
    bytes[0] = first.bytes(), bytes[1] = first.next().bytes();
    insert(14 + 20, {1, 1, 1, 0});
    for (auto& frame : bytes) frame[14] = 0x46, lengthen(&frame[16], 4);
  }
  SECTION("destination options of IPv6") {
    first.v6 = true;
    bytes[0] = first.bytes(), bytes[1] = first.next().bytes();
    insert(14 + 40, {6, 0, 1, 4, 0, 0, 0, 0});
    for (auto& frame : bytes) frame[14 + 6] = 60, lengthen(&frame[18], 8);
  }
  SECTION("padding") {
    bytes[0] = first.bytes(), bytes[1] = first.next().bytes();
    for (auto& frame : bytes) frame.push_back(0);
  }
  for (std::vector<std::uint8_t>& frame : bytes) {
    mend_checksums(frame, false);
    REQUIRE(find_headers(frame)->tcp);
    add(to_frame(frame, false, slabs));
  }
  check_frames(2);
}

TEST_CASE_METHOD(Rig, "UDP is not joined and overtakes what is held", "[joiner]") {
  const TcpSegment first;
  std::vector<std::uint8_t> datagram = TcpSegment{}.bytes();
  datagram[14 + 9] = 17;
  add(first);
  add(to_frame(datagram, false, slabs));
  CHECK(out.size() == 1);
  add(first.next());
  check_frames(2);
}

TEST_CASE_METHOD(Rig, "what is of the same flow waits for what was held before it", "[joiner]") {
  const TcpSegment first;
  TcpSegment second = first.next(), third = second.next();
  SECTION("a pure acknowledgement") {
    third.payload_bytes = 0;
  }
  SECTION("a reset") {
    third.flags = 0x14;
  }
  SECTION("a frame with another hardware address") {
    std::vector<std::uint8_t> bytes = third.bytes();
    bytes[11] = 9;
    add(first), add(second), add(to_frame(bytes, false, slabs));
    CHECK(out.size() == 1);
    return check_frames(2);
  }
  SECTION("a fragment, whose ports nobody sees") {
    third.fragment = 0x2000;
  }
  SECTION("a super-frame") {
    third.partial = true;
    Frame super = third.frame(slabs);
    super.offload.gso_bytes = 500;
    REQUIRE(rebuild_offload(super));
    add(first), add(second), add(std::move(super));
    CHECK(out.size() == 2);
    return check_frames(2);
  }
  add(first), add(second), add(third);
  REQUIRE(out.size() == 2);
  CHECK(out[0].offload.gso == Offload::Gso::tcp4);
  CHECK(out[1].offload.gso == Offload::Gso::none);
  check_frames(2);
}

TEST_CASE_METHOD(Rig, "flows between each other's frames are joined, as many as are held open",
                 "[joiner]") {
  const std::uint16_t flows = GENERATE(as<std::uint16_t>{}, 2, 8, 9);
  std::vector<TcpSegment> segments(flows);
  for (std::uint16_t i = 0; i < flows; ++i) segments[i].flow = i, segments[i].v6 = i % 2 == 1;
  for (int round = 0; round < 4; ++round) {
    for (TcpSegment& segment : segments) {
      add(segment);
      segment = segment.next();
    }
  }
  // One more than there is room for, each in turn, and each comes too late to its place.
  check_frames(flows > FrameJoiner::flows_max ? flows * 4u : flows);
}

TEST_CASE_METHOD(Rig, "a super-frame is no longer than an IP packet may be", "[joiner]") {
  TcpSegment segment;
  segment.v6 = GENERATE(false, true);
  segment.tags = 2;
  const std::size_t headers = (segment.v6 ? 40 : 20) + 32;
  // 47 fit, and one more would not.
  segment.payload_bytes = (65'535 - headers) / 47;
  const std::size_t fit = (65'535 - headers) / segment.payload_bytes;
  for (std::size_t i = 0; i < 2 * fit; ++i) {
    add(segment);
    segment = segment.next();
  }
  check_frames(2);
  CHECK(out[0].size <= super_frame_bytes_max);
  CHECK(out[0].size + segment.payload_bytes > super_frame_bytes_max);
}

TEST_CASE_METHOD(Rig, "a frame that nothing follows is not copied", "[joiner]") {
  const TcpSegment first;
  Frame frame = first.frame(slabs);
  const std::uint8_t* bytes = frame.bytes().data();
  add(std::move(frame));
  flush();
  REQUIRE(out.size() == 1);
  CHECK(out[0].bytes().data() == bytes);
  CHECK(out[0].offload.plain());
}

TEST_CASE_METHOD(Rig, "without large slabs frames leave as they came, in order", "[joiner]") {
  std::vector<SlabRef> hoard;
  while (SlabRef slab = slabs.take(super_frame_bytes_max)) hoard.push_back(std::move(slab));
  TcpSegment segment;
  for (int i = 0; i < 6; ++i) {
    if (i == 3) hoard.pop_back();
    add(segment);
    segment = segment.next();
  }
  hoard.clear();
  check_frames(3);
}

TEST_CASE_METHOD(Rig, "between drains no slab is held", "[joiner]") {
  TcpSegment segment;
  for (int i = 0; i < 3; ++i) {
    add(segment);
    segment = segment.next();
  }
  check_frames(1);
  out.clear();
  CHECK(slabs.in_use() == 0);
  CHECK(large.in_use() == 0);
}
