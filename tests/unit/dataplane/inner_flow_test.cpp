#include "dataplane/inner_flow.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <vector>

using namespace mwtun;
using Octets = std::vector<std::uint8_t>;

static Octets ethernet(std::uint16_t type, std::vector<std::uint16_t> tags = {}) {
  Octets frame = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
  const auto put = [&](std::uint16_t value) {
    frame.push_back(static_cast<std::uint8_t>(value >> 8));
    frame.push_back(static_cast<std::uint8_t>(value));
  };
  for (std::size_t i = 0; i < tags.size(); ++i) {
    put(i + 1 < tags.size() ? 0x88a8 : 0x8100);
    put(tags[i]);
  }
  put(type);
  return frame;
}

struct Ip4 {
  std::uint8_t protocol = 17;
  std::uint8_t tos = 0;
  std::uint16_t fragment = 0;
  std::uint8_t option_words = 0;
  std::uint16_t from = 1000, to = 2000;
};

static Octets ipv4(const Ip4& ip, std::vector<std::uint16_t> tags = {}) {
  Octets frame = ethernet(0x0800, std::move(tags));
  Octets header(20, 0);
  header[0] = static_cast<std::uint8_t>(0x45 + ip.option_words);
  header[1] = ip.tos;
  store_be16(header.data() + 6, ip.fragment);
  header[9] = ip.protocol;
  store_be32(header.data() + 12, 0x0a000001);
  store_be32(header.data() + 16, 0x0a000002);
  frame.insert(frame.end(), header.begin(), header.end());
  frame.insert(frame.end(), std::size_t{ip.option_words} * 4, 0x01);
  Octets transport(20, 0);
  store_be16(transport.data(), ip.from);
  store_be16(transport.data() + 2, ip.to);
  frame.insert(frame.end(), transport.begin(), transport.end());
  return frame;
}

static Octets ipv6(std::uint8_t next, std::uint8_t traffic_class = 0, std::uint16_t to = 2000) {
  Octets frame = ethernet(0x86dd);
  Octets header(60, 0);
  store_be16(header.data(), static_cast<std::uint16_t>(0x6000 | traffic_class << 4));
  header[6] = next;
  header[23] = 1;
  header[39] = 2;
  store_be16(header.data() + 40, 1000);
  store_be16(header.data() + 42, to);
  frame.insert(frame.end(), header.begin(), header.end());
  return frame;
}

static FlowKey key(const Octets& frame) {
  return read_inner_flow(frame).key;
}
static FlowKind kind(const Octets& frame) {
  return read_inner_flow(frame).kind;
}

TEST_CASE("addresses, ports, protocol and VLANs tell flows apart", "[inner_flow]") {
  std::set<std::array<std::uint8_t, 56>> keys;
  keys.insert(key(ipv4({})).bytes);
  keys.insert(key(ipv4({.from = 1001})).bytes);
  keys.insert(key(ipv4({.to = 2001})).bytes);
  keys.insert(key(ipv4({.from = 2000, .to = 1000})).bytes);
  keys.insert(key(ipv4({.protocol = 6})).bytes);
  keys.insert(key(ipv4({}, {5})).bytes);
  keys.insert(key(ipv4({}, {6})).bytes);
  keys.insert(key(ipv4({}, {5, 6})).bytes);
  keys.insert(key(ipv4({}, {6, 5})).bytes);
  keys.insert(key(ipv6(17)).bytes);
  keys.insert(key(ipv6(17, 0, 2001)).bytes);
  Octets other_mac = ipv4({});
  other_mac[5] = 9;
  keys.insert(key(other_mac).bytes);
  CHECK(keys.size() == 12);
}

TEST_CASE("priority bits, DSCP, options and payload do not split a flow", "[inner_flow]") {
  CHECK(key(ipv4({}, {5})) == key(ipv4({}, {0xe005})));
  CHECK(key(ipv4({})) == key(ipv4({.tos = 0x20})));
  for (std::uint8_t words = 0; words <= 10; ++words) {
    CHECK(key(ipv4({.option_words = words})) == key(ipv4({})));
  }
  Octets longer = ipv4({});
  longer.push_back(1);
  CHECK(key(longer) == key(ipv4({})));
}

TEST_CASE("all fragments of a datagram are one flow, without ports", "[inner_flow]") {
  const FlowKey first = key(ipv4({.fragment = 0x2000}));
  CHECK(key(ipv4({.fragment = 0x0010, .from = 7, .to = 53})) == first);
  CHECK(kind(ipv4({.fragment = 0x0010, .from = 7, .to = 53})) == FlowKind::other);
  CHECK(key(ipv4({.fragment = 0x4000})) == key(ipv4({})));  // DF is no fragment.
}

TEST_CASE("DNS, ICMP, ARP and high DSCP are urgent, TCP is a stream", "[inner_flow]") {
  CHECK(kind(ipv4({})) == FlowKind::other);
  CHECK(kind(ipv4({.to = 53})) == FlowKind::urgent);
  CHECK(kind(ipv4({.from = 53})) == FlowKind::urgent);
  CHECK(kind(ipv4({.protocol = 6, .to = 53})) == FlowKind::stream);
  CHECK(kind(ipv4({.protocol = 6})) == FlowKind::stream);
  CHECK(kind(ipv4({.protocol = 1})) == FlowKind::urgent);
  CHECK(kind(ipv4({.protocol = 47})) == FlowKind::other);
  CHECK(kind(ipv4({.tos = 46 << 2})) == FlowKind::urgent);
  CHECK(kind(ipv4({.tos = 40 << 2})) == FlowKind::urgent);
  CHECK(kind(ipv4({.tos = 39 << 2 | 3})) == FlowKind::other);
  CHECK(kind(ipv4({.to = 53}, {7, 8})) == FlowKind::urgent);
  CHECK(kind(ipv6(17)) == FlowKind::other);
  CHECK(kind(ipv6(6)) == FlowKind::stream);
  CHECK(kind(ipv6(58)) == FlowKind::urgent);
  CHECK(kind(ipv6(17, 0, 53)) == FlowKind::urgent);
  CHECK(kind(ipv6(17, 46 << 2)) == FlowKind::urgent);
  CHECK(kind(ipv6(17, 39 << 2 | 3)) == FlowKind::other);
  CHECK(kind(ethernet(0x0806)) == FlowKind::urgent);
  CHECK(kind(ethernet(0x88cc)) == FlowKind::other);
}

TEST_CASE("a frame cut at any length is read within its bytes", "[inner_flow]") {
  for (const Octets& whole :
       {ipv4({.protocol = 6}), ipv4({.option_words = 10}), ipv4({.to = 53}, {1, 2}), ipv6(6),
        ethernet(0x0800, {1, 2, 3}), ethernet(0x0806)}) {
    for (std::size_t size = 14; size <= whole.size(); ++size) {
      // A heap block of exactly this size: the address sanitizer sees any byte too far.
      const Octets cut(whole.begin(), whole.begin() + static_cast<long>(size));
      const InnerFlow flow = read_inner_flow(cut);
      CHECK(std::equal(cut.begin(), cut.begin() + 12, flow.key.bytes.begin()));
    }
  }
}

TEST_CASE("a header length that lies is not followed", "[inner_flow]") {
  for (const std::uint8_t words : std::initializer_list<std::uint8_t>{0, 1, 4, 15}) {
    Octets frame = ipv4({});
    frame[14] = static_cast<std::uint8_t>(0x40 | words);
    if (words == 15) frame.resize(14 + 59);
    CHECK(load_be32(key(frame).bytes.data() + 52) == 0);
  }
}

TEST_CASE("hash fields are the fields they say", "[inner_flow]") {
  const auto hash = [](const Octets& frame, HashFields fields) {
    return hash_flow_fields(key(frame), fields);
  };
  const Octets base = ipv4({}), port = ipv4({.to = 9});
  Octets address = base, mac = base;
  address[33] = 77;
  mac[5] = 77;
  CHECK(hash(base, HashFields::l2) == hash(address, HashFields::l2));
  CHECK(hash(base, HashFields::l2) != hash(mac, HashFields::l2));
  CHECK(hash(base, HashFields::l2_l3) == hash(port, HashFields::l2_l3));
  CHECK(hash(base, HashFields::l2_l3) != hash(address, HashFields::l2_l3));
  CHECK(hash(base, HashFields::l3_l4) != hash(port, HashFields::l3_l4));
  CHECK(hash(base, HashFields::l3_l4) == hash(mac, HashFields::l3_l4));
}

TEST_CASE("the seed changes where flows fall, and flows spread evenly", "[inner_flow]") {
  CHECK(hash_flow(key(ipv4({})), 1) != hash_flow(key(ipv4({})), 2));
  int counts[16] = {};
  for (std::uint16_t port = 0; port < 16'000; ++port) {
    ++counts[hash_flow_fields(key(ipv4({.from = port})), HashFields::l3_l4) % 16];
  }
  for (const int count : counts) CHECK(count == Approx(1000).margin(150));
}
