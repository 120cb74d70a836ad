#include "dataplane/io/link_monitor.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

LinkMonitor open_monitor() {
  auto monitor = LinkMonitor::open();
  if (!monitor.ok()) FAIL(monitor.error().message);
  return monitor.take();
}

}  // namespace

TEST_CASE("an interface is usable when it is there, on, and has a carrier and the address") {
  in_namespace([] {
    Lab lab;
    LinkMonitor monitor = open_monitor();
    const Address bind = parse_address("192.0.2.10");
    const auto reason_becomes = [&](const std::string& text) {
      INFO(monitor.interface_for(bind, "mio0").reason);
      CHECK(eventually(monitor.fd(), [&] {
        monitor.process();
        const WayOut way = monitor.interface_for(bind, "mio0");
        return text.empty() ? way.usable : way.reason.find(text) != std::string::npos;
      }));
    };
    reason_becomes("no interface mio0");
    lab.add_veth("mio0", "mio1");
    reason_becomes("does not have the address 192.0.2.10");
    lab.add_address("mio0", "192.0.2.10", 24);
    reason_becomes("switched off");
    lab.up("mio0");
    reason_becomes("no carrier");
    lab.up("mio1");
    reason_becomes("");
    CHECK(monitor.interface_for(bind, "").interface_name == "mio0");
    CHECK(monitor.interface_for({}, "mio0").usable);
    CHECK(monitor.interface_for({}, "").usable);
    CHECK_FALSE(monitor.interface_for(bind, "mio1").usable);
    lab.down("mio1");
    reason_becomes("no carrier");
    lab.up("mio1");
    reason_becomes("");
    lab.remove_address("mio0", "192.0.2.10", 24);
    reason_becomes("does not have the address");
    lab.remove("mio0");
    reason_becomes("no interface mio0");
  });
}

TEST_CASE("the interface's MTU is followed") {
  in_namespace([] {
    Lab lab;
    lab.add_veth("mio0", "mio1");
    lab.up("mio0");
    lab.up("mio1");
    lab.add_address("mio0", "192.0.2.10", 24);
    LinkMonitor monitor = open_monitor();  // Knows what was there before it.
    const Address bind = parse_address("192.0.2.10");
    REQUIRE(eventually(monitor.fd(), [&] {
      monitor.process();
      return monitor.interface_for(bind, "").usable;
    }));
    CHECK(monitor.interface_for(bind, "").mtu == 1500);
    lab.set_mtu("mio0", 1420);
    CHECK(eventually(monitor.fd(), [&] {
      return monitor.process() && monitor.interface_for(bind, "").mtu == 1420;
    }));
    CHECK(monitor.way_to(parse_address("192.0.2.1:9"), bind, "").mtu == 1420);
  });
}

TEST_CASE("a way out needs a route from the link's address") {
  in_namespace([] {
    Lab lab;
    lab.add_veth("mio0", "mio1");
    lab.add_veth("mio2", "mio3");
    for (const char* name : {"mio0", "mio1", "mio2", "mio3"}) lab.up(name);
    lab.add_address("mio0", "192.0.2.10", 24);
    lab.add_address("mio2", "203.0.113.10", 24);
    LinkMonitor monitor = open_monitor();
    const Address fibre = parse_address("192.0.2.10");
    const Address lte = parse_address("203.0.113.10");
    const Address server = parse_address("198.51.100.7:4649");
    REQUIRE(eventually(monitor.fd(), [&] {
      monitor.process();
      return monitor.interface_for(fibre, "").usable && monitor.interface_for(lte, "").usable;
    }));
    WayOut way = monitor.way_to(server, fibre, "");
    CHECK_FALSE(way.usable);
    CHECK_THAT(way.reason, Catch::Contains("no route to 198.51.100.7 from 192.0.2.10"));

    lab.add_default_route("192.0.2.1", "mio0");
    CHECK(eventually(monitor.fd(), [&] { return monitor.process(); }));
    way = monitor.way_to(server, fibre, "");
    CHECK(way.usable);
    CHECK(way.interface_name == "mio0");
    CHECK(way.warning.empty());

    // The other line's address would leave by the first line: possible, hardly meant.
    way = monitor.way_to(server, lte, "");
    CHECK(way.usable);
    CHECK(way.interface_name == "mio0");
    CHECK_THAT(way.warning, Catch::Contains("leave through mio0") && Catch::Contains("gateway"));
    CHECK_THAT(
        monitor.way_to(server, lte, "mio2").reason + monitor.way_to(server, lte, "mio2").warning,
        !Catch::Contains("leave through mio0"));

    way = monitor.way_to(parse_address("[2001:db8::1]:4649"), fibre, "");
    CHECK_THAT(way.reason, Catch::Contains("not of the family"));
  });
}

TEST_CASE("a burst of events too large for the socket is made good by asking again") {
  in_namespace([] {
    Lab lab;
    lab.add_veth("mio0", "mio1");
    lab.up("mio0");
    lab.up("mio1");
    // Nobody reads meanwhile; each change is several messages. Which is the last that fits is to be
    // another each time: what it said must not outlive what we were told when we asked.
    for (int shift = 0; shift < 4; ++shift) {
      LinkMonitor monitor = open_monitor();
      for (int i = 0; i < shift; ++i)
        lab.add_address("mio1", "198.51.100." + std::to_string(10 * shift + i), 24);
      for (int i = 0; i < 1500; ++i) {
        lab.add_address("mio0", "192.0.2.10", 24);
        lab.remove_address("mio0", "192.0.2.10", 24);
      }
      lab.add_address("mio0", "192.0.2.20", 24);
      CHECK(eventually(monitor.fd(), [&] {
        monitor.process();
        return monitor.interface_for(parse_address("192.0.2.20"), "").usable &&
               !monitor.interface_for(parse_address("192.0.2.10"), "").usable;
      }));
      lab.remove_address("mio0", "192.0.2.20", 24);
    }
  });
}
