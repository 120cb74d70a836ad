#include "dataplane/io/policy_routes.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>

#include "dataplane/io/interface_setup.hpp"
#include "dataplane/io/link_monitor.hpp"
#include "dataplane/io/udp_socket.hpp"
#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

const Address fibre = parse_address("192.0.2.10");
const Address server = parse_address("198.51.100.7:4649");
constexpr std::size_t rules_at_first = 3;

/// Two lines; the main table's default route goes through the second one.
void make_two_lines(Lab& lab) {
  lab.add_veth("mio0", "mio1");
  lab.add_veth("mio2", "mio3");
  for (const char* name : {"mio0", "mio1", "mio2", "mio3"}) lab.up(name);
  lab.add_address("mio0", "192.0.2.10", 24);
  lab.add_address("mio2", "203.0.113.10", 24);
  lab.add_default_route("203.0.113.1", "mio2");
  lab.add_neighbour("mio0", "192.0.2.1");
  lab.add_neighbour("mio2", "203.0.113.1");
}

PolicyRoute route_of_fibre() {
  return {fibre, parse_address("192.0.2.1"), "mio0", interface_index("mio0")};
}

PolicyRoutes open_routes(const char* instance) {
  auto routes = PolicyRoutes::open(instance);
  if (!routes.ok()) FAIL(routes.error().message);
  return routes.take();
}

std::string way_from_fibre() {
  auto monitor = LinkMonitor::open();
  REQUIRE(monitor.ok());
  // A fresh interface's carrier takes a moment.
  WayOut way;
  eventually(monitor.value().fd(), [&] {
    monitor.value().process();
    way = monitor.value().way_to(server, fibre, "");
    return way.usable || way.reason.find("carrier") == std::string::npos;
  });
  return way.usable ? way.interface_name : way.reason;
}

}  // namespace

TEST_CASE("a link's own rule and table lead it through its gateway, and go with their owner") {
  in_namespace([] {
    Lab lab;
    make_two_lines(lab);
    CHECK(way_from_fibre() == "mio2");
    {
      PolicyRoutes routes = open_routes("home");
      const auto installed = routes.install(0, route_of_fibre());
      if (!installed.ok()) FAIL(installed.error().message);
      CHECK(way_from_fibre() == "mio0");
      CHECK(lab.rule_count() == rules_at_first + 1);
      CHECK(routes.install(0, route_of_fibre()).ok());  // Again: no second rule.
      CHECK(lab.rule_count() == rules_at_first + 1);
      routes.remove(0);
      CHECK(lab.rule_count() == rules_at_first);
      CHECK(way_from_fibre() == "mio2");
      CHECK(routes.install(0, route_of_fibre()).ok());
    }
    CHECK(lab.rule_count() == rules_at_first);
    CHECK(way_from_fibre() == "mio2");
  });
}

TEST_CASE("while its line is down, nothing of the link leaves through another") {
  in_namespace([] {
    Lab lab;
    make_two_lines(lab);
    PolicyRoutes routes = open_routes("home");
    REQUIRE(routes.install(0, route_of_fibre()).ok());
    UdpSocketOptions options;
    options.bind = fibre;
    auto socket = UdpSocket::open(options);
    REQUIRE(socket.ok());
    const std::uint8_t byte = 1;
    const SendItem item{{}, server, {&byte, 1}};
    std::array<SendFailure, 1> failures;
    CHECK(socket.value().send({&item, 1}, failures).failures == 0);
    lab.down("mio0");
    REQUIRE(socket.value().send({&item, 1}, failures).failures == 1);
    CHECK(failures[0].error == SendError::unreachable);
    // The kernel forgot the route; making it again is all that is needed.
    lab.up("mio0");
    lab.add_neighbour("mio0", "192.0.2.1");
    REQUIRE(routes.install(0, route_of_fibre()).ok());
    CHECK(eventually(-1, [&] { return socket.value().send({&item, 1}, failures).failures == 0; }));
  });
}

TEST_CASE("without an address of its own a link's rule goes by interface") {
  in_namespace([] {
    Lab lab;
    make_two_lines(lab);
    PolicyRoutes routes = open_routes("home");
    PolicyRoute route = route_of_fibre();
    route.bind = {};
    REQUIRE(routes.install(0, route).ok());
    auto monitor = LinkMonitor::open();
    REQUIRE(monitor.ok());
    CHECK(eventually(monitor.value().fd(), [&] {
      monitor.value().process();
      return monitor.value().way_to(server, {}, "mio0").usable;
    }));
    CHECK(monitor.value().way_to(server, {}, "").interface_name == "mio2");
  });
}

TEST_CASE("IPv6 gateways work the same way") {
  in_namespace([] {
    Lab lab;
    make_two_lines(lab);
    lab.add_address("mio0", "2001:db8:a::10", 64);
    PolicyRoutes routes = open_routes("home");
    const Address own = parse_address("2001:db8:a::10");
    const auto installed =
        routes.install(3, {own, parse_address("2001:db8:a::1"), "mio0", interface_index("mio0")});
    if (!installed.ok()) FAIL(installed.error().message);
    auto monitor = LinkMonitor::open();
    REQUIRE(monitor.ok());
    CHECK(eventually(monitor.value().fd(), [&] {
      monitor.value().process();
      return monitor.value().way_to(parse_address("[2001:db8:f::1]:9"), own, "").usable;
    }));
    routes.remove(3);
    CHECK_FALSE(monitor.value().way_to(parse_address("[2001:db8:f::1]:9"), own, "").usable);
  });
}

TEST_CASE("what a killed process left is taken away by the next of the same name only") {
  in_namespace([] {
    Lab lab;
    make_two_lines(lab);
    PolicyRoutes other = open_routes("office");
    REQUIRE(other.install(0, route_of_fibre()).ok());
    const pid_t child = fork();
    if (child == 0) {
      // No destructor runs: as if killed.
      auto routes = PolicyRoutes::open("home");
      bool done = routes.ok();
      for (std::size_t slot = 0; done && slot < 3; ++slot) {
        done = routes.value().install(slot, route_of_fibre()).ok();
      }
      _exit(done ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    CHECK(lab.rule_count() == rules_at_first + 4);
    const PolicyRoutes next = open_routes("home");
    CHECK(lab.rule_count() == rules_at_first + 1);
    CHECK(way_from_fibre() == "mio0");  // By the rule of the other one.
  });
}
