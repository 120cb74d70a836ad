#include "dataplane/io/link_keeper.hpp"

#include <catch2/catch.hpp>

#include "fake_dns.hpp"
#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

/// A keeper whose commands and notices are kept for looking at.
struct Rig {
  std::unique_ptr<LinkKeeper> keeper;
  std::vector<UdpSocket> sockets;
  std::vector<SocketId> socket_ids;
  std::vector<SetLinkPath> paths;
  std::vector<ClearLinkPath> cleared;
  std::vector<LinkNotice> notices;
  Duration skipped{};  // How far our clock is ahead of the real one.

  explicit Rig(LinkKeeperOptions options) {
    auto opened = LinkKeeper::open(
        std::move(options),
        [this](LinkCommand command) {
          if (auto* put = std::get_if<PutSocket>(&command)) {
            socket_ids.push_back(put->socket.id);
            sockets.push_back(std::move(put->socket.socket));
          }
          if (auto* set = std::get_if<SetLinkPath>(&command)) paths.push_back(*set);
          if (auto* clear = std::get_if<ClearLinkPath>(&command)) cleared.push_back(*clear);
        },
        [this](const LinkNotice& notice) { notices.push_back(notice); });
    if (!opened.ok()) FAIL(opened.error().message);
    keeper = opened.take();
  }

  Instant now() const { return monotonic_now() + skipped; }
  template <typename Enough>
  bool run_until(Enough enough, FakeDns* dns = nullptr) {
    return eventually(keeper->fd(), [&] {
      if (dns != nullptr) dns->serve();
      keeper->process(now());
      return enough();
    });
  }
  bool told(const std::string& text) const {
    for (const LinkNotice& notice : notices) {
      if (notice.text.find(text) != std::string::npos) return true;
    }
    return false;
  }
};

KeptLink link_to(const char* host, const char* bind = "", const char* device = "") {
  KeptLink link;
  link.peer = PeerId{0};
  link.link = LinkId{0};
  link.label = "vps/fibre";
  link.host = host;
  link.port = 4649;
  link.bind = parse_address(bind);
  link.device = device;
  return link;
}

void make_line(Lab& lab, const std::string& name, const std::string& ip) {
  lab.add_veth(name, name + "x");
  lab.up(name);
  lab.up(name + "x");
  lab.add_address(name, ip, 24);
}

}  // namespace

TEST_CASE("a link gets its socket and path, loses the path with its line, and has it back") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    LinkKeeperOptions options;
    options.first_socket = SocketId{4};
    options.links = {link_to("192.0.2.1", "192.0.2.10")};
    Rig rig(std::move(options));
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 1; }));
    REQUIRE(rig.sockets.size() == 1);
    CHECK(rig.socket_ids[0] == SocketId{4});
    CHECK(rig.paths[0].path.socket == SocketId{4});
    CHECK(rig.paths[0].path.local == rig.sockets[0].local());
    CHECK(rig.paths[0].path.local.with_port(0) == parse_address("192.0.2.10"));
    CHECK(rig.paths[0].path.remote == parse_address("192.0.2.1:4649"));
    CHECK(rig.paths[0].mtu == 1500);
    CHECK(rig.keeper->situations()[0].usable);

    lab.down("mio0x");  // The far end's plug is pulled.
    REQUIRE(rig.run_until([&] { return rig.cleared.size() == 1; }));
    CHECK(rig.told("link vps/fibre has no way out: interface mio0 has no carrier"));
    CHECK_FALSE(rig.keeper->situations()[0].usable);
    lab.up("mio0x");
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 2; }));
    CHECK(rig.sockets.size() == 1);  // The same socket, so the same port: nothing moves.
    CHECK(rig.paths[1].path == rig.paths[0].path);

    lab.set_mtu("mio0", 1400);
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 3; }));
    CHECK(rig.paths[2].mtu == 1400);
  });
}

TEST_CASE("a link bound to an interface that is made anew gets a new socket") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    LinkKeeperOptions options;
    options.links = {link_to("192.0.2.1", "", "mio0")};
    Rig rig(std::move(options));
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 1; }));
    CHECK(rig.paths[0].path.local == Address{});
    lab.remove("mio0");
    REQUIRE(rig.run_until([&] { return rig.cleared.size() == 1; }));
    CHECK(rig.told("there is no interface mio0"));
    make_line(lab, "mio0", "192.0.2.30");
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 2; }));
    CHECK(rig.sockets.size() == 2);
    CHECK(rig.socket_ids[0] == rig.socket_ids[1]);
  });
}

TEST_CASE("a link with a gateway has its own way, before and after its line was away") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    make_line(lab, "mio2", "203.0.113.10");
    lab.add_default_route("203.0.113.1", "mio2");
    LinkKeeperOptions options;
    options.instance = "home";
    options.links = {link_to("198.51.100.7", "192.0.2.10")};
    options.links[0].gateway = parse_address("192.0.2.1");
    {
      Rig rig(std::move(options));
      REQUIRE(rig.run_until([&] { return rig.paths.size() == 1; }));
      CHECK(rig.told("through mio0"));
      CHECK(lab.rule_count() == 4);
      lab.down("mio0");
      REQUIRE(rig.run_until([&] { return rig.cleared.size() == 1; }));
      lab.up("mio0");
      REQUIRE(rig.run_until([&] { return rig.paths.size() == 2; }));
      CHECK(rig.keeper->situations()[0].interface == "mio0");
      for (const LinkNotice& notice : rig.notices) CHECK_FALSE(notice.text.find("mio2") < 1000);
    }
    CHECK(lab.rule_count() == 3);
  });
}

TEST_CASE("a route into the tunnel itself is no way out") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    make_line(lab, "mwt0", "10.90.0.2");
    lab.add_default_route("10.90.0.1", "mwt0");
    LinkKeeperOptions options;
    options.own_interfaces = {"mwt0"};
    options.links = {link_to("198.51.100.7")};
    Rig rig(std::move(options));
    REQUIRE(rig.run_until([&] { return rig.told("leads into the tunnel itself (mwt0)"); }));
    CHECK(rig.paths.empty());
  });
}

TEST_CASE("a link whose address leads elsewhere is used, with a warning") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    make_line(lab, "mio2", "203.0.113.10");
    lab.add_default_route("203.0.113.1", "mio2");
    LinkKeeperOptions options;
    options.links = {link_to("198.51.100.7", "192.0.2.10")};
    Rig rig(std::move(options));
    REQUIRE(rig.run_until([&] { return rig.told("leave through mio2"); }));
    CHECK(rig.paths.size() == 1);
    const std::size_t told = rig.notices.size();
    lab.set_mtu("mio0", 1400);
    lab.set_mtu("mio2", 1400);
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 2; }));
    CHECK(rig.notices.size() == told + 1);  // The way, not the warning again.
  });
}

TEST_CASE("names are looked up again when all links are down, and the next address is tried") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    FakeDns dns;
    dns.names["vps.example.net"] = {{"192.0.2.1", "192.0.2.2"}, 3600};
    LinkKeeperOptions options;
    options.dns_servers = dns.address();
    options.links = {link_to("vps.example.net", "192.0.2.10")};
    Rig rig(std::move(options));
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 1; }, &dns));
    const Address first = rig.paths[0].path.remote;
    const std::size_t asked = dns.questions();

    // Nothing is asked while there is no reason to.
    rig.keeper->link_state_changed(PeerId{0}, LinkId{0}, true, rig.now());
    rig.skipped += seconds(1000);
    rig.keeper->process(rig.now());
    dns.serve();
    CHECK(dns.questions() == asked);
    CHECK(rig.keeper->next_timeout(rig.now()) == never);

    rig.keeper->link_state_changed(PeerId{0}, LinkId{0}, false, rig.now());
    const Instant due = rig.keeper->next_timeout(rig.now());
    CHECK(due > rig.now() + seconds(4));
    CHECK(due <= rig.now() + seconds(5));
    rig.skipped += seconds(5);
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 2; }, &dns));
    CHECK(rig.paths[1].path.remote != first);
    CHECK(rig.sockets.size() == 1);

    // A server that has moved.
    dns.names["vps.example.net"] = {{"192.0.2.99"}, 3600};
    rig.skipped += seconds(10);
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 3; }, &dns));
    CHECK(rig.paths[2].path.remote == parse_address("192.0.2.99:4649"));
  });
}

TEST_CASE("a name that cannot be found is tried again, ever more slowly, and told once") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    FakeDns dns;
    LinkKeeperOptions options;
    options.dns_servers = dns.address();
    options.links = {link_to("vps.example.net", "192.0.2.10")};
    Rig rig(std::move(options));
    std::vector<Instant> asked_at;
    for (int i = 0; i < 8; ++i) {
      const std::size_t asked = dns.questions();
      REQUIRE(rig.run_until(
          [&] {
            if (dns.questions() > asked) return true;
            rig.skipped += std::max<Duration>(rig.keeper->next_timeout(rig.now()) - rig.now(), {});
            return false;
          },
          &dns));
      asked_at.push_back(rig.now());
      // Until the answer has been taken in: then nothing is due for a while.
      REQUIRE(rig.run_until(
          [&] { return rig.keeper->next_timeout(rig.now()) > rig.now() + milliseconds(100); },
          &dns));
    }
    for (std::size_t i = 1; i < asked_at.size(); ++i) {
      const Duration pause = asked_at[i] - asked_at[i - 1];
      CHECK(pause >= std::min<Duration>(milliseconds(900 << (i - 1)), seconds(55)));
      CHECK(pause <= seconds(62));
    }
    CHECK(rig.notices.size() == 1);
    CHECK(rig.told("cannot find vps.example.net"));
    dns.names["vps.example.net"] = {{"192.0.2.1"}, 60};
    rig.skipped += seconds(60);
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 1; }, &dns));
  });
}

TEST_CASE("a line that comes up does not wait out the pause after a failed lookup") {
  in_namespace([] {
    Lab lab;
    FakeDns dns;
    LinkKeeperOptions options;
    options.dns_servers = dns.address();
    options.links = {link_to("vps.example.net", "192.0.2.10")};
    Rig rig(std::move(options));
    for (int i = 0; i < 6; ++i) {
      rig.skipped += seconds(64);
      const std::size_t asked = dns.questions();
      REQUIRE(rig.run_until([&] { return dns.questions() > asked; }, &dns));
      rig.run_until([&] { return rig.keeper->next_timeout(rig.now()) > rig.now() + seconds(1); },
                    &dns);
    }
    CHECK(rig.told("no interface has the address 192.0.2.10"));
    dns.names["vps.example.net"] = {{"192.0.2.1"}, 60};
    make_line(lab, "mio0", "192.0.2.10");
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 1; }, &dns));
  });
}

TEST_CASE("links of one peer have sockets, situations and troubles of their own") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    LinkKeeperOptions options;
    options.links = {link_to("192.0.2.1", "192.0.2.10"), link_to("192.0.2.1", "203.0.113.10")};
    options.links[1].link = LinkId{1};
    options.links[1].label = "vps/lte";
    Rig rig(std::move(options));
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 1 && rig.notices.size() == 2; }));
    CHECK(rig.told("link vps/lte has no way out: no interface has the address 203.0.113.10"));
    const auto situations = rig.keeper->situations();
    REQUIRE(situations.size() == 2);
    CHECK(situations[0].usable);
    CHECK_FALSE(situations[1].usable);
    CHECK_FALSE(situations[1].reason.empty());
    make_line(lab, "mio2", "203.0.113.10");
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 2; }));
    CHECK(rig.paths[1].link == LinkId{1});
    CHECK(rig.paths[1].path.socket != rig.paths[0].path.socket);
  });
}

TEST_CASE("a socket that is gone is replaced after a pause") {
  in_namespace([] {
    Lab lab;
    make_line(lab, "mio0", "192.0.2.10");
    LinkKeeperOptions options;
    options.links = {link_to("192.0.2.1", "192.0.2.10")};
    Rig rig(std::move(options));
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 1; }));
    rig.keeper->socket_gone(SocketId{0}, rig.now());
    CHECK(rig.cleared.size() == 1);
    CHECK(rig.keeper->next_timeout(rig.now()) > rig.now());
    rig.skipped += seconds(1);
    REQUIRE(rig.run_until([&] { return rig.paths.size() == 2; }));
    CHECK(rig.sockets.size() == 2);
  });
}
