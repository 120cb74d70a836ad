#include "dataplane/io/resolver.hpp"

#include <catch2/catch.hpp>

#include "fake_dns.hpp"
#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

/// Serves and processes until there is an answer.
Resolution ask(Resolver& resolver, FakeDns* dns, const std::string& host,
               Family want = Family::none, const Address& local = {}) {
  Resolver::Options options;
  options.local = local;
  if (dns != nullptr) options.servers = dns->address();
  resolver.start(host, 4649, want, options);
  std::optional<Resolution> got = resolver.take();
  REQUIRE(eventually(resolver.fd(), [&] {
    if (dns != nullptr) dns->serve();
    resolver.process();
    if (!got) got = resolver.take();
    return got.has_value();
  }));
  CHECK_FALSE(resolver.busy());
  CHECK_FALSE(resolver.take().has_value());  // Told once.
  return *got;
}

}  // namespace

TEST_CASE("numbers are answered at once, without any server") {
  Resolver resolver;
  for (const char* number : {"192.0.2.7", "2001:db8::7"}) {
    resolver.start(number, 4649, Family::none, {});
    CHECK_FALSE(resolver.busy());
    const auto got = resolver.take();
    REQUIRE(got.has_value());
    REQUIRE(got->addresses.size() == 1);
    CHECK(got->addresses[0] == parse_address(number).with_port(4649));
  }
  resolver.start("192.0.2.7", 4649, Family::v6, {});
  const auto wrong = resolver.take();
  REQUIRE(wrong.has_value());
  CHECK(wrong->addresses.empty());
  CHECK_THAT(wrong->error, Catch::Contains("192.0.2.7"));
}

TEST_CASE("a name gives its addresses, the port and how long they are good for") {
  FakeDns dns;
  dns.names["vps.example.net"] = {{"198.51.100.7", "198.51.100.8", "2001:db8::7"}, 120};
  Resolver resolver;
  const Resolution four = ask(resolver, &dns, "vps.example.net", Family::v4);
  std::vector<Address> sorted = four.addresses;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == std::vector<Address>{parse_address("198.51.100.7:4649"),
                                       parse_address("198.51.100.8:4649")});
  CHECK(four.ttl == seconds(120));
  const Resolution six = ask(resolver, &dns, "vps.example.net", Family::v6);
  CHECK(six.addresses == std::vector<Address>{parse_address("[2001:db8::7]:4649")});
  const Resolution both = ask(resolver, &dns, "vps.example.net");
  CHECK(both.addresses.size() == 3);
}

TEST_CASE("times to live are kept within bounds") {
  FakeDns dns;
  dns.names["short.example.net"] = {{"198.51.100.7"}, 0};
  dns.names["long.example.net"] = {{"198.51.100.7"}, 1'000'000};
  Resolver resolver;
  CHECK(ask(resolver, &dns, "short.example.net", Family::v4).ttl == Resolver::ttl_min);
  CHECK(ask(resolver, &dns, "long.example.net", Family::v4).ttl == Resolver::ttl_max);
}

TEST_CASE("a name that does not exist, or has no address, is an error that names it") {
  FakeDns dns;
  dns.names["empty.example.net"] = {};
  Resolver resolver;
  for (const char* name : {"absent.example.net", "empty.example.net"}) {
    const Resolution got = ask(resolver, &dns, name, Family::v4);
    CHECK(got.addresses.empty());
    CHECK_THAT(got.error, Catch::Contains(name));
  }
}

TEST_CASE("a question under way gives way to a new one") {
  FakeDns dns;
  dns.names["vps.example.net"] = {{"198.51.100.7"}, 60};
  dns.silent = true;
  Resolver resolver;
  Resolver::Options options;
  options.servers = dns.address();
  resolver.start("old.example.net", 1, Family::v4, options);
  CHECK(resolver.busy());
  REQUIRE(resolver.timeout().has_value());
  CHECK(*resolver.timeout() > Duration{0});
  CHECK(*resolver.timeout() < seconds(5));
  dns.serve();
  dns.silent = false;
  const Resolution got = ask(resolver, &dns, "vps.example.net", Family::v4);
  CHECK(got.addresses == std::vector<Address>{parse_address("198.51.100.7:4649")});
  CHECK_FALSE(resolver.timeout().has_value());
}

TEST_CASE("destroying a resolver in the middle of a question is harmless") {
  FakeDns dns;
  dns.silent = true;
  Resolver resolver;
  Resolver::Options options;
  options.servers = dns.address();
  resolver.start("vps.example.net", 1, Family::v4, options);
  CHECK(resolver.busy());
}

TEST_CASE("the hosts file counts") {
  Resolver resolver;
  const Resolution got = ask(resolver, nullptr, "localhost", Family::v4);
  REQUIRE_FALSE(got.addresses.empty());
  CHECK(got.addresses[0] == parse_address("127.0.0.1:4649"));
}

TEST_CASE("a name is asked for from the link's own address") {
  in_namespace([] {
    Lab lab;
    lab.add_veth("mio0", "mio1");
    lab.up("mio0");
    lab.up("mio1");
    lab.add_address("mio0", "192.0.2.10", 24);
    lab.add_address("mio0", "192.0.2.11", 24);
    lab.add_address("lo", "198.51.100.53", 32);
    FakeDns dns("198.51.100.53");
    dns.names["vps.example.net"] = {{"198.51.100.7"}, 60};
    Resolver resolver;
    for (const char* own : {"192.0.2.11", "192.0.2.10"}) {
      const Resolution got = ask(resolver, &dns, "vps.example.net", Family::v4, parse_address(own));
      CHECK(got.addresses.size() == 1);
      CHECK(dns.askers.back().with_port(0) == parse_address(own));
    }
  });
}
