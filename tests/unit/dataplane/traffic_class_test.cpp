#include "dataplane/traffic_class.hpp"

#include <catch2/catch.hpp>

#include "base/prng.hpp"

using namespace mwtun;
using Octets = std::vector<std::uint8_t>;

namespace {

constexpr MacAddress phone{2, 0, 0, 0, 0, 0xaa}, router{2, 0, 0, 0, 0, 0xbb};

void put16(Octets& out, unsigned value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

Octets ethernet(std::uint16_t type, const std::vector<std::uint16_t>& tags = {}) {
  Octets frame(router.begin(), router.end());
  frame.insert(frame.end(), phone.begin(), phone.end());
  for (std::size_t i = 0; i < tags.size(); ++i) {
    put16(frame, i + 1 < tags.size() ? 0x88a8 : 0x8100);
    put16(frame, tags[i]);
  }
  put16(frame, type);
  return frame;
}

struct Packet {
  std::uint8_t protocol = 17;
  std::uint8_t dscp = 0;
  std::uint16_t from = 1000, to = 5060;
  std::uint16_t fragment = 0;
  std::uint8_t option_words = 0;
  std::vector<std::uint16_t> tags;
};

Octets ipv4(const Packet& p) {
  Octets frame = ethernet(0x0800, p.tags);
  Octets header(20u + 4u * p.option_words, 0);
  header[0] = static_cast<std::uint8_t>(0x45 + p.option_words);
  header[1] = static_cast<std::uint8_t>(p.dscp << 2 | 1);
  store_be16(header.data() + 6, p.fragment);
  header[9] = p.protocol;
  frame.insert(frame.end(), header.begin(), header.end());
  put16(frame, p.from), put16(frame, p.to);
  frame.resize(frame.size() + 16);
  return frame;
}

/// `chain`: extension headers with their own types, each naming the next.
Octets ipv6(const Packet& p, const std::vector<std::pair<std::uint8_t, Octets>>& chain = {}) {
  Octets frame = ethernet(0x86dd, p.tags);
  Octets header(40, 0);
  store_be16(header.data(), static_cast<std::uint16_t>(0x6000 | p.dscp << 6 | 0x3f));
  header[6] = chain.empty() ? p.protocol : chain[0].first;
  frame.insert(frame.end(), header.begin(), header.end());
  for (std::size_t i = 0; i < chain.size(); ++i) {
    Octets extension = chain[i].second;
    extension[0] = i + 1 < chain.size() ? chain[i + 1].first : p.protocol;
    frame.insert(frame.end(), extension.begin(), extension.end());
  }
  put16(frame, p.from), put16(frame, p.to);
  frame.resize(frame.size() + 16);
  return frame;
}

Octets extension(std::size_t bytes, std::uint8_t length) {
  Octets octets(bytes, 0);
  octets[1] = length;
  return octets;
}

TrafficRule redundant() {
  TrafficRule rule;
  rule.scheduler = SchedulerKind::redundant;
  return rule;
}
TrafficRule dscp_rule(unsigned value) {
  TrafficRule rule = redundant();
  rule.dscp = std::uint64_t{1} << value;
  return rule;
}
TrafficRule port_rule(std::uint16_t first, std::uint16_t last) {
  TrafficRule rule = redundant();
  rule.ports = {{first, last}};
  return rule;
}

bool fits(const TrafficRule& rule, const Octets& frame) {
  return matches(rule, read_frame_fields(frame));
}

}  // namespace

TEST_CASE("a DSCP is read from both IP versions, and the ECN bits are no part of it", "[class]") {
  for (unsigned dscp = 0; dscp < 64; ++dscp) {
    Packet packet;
    packet.dscp = static_cast<std::uint8_t>(dscp);
    for (const Octets& frame : {ipv4(packet), ipv6(packet)}) {
      CHECK(read_frame_fields(frame).dscp == dscp);
      CHECK(fits(dscp_rule(dscp), frame));
      CHECK_FALSE(fits(dscp_rule(dscp ^ 1), frame));
    }
  }
  // Not even code point 0 is that of a frame which is not IP.
  CHECK_FALSE(fits(dscp_rule(0), ethernet(0x0806)));
}

TEST_CASE("a port is that of either end, and a range has both its ends", "[class]") {
  for (const Octets& frame : {ipv4({}), ipv6({})}) {  // From 1000 to 5060.
    CHECK(fits(port_rule(5060, 5060), frame));
    CHECK(fits(port_rule(1000, 1000), frame));
    CHECK(fits(port_rule(5000, 5060), frame));
    CHECK(fits(port_rule(5060, 6000), frame));
    CHECK_FALSE(fits(port_rule(1001, 5059), frame));
    CHECK(fits(port_rule(0, 65535), frame));
  }
  Packet icmp;
  icmp.protocol = 1;
  CHECK_FALSE(fits(port_rule(0, 65535), ipv4(icmp)));
}

TEST_CASE("fragments have no ports, first ones neither, so all of a packet fit the same rule",
          "[class]") {
  for (const std::uint16_t fragment :
       std::initializer_list<std::uint16_t>{0x2000, 0x2010, 0x0010}) {
    Packet packet;
    packet.fragment = fragment;
    CHECK_FALSE(fits(port_rule(0, 65535), ipv4(packet)));
    CHECK(read_frame_fields(ipv4(packet)).protocol == 17);
  }
  for (const std::uint16_t fragment :
       std::initializer_list<std::uint16_t>{0x0001, 0x0008, 0x0009}) {
    Octets header = extension(8, 0);
    store_be16(header.data() + 2, fragment);
    const Octets frame = ipv6({}, {{std::uint8_t{44}, header}});
    CHECK_FALSE(fits(port_rule(0, 65535), frame));
    CHECK(read_frame_fields(frame).protocol == 17);
  }
  // A fragment header on a packet that is whole (RFC 6946) hides nothing.
  CHECK(fits(port_rule(5060, 5060), ipv6({}, {{std::uint8_t{44}, extension(8, 0)}})));
}

TEST_CASE("IPv4 options and IPv6 extension headers are passed over", "[class]") {
  Packet packet;
  for (std::uint8_t words = 0; words <= 10; ++words) {
    packet.option_words = words;
    CHECK(fits(port_rule(5060, 5060), ipv4(packet)));
  }
  const Octets frame = ipv6({}, {{std::uint8_t{0}, extension(16, 1)},
                                 {std::uint8_t{60}, extension(8, 0)},
                                 {std::uint8_t{43}, extension(24, 2)},
                                 {std::uint8_t{51}, extension(24, 4)}});
  CHECK(fits(port_rule(5060, 5060), frame));
  const std::vector<std::pair<std::uint8_t, Octets>> endless(9,
                                                             {std::uint8_t{60}, extension(8, 0)});
  CHECK_FALSE(read_frame_fields(ipv6({}, endless)).protocol.has_value());
}

TEST_CASE("a protocol, a MAC of either end and a VLAN of any tag are told apart", "[class]") {
  TrafficRule rule = redundant();
  rule.protocols = {6, 17};
  CHECK(fits(rule, ipv4({})));
  Packet gre;
  gre.protocol = 47;
  CHECK_FALSE(fits(rule, ipv4(gre)));
  CHECK_FALSE(fits(rule, ethernet(0x0806)));

  rule = redundant();
  rule.macs = {phone};
  CHECK(fits(rule, ipv4({})));
  rule.macs = {router};
  CHECK(fits(rule, ethernet(0x0806)));
  rule.macs = {MacAddress{2, 0, 0, 0, 0, 0xcc}, MacAddress{}};
  CHECK_FALSE(fits(rule, ipv4({})));

  rule = redundant();
  rule.vlans = {10, 0};
  Packet tagged;
  CHECK_FALSE(fits(rule, ipv4(tagged)));  // VLAN 0 is a tag too: without one there is none.
  tagged.tags = {10};
  CHECK(fits(rule, ipv4(tagged)));
  tagged.tags = {0xe000 | 10};  // Priority bits are not the number.
  CHECK(fits(rule, ipv6(tagged)));
  tagged.tags = {100, 10};
  CHECK(fits(rule, ipv6(tagged)));
  CHECK(fits(port_rule(5060, 5060), ipv6(tagged)));
  tagged.tags = {100, 11};
  CHECK_FALSE(fits(rule, ipv4(tagged)));
  tagged.tags = {0};
  CHECK(fits(rule, ipv4(tagged)));
}

TEST_CASE("every criterion of a rule must fit, and the first rule that fits has the frame",
          "[class]") {
  TrafficRule both = dscp_rule(46);
  both.protocols = {17};
  both.ports = {{5060, 5061}};
  Packet voice;
  voice.dscp = 46;
  CHECK(fits(both, ipv4(voice)));
  voice.protocol = 6;
  CHECK_FALSE(fits(both, ipv4(voice)));
  voice.protocol = 17, voice.to = 5062;
  CHECK_FALSE(fits(both, ipv4(voice)));

  const TrafficClasses classes({both, dscp_rule(46), port_rule(0, 65535)});
  voice.to = 5060;
  CHECK(classes.match(ipv4(voice)) == 1);
  voice.to = 80;
  CHECK(classes.match(ipv4(voice)) == 2);
  CHECK(classes.match(ipv4({})) == 3);
  CHECK(classes.match(ethernet(0x0806)) == 0);
  CHECK(classes.rule(2) == dscp_rule(46));
  CHECK(TrafficClasses().match(ipv4(voice)) == 0);
}

TEST_CASE("a frame cut anywhere, or with any byte wrong, is read within its bounds", "[class]") {
  TrafficRule any = port_rule(0, 65535);
  Packet packet;
  packet.tags = {7, 8};
  packet.option_words = 3;
  const std::vector<Octets> whole = {ipv4(packet),
                                     ipv6(packet, {{std::uint8_t{0}, extension(8, 0)},
                                                   {std::uint8_t{44}, extension(8, 0)},
                                                   {std::uint8_t{51}, extension(12, 1)}})};
  Prng random(1);
  for (const Octets& frame : whole) {
    REQUIRE(fits(any, frame));
    for (std::size_t size = 0; size < frame.size(); ++size) {
      // A copy of exactly this size, so that a checked build sees a byte too far.
      const Octets cut(frame.begin(), frame.begin() + static_cast<long>(size));
      const FrameFields fields = read_frame_fields(cut);
      CHECK((!fields.source_port || size + 16 >= frame.size()));
    }
    for (int i = 0; i < 20'000; ++i) {
      Octets wrong(frame.begin(),
                   frame.begin() + static_cast<long>(random.between(14, frame.size())));
      for (std::uint64_t n = random.between(1, 6); n > 0; --n) {
        wrong[random.below(wrong.size())] = static_cast<std::uint8_t>(random.next());
      }
      const FrameFields fields = read_frame_fields(wrong);
      REQUIRE((!fields.dscp || *fields.dscp < 64));
      REQUIRE(fields.source_port.has_value() == fields.destination_port.has_value());
      REQUIRE((!fields.source_port || fields.protocol.has_value()));
    }
  }
  // Lengths that claim more than is there: they end the reading.
  CHECK_FALSE(fits(any, ipv6({}, {{std::uint8_t{60}, extension(8, 255)}})));
  CHECK_FALSE(fits(any, ipv6({}, {{std::uint8_t{51}, extension(8, 255)}})));
}

TEST_CASE("rules that come one by one are in force when the last is here, in their order",
          "[class]") {
  Packet voice;
  voice.dscp = 46;
  TrafficClasses classes;
  CHECK(classes.put(2, 3, port_rule(0, 65535)));
  CHECK(classes.put(0, 3, dscp_rule(46)));
  CHECK(classes.put(0, 3, dscp_rule(46)));  // Repeated.
  CHECK(classes.match(ipv4(voice)) == 0);
  CHECK(classes.put(1, 3, dscp_rule(0)));
  CHECK(classes.size() == 3);
  CHECK(classes.match(ipv4(voice)) == 1);
  CHECK(classes.match(ipv4({})) == 2);
  CHECK(classes.put(1, 3, dscp_rule(0)));
}

TEST_CASE("a rule that contradicts those before, or is out of bounds, is refused", "[class]") {
  TrafficClasses classes;
  CHECK_FALSE(classes.put(0, 0, dscp_rule(1)));
  CHECK_FALSE(classes.put(1, 1, dscp_rule(1)));
  CHECK_FALSE(classes.put(0, 33, dscp_rule(1)));
  CHECK_FALSE(classes.put(SIZE_MAX, 2, dscp_rule(1)));
  CHECK(classes.put(0, 2, dscp_rule(1)));
  CHECK_FALSE(classes.put(0, 2, dscp_rule(2)));
  CHECK_FALSE(classes.put(1, 3, dscp_rule(2)));
  CHECK(classes.put(1, 2, dscp_rule(2)));
  CHECK_FALSE(classes.put(1, 2, dscp_rule(3)));
  CHECK_FALSE(classes.put(0, 1, dscp_rule(1)));
  CHECK(classes.rule(2) == dscp_rule(2));
}
