#include "dataplane/ecn.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "base/prng.hpp"

using namespace mwtun;

namespace {

using Octets = std::vector<std::uint8_t>;

constexpr std::uint8_t not_ect = 0, ect1 = 1, ect0 = 2, ce = 3;

/// Over a whole IPv4 header: 0 when its checksum is right.
std::uint16_t checksum_of(Bytes header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < header.size(); i += 2) sum += load_be16(header.data() + i);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/// MACs, the tags (EtherTypes 0x88a8, 0x8100, ... from outside in) and the type.
Octets ethernet(std::size_t tags, std::uint16_t type) {
  Octets frame(12 + 4 * tags + 2, 0x0a);
  for (std::size_t i = 0; i < tags; ++i) {
    store_be16(frame.data() + 12 + 4 * i, i + 1 < tags ? 0x88a8 : 0x8100);
  }
  store_be16(frame.data() + frame.size() - 2, type);
  return frame;
}

Octets ipv4(Prng& prng, std::uint8_t ecn, std::size_t tags = 0, std::size_t words = 5) {
  Octets frame = ethernet(tags, 0x0800);
  const std::size_t at = frame.size();
  frame.resize(at + words * 4 + 30);
  for (std::size_t i = at; i < frame.size(); ++i) {
    frame[i] = static_cast<std::uint8_t>(prng.next());
  }
  frame[at] = static_cast<std::uint8_t>(0x40 | words);
  frame[at + 1] = static_cast<std::uint8_t>((frame[at + 1] & 0xfc) | ecn);
  store_be16(frame.data() + at + 10, 0);
  store_be16(frame.data() + at + 10, checksum_of(Bytes(frame).subspan(at, words * 4)));
  return frame;
}

Octets ipv6(Prng& prng, std::uint8_t ecn, std::size_t tags = 0) {
  Octets frame = ethernet(tags, 0x86dd);
  const std::size_t at = frame.size();
  frame.resize(at + 40 + 30);
  for (std::size_t i = at; i < frame.size(); ++i) {
    frame[i] = static_cast<std::uint8_t>(prng.next());
  }
  frame[at] = static_cast<std::uint8_t>(0x60 | (frame[at] & 0x0f));
  frame[at + 1] = static_cast<std::uint8_t>((frame[at + 1] & 0xcf) | ecn << 4);
  return frame;
}

/// In memory that ends where the frame ends, so that a sanitizer sees a read beyond it.
bool mark_exactly(Octets& frame) {
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[frame.size()]);
  std::copy(frame.begin(), frame.end(), copy.get());
  const bool marked = mark_congestion({copy.get(), frame.size()});
  std::copy_n(copy.get(), frame.size(), frame.begin());
  return marked;
}

}  // namespace

TEST_CASE("an IPv4 packet of a capable sender gets CE and a right checksum", "[ecn]") {
  Prng prng(1);
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t tags = prng.below(3);
    const std::size_t words = prng.between(5, 15);
    const Octets before = ipv4(prng, prng.chance(0.5) ? ect0 : ect1, tags, words);
    const std::size_t at = 14 + 4 * tags;
    Octets after = before;
    REQUIRE(mark_exactly(after));
    REQUIRE((after[at + 1] & 3) == ce);
    REQUIRE(checksum_of(Bytes(after).subspan(at, words * 4)) == 0);
    // Not a bit has changed beside those.
    after[at + 1] = before[at + 1];
    std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(at + 10), 2,
                after.begin() + static_cast<std::ptrdiff_t>(at + 10));
    REQUIRE(after == before);
  }
}

TEST_CASE("every checksum there can be is followed", "[ecn]") {
  Prng prng(2);
  const Octets made = ipv4(prng, ect0);
  // The identification takes all values, and with it the checksum.
  for (std::uint32_t id = 0; id <= 0xffff; ++id) {
    Octets frame = made;
    store_be16(frame.data() + 14 + 4, static_cast<std::uint16_t>(id));
    store_be16(frame.data() + 14 + 10, 0);
    store_be16(frame.data() + 14 + 10, checksum_of(Bytes(frame).subspan(14, 20)));
    REQUIRE(mark_congestion(frame));
    Octets anew = frame;
    store_be16(anew.data() + 14 + 10, 0);
    REQUIRE(load_be16(frame.data() + 14 + 10) == checksum_of(Bytes(anew).subspan(14, 20)));
  }
}

TEST_CASE("a wrong checksum stays wrong", "[ecn]") {
  Prng prng(3);
  Octets frame = ipv4(prng, ect0);
  frame[14 + 11] ^= 0x40;
  CHECK(mark_exactly(frame));
  CHECK(checksum_of(Bytes(frame).subspan(14, 20)) != 0);
}

TEST_CASE("an IPv6 packet of a capable sender gets CE and nothing else", "[ecn]") {
  Prng prng(4);
  for (int round = 0; round < 5000; ++round) {
    const std::size_t tags = prng.below(3);
    const Octets before = ipv6(prng, prng.chance(0.5) ? ect0 : ect1, tags);
    Octets after = before;
    REQUIRE(mark_exactly(after));
    Octets expected = before;
    expected[14 + 4 * tags + 1] |= 0x30;
    REQUIRE(after == expected);
  }
}

TEST_CASE("a packet that says CE already is as good as marked, and one not capable is not",
          "[ecn]") {
  Prng prng(5);
  for (int round = 0; round < 200; ++round) {
    for (const bool six : {false, true}) {
      const std::size_t tags = prng.below(3);
      const Octets congested = six ? ipv6(prng, ce, tags) : ipv4(prng, ce, tags);
      const Octets incapable = six ? ipv6(prng, not_ect, tags) : ipv4(prng, not_ect, tags);
      Octets frame = congested;
      REQUIRE(mark_exactly(frame));
      REQUIRE(frame == congested);
      frame = incapable;
      REQUIRE_FALSE(mark_exactly(frame));
      REQUIRE(frame == incapable);
    }
  }
}

TEST_CASE("a header that is cut off is left alone", "[ecn]") {
  Prng prng(6);
  for (std::size_t tags = 0; tags <= 2; ++tags) {
    const Octets four = ipv4(prng, ect0, tags, 7);
    const Octets six = ipv6(prng, ect0, tags);
    for (std::size_t size = 0; size < 14 + 4 * tags + 40; ++size) {
      Octets cut(six.begin(), six.begin() + static_cast<std::ptrdiff_t>(size));
      const Octets before = cut;
      REQUIRE_FALSE(mark_exactly(cut));
      REQUIRE(cut == before);
    }
    for (std::size_t size = 0; size < 14 + 4 * tags + 28; ++size) {
      Octets cut(four.begin(), four.begin() + static_cast<std::ptrdiff_t>(size));
      const Octets before = cut;
      REQUIRE_FALSE(mark_exactly(cut));
      REQUIRE(cut == before);
    }
  }
}

TEST_CASE("what is not a sound IP packet is left alone", "[ecn]") {
  Prng prng(7);
  Octets frame = ipv4(prng, ect0);
  SECTION("version 6 in an IPv4 frame") {
    frame[14] = 0x65;
  }
  SECTION("version 4 in an IPv6 frame") {
    store_be16(frame.data() + 12, 0x86dd);
  }
  SECTION("a header of four words") {
    frame[14] = 0x44;
  }
  SECTION("another EtherType") {
    store_be16(frame.data() + 12, 0x88b5);
  }
  SECTION("three VLAN tags") {
    frame = ipv4(prng, ect0, 3);
  }
  const Octets before = frame;
  CHECK_FALSE(mark_exactly(frame));
  CHECK(frame == before);
}
