#include <catch2/catch.hpp>

#include "cli/config_values.hpp"

using namespace mwtun;

TEST_CASE("a host with a port is a name, an IPv4 or a bracketed IPv6 address") {
  const auto name = parse_host_port("vps.example.net:4649");
  REQUIRE(name.ok());
  CHECK(name.value().host == "vps.example.net");
  CHECK(name.value().port == 4649);
  CHECK_FALSE(name.value().address.known());
  CHECK(to_string(name.value()) == "vps.example.net:4649");

  const auto v6 = parse_host_port("[2001:db8::1]:1");
  REQUIRE(v6.ok());
  CHECK(v6.value().host == "2001:db8::1");
  CHECK(to_string(v6.value()) == "[2001:db8::1]:1");

  CHECK(parse_host_port("localhost:65535").ok());
  CHECK(parse_host_port("a-b_c.example.:1").ok());
  for (const char* text : {"",
                           ":",
                           ":1",
                           "vps",
                           "vps:",
                           "vps:x",
                           "vps:+1",
                           "vps: 1",
                           "vps:1 ",
                           "a..b:1",
                           ".a:1",
                           "a-:1",
                           "1.2.3:1",
                           "1.2.3.4.5:1",
                           "[::1]",
                           "::1:",
                           "[1.2.3.4]:1",
                           "[fe80::1%eth0]:1",
                           "v\xc3\xa9:1",
                           "255.255.255.255:1",
                           "[ff02::1]:1"}) {
    INFO(text);
    CHECK_FALSE(parse_host_port(text).ok());
  }
  CHECK_FALSE(parse_host_port(std::string(64, 'a') + ":1").ok());
  CHECK_FALSE(parse_host_port(std::string_view("1.2.3.4\0:1", 10)).ok());
}

TEST_CASE("rates are decimal multiples of a bit a second") {
  const auto rates = [](const char* text) {
    const auto result = parse_rate_pair(text);
    return result ? std::make_pair(result.value().down_bps, result.value().up_bps)
                  : std::make_pair(std::uint64_t{0}, std::uint64_t{0});
  };
  using Pair = std::pair<std::uint64_t, std::uint64_t>;
  CHECK(rates("300M/50M") == Pair(300'000'000, 50'000'000));
  CHECK(rates("1.5G/0.25G") == Pair(1'500'000'000, 250'000'000));
  CHECK(rates("64k/64000") == Pair(64'000, 64'000));
  CHECK(rates("10k/1000G") == Pair(10'000, 1'000'000'000'000));
  for (const char* text : {"",
                           "/",
                           "1M",
                           "1M/",
                           "/1M",
                           "1M/1M/1M",
                           "M/M",
                           "1 M/1M",
                           "0/0",
                           "9999/1M",
                           "1T/1M",
                           "1001G/1M",
                           "nan/1M",
                           "inf/1M",
                           "0x10M/1M",
                           "1..5M/1M",
                           "1e5/1M",
                           "-1M/1M",
                           "99999999999999999999999999/1M",
                           "1Mb/1M"}) {
    INFO(text);
    CHECK(rates(text) == Pair(0, 0));
  }
}

TEST_CASE("a volume is a decimal number of bytes") {
  const auto bytes = [](const char* text) {
    const auto result = parse_byte_count(text);
    return result ? result.value() : 0;
  };
  CHECK(bytes("50G") == 50'000'000'000);
  CHECK(bytes("1.5T") == 1'500'000'000'000);
  CHECK(bytes("1000T") == 1'000'000'000'000'000);
  CHECK(bytes("1M") == 1'000'000);
  CHECK(bytes("2500000k") == 2'500'000'000);
  CHECK(bytes("5000000") == 5'000'000);
  for (const char* text :
       {"", "G", "T", "50 G", "50GB", "50GiB", "2GT", "1001T", "999k", "0", "-1G", "1e3G", "nanG",
        "infT", "99999999999999999999T", "1..5G", "50G/10G"}) {
    INFO(text);
    CHECK(bytes(text) == 0);
  }
}

TEST_CASE("an interface's address is a host within its network") {
  CHECK(to_string(parse_prefix("10.90.0.2/24").value()) == "10.90.0.2/24");
  CHECK(parse_prefix("10.0.0.0/31").ok());
  CHECK(parse_prefix("10.0.0.0/32").ok());
  CHECK(parse_prefix("fd00::/64").ok());
  CHECK(parse_prefix("fd00::1/128").ok());
  for (const char* text :
       {"", "/", "10.0.0.1", "10.0.0.1/", "10.0.0.1/0", "10.0.0.1/33", "10.0.0.1/+8", "10.0.0.1/8 ",
        "10.0.0.0/30", "10.0.0.3/30", "fd00::1/129", "fd00::1/0", "224.0.0.1/4", "0.0.0.0/8",
        "10.0.0.1:80/24", "x/24", "10.0.0.1/24/24"}) {
    INFO(text);
    CHECK_FALSE(parse_prefix(text).ok());
  }
}

TEST_CASE("a near miss is recognised and a far one is not") {
  constexpr std::string_view words[] = {"endpoint", "weight", "mtu", "name", "max_rate"};
  CHECK(nearest_word("endpiont", words) == "endpoint");
  CHECK(nearest_word("wieght", words) == "weight");
  CHECK(nearest_word("maxrate", words) == "max_rate");
  CHECK(nearest_word("mut", words) == "mtu");
  CHECK(nearest_word("nam", words) == "name");
  CHECK(nearest_word("colour", words).empty());
  CHECK(nearest_word("x", words).empty());
  CHECK(nearest_word("", words).empty());
  CHECK(nearest_word(std::string(1 << 20, 'e'), words).empty());
}

TEST_CASE("quoting for a message keeps it on one line and short") {
  CHECK(in_quotes("plain") == "\"plain\"");
  CHECK(in_quotes("a\nb\x1b[2J\"") == "\"a\\x0ab\\x1b[2J\\\"\"");
  CHECK(in_quotes(std::string(61, 'x')) == "\"" + std::string(60, 'x') + "...\"");
  // 59 bytes and a three-byte character: it is dropped whole.
  CHECK(in_quotes(std::string(59, 'x') + "\xe2\x82\xac") == "\"" + std::string(59, 'x') + "...\"");
}
