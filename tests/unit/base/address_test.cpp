#include "base/address.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("an address comes back from its text as it was", "[address]") {
  for (const char* text :
       {"192.0.2.1", "192.0.2.1:4649", "2001:db8::1", "[2001:db8::1]:4649", "0.0.0.0:1",
        "::", "[::]:65535", "::ffff:192.0.2.1", "255.255.255.255:65535"}) {
    INFO(text);
    const Address address = parse_address(text);
    REQUIRE(address.known());
    CHECK(to_string(address) == text);
    CHECK(parse_address(to_string(address)) == address);
  }
}

TEST_CASE("what is not a numeric address is none", "[address]") {
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv,
                                      ":"sv,
                                      ":80"sv,
                                      "host:80"sv,
                                      "192.0.2.1:"sv,
                                      "192.0.2.1:0"sv,
                                      "192.0.2.1:65536"sv,
                                      "192.0.2.1:80x"sv,
                                      "192.0.2.1:+80"sv,
                                      "192.0.2.1: 80"sv,
                                      "192.0.2.1:-1"sv,
                                      "192.0.2"sv,
                                      "192.0.2.256"sv,
                                      "[192.0.2.1]:80"sv,
                                      "[2001:db8::1]"sv,
                                      "[2001:db8::1]:"sv,
                                      "[]:80"sv,
                                      "2001:db8::g"sv,
                                      "[2001:db8::1:80"sv,
                                      "192.0.2.1\0:80"sv,
                                      "192.0.2.1\0"sv,
                                      "192.0.2.1\0junk"sv,
                                      "1.2.3.4:5:6"sv}) {
    INFO(text);
    CHECK_FALSE(parse_address(text).known());
  }
}

TEST_CASE("a v6 address without brackets has no port", "[address]") {
  const Address address = parse_address("2001:db8::1:4649");
  REQUIRE(address.family == Family::v6);
  CHECK(address.port == 0);
  CHECK(address.ip[14] == 0x46);
}

TEST_CASE("only the unspecified addresses are any", "[address]") {
  CHECK(parse_address("0.0.0.0").any());
  CHECK(parse_address("[::]:4649").any());
  CHECK_FALSE(parse_address("0.0.0.1").any());
  CHECK_FALSE(parse_address("::1").any());
  CHECK_FALSE(Address{}.any());
}

TEST_CASE("header bytes and another port follow from the family and the address", "[address]") {
  const Address four = parse_address("192.0.2.1:1");
  CHECK(four.header_bytes() == 28);
  CHECK(parse_address("::1").header_bytes() == 48);
  CHECK(to_string(four.with_port(9)) == "192.0.2.1:9");
  CHECK(four.port == 1);
  CHECK(four != four.with_port(9));
  CHECK(to_string(Address{}) == "none");
}
