#include "dataplane/io/tap.hpp"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <vector>

#include "dataplane/io/socket_address.hpp"
#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

Tap open_tap(Lab& lab, const TapOptions& options) {
  auto tap = Tap::open(lab.netlink, options);
  if (!tap.ok()) FAIL(tap.error().message);
  return tap.take();
}

TapOptions named(const char* name) {
  TapOptions options;
  options.name = name;
  return options;
}

/// A socket that sends and receives whole frames on an interface.
class FrameSocket {
 public:
  FrameSocket(const std::string& interface, std::uint16_t type)
      : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(type))) {
    sockaddr_ll name{};
    name.sll_family = AF_PACKET;
    name.sll_protocol = htons(type);
    name.sll_ifindex = static_cast<int>(interface_index(interface));
    REQUIRE(bind(fd_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
  }
  bool send(Bytes frame) { return ::send(fd_.get(), frame.data(), frame.size(), 0) > 0; }
  std::vector<std::uint8_t> receive() {
    std::vector<std::uint8_t> frame(2048);
    if (!readable(fd_.get())) return {};
    const ssize_t got = recv(fd_.get(), frame.data(), frame.size(), 0);
    frame.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return frame;
  }

 private:
  Fd fd_;
};

constexpr std::uint16_t test_type = 0x88b5;  // IEEE 802: local experiments.

std::vector<std::uint8_t> frame_of(std::size_t size, std::uint16_t type = test_type) {
  std::vector<std::uint8_t> frame(size, 0x5a);
  std::fill_n(frame.begin(), 6, 0xff);
  store_be16(frame.data() + 12, type);
  return frame;
}

/// The next frame of this type, skipping what the kernel sends by itself.
std::vector<std::uint8_t> read_type(Tap& tap, std::uint16_t type) {
  std::array<std::uint8_t, 2048> room;
  std::vector<std::uint8_t> got;
  eventually(tap.fd(), [&] {
    TapFrame read;
    while (tap.read(room, read) == Tap::Read::frame) {
      if (load_be16(room.data() + 12) == type) {
        got.assign(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(read.size));
        return true;
      }
    }
    return false;
  });
  return got;
}

}  // namespace

TEST_CASE("an interface has what it was asked to have") {
  in_namespace([] {
    Lab lab;
    lab.add_bridge("br0");
    TapOptions options = named("mio0");
    options.settings.mtu = 1400;
    options.settings.mac = stable_mac(Bytes{}, "mio0");
    options.settings.addresses = {{parse_address("10.90.0.2"), 24}, {parse_address("fd00::2"), 64}};
    options.settings.bridge = "br0";
    {
      const Tap tap = open_tap(lab, options);
      CHECK(tap.name() == "mio0");
      CHECK(lab.mtu_of("mio0") == 1400);
      CHECK(lab.mac_of("mio0") == *options.settings.mac);
      CHECK(lab.master_of("mio0") == interface_index("br0"));
      Fd probe(socket(AF_INET, SOCK_DGRAM, 0));
      sockaddr_storage name{};
      const socklen_t size = to_sockaddr(parse_address("10.90.0.2"), name);
      CHECK(bind(probe.get(), reinterpret_cast<sockaddr*>(&name), size) == 0);
    }
    CHECK(interface_index("mio0") == 0);  // Gone with its owner.
  });
}

TEST_CASE("carrier is off until the tunnel carries") {
  in_namespace([] {
    Lab lab;
    Tap tap = open_tap(lab, named("mio0"));
    CHECK_FALSE(tap.carrier());
    CHECK_FALSE(lab.carrier_of("mio0"));
    tap.set_carrier(true);
    CHECK(lab.carrier_of("mio0"));
    tap.set_carrier(false);
    CHECK_FALSE(lab.carrier_of("mio0"));
  });
}

TEST_CASE("frames pass both ways unchanged, at any size up to the MTU") {
  in_namespace([] {
    Lab lab;
    Tap tap = open_tap(lab, named("mio0"));
    tap.set_carrier(true);
    FrameSocket host("mio0", test_type);
    // Interfaces with a carrier take a moment to begin sending.
    REQUIRE(eventually(tap.fd(), [&] {
      host.send(frame_of(60));
      std::array<std::uint8_t, 2048> room;
      TapFrame read;
      return tap.read(room, read) == Tap::Read::frame;
    }));
    while (tap.discard()) {
    }
    for (const std::size_t size : {14u, 60u, 1000u, 1514u}) {
      const auto sent = frame_of(size);
      REQUIRE(host.send(sent));
      CHECK(read_type(tap, test_type) == sent);
      CHECK(tap.write(sent) == Tap::Write::written);
      auto got = host.receive();
      CHECK(got == sent);
    }
    CHECK(tap.counters().frames_written == 4);
    CHECK(tap.counters().refused == 0);
  });
}

TEST_CASE("what an interface refuses is counted and harmless") {
  in_namespace([] {
    Lab lab;
    Tap tap = open_tap(lab, named("mio0"));
    CHECK(tap.write(std::vector<std::uint8_t>(5)) ==
          Tap::Write::refused);  // Not even an Ethernet header.
    lab.down("mio0");
    CHECK(tap.write(frame_of(60)) == Tap::Write::refused);
    CHECK(tap.counters().refused == 2);
    std::array<std::uint8_t, 2048> room;
    TapFrame read;
    while (tap.read(room, read) == Tap::Read::frame) {
    }
    CHECK(tap.read(room, read) == Tap::Read::empty);  // Not an error, and nothing that wakes us.
    CHECK_FALSE(readable(tap.fd(), milliseconds(0)));
    lab.up("mio0");
    CHECK(tap.write(frame_of(60)) == Tap::Write::written);
  });
}

TEST_CASE("a frame longer than the room is skipped, not cut") {
  in_namespace([] {
    Lab lab;
    Tap tap = open_tap(lab, named("mio0"));
    tap.set_carrier(true);
    FrameSocket host("mio0", test_type);
    std::array<std::uint8_t, 500> room;
    TapFrame read;
    CHECK(eventually(tap.fd(), [&] {
      host.send(frame_of(1000));
      return tap.read(room, read) == Tap::Read::skipped;
    }));
    CHECK(tap.counters().read_too_long == 1);
  });
}

TEST_CASE("an interface that somebody deletes is told as gone") {
  in_namespace([] {
    Lab lab;
    Tap tap = open_tap(lab, named("mio0"));
    lab.remove("mio0");
    std::array<std::uint8_t, 2048> room;
    TapFrame read;
    CHECK(tap.read(room, read) == Tap::Read::gone);
    CHECK(tap.write(frame_of(60)) == Tap::Write::gone);
  });
}

TEST_CASE("a layer-3 interface looks like Ethernet from inside") {
  in_namespace([] {
    Lab lab;
    TapOptions options = named("mio0");
    options.tun = true;
    options.settings.addresses = {{parse_address("10.90.0.2"), 24}};
    options.settings.mac = stable_mac(Bytes{}, "mio0");  // Has none: not an error.
    Tap tun = open_tap(lab, options);
    tun.set_carrier(true);

    Fd sender(socket(AF_INET, SOCK_DGRAM, 0));
    sockaddr_storage name{};
    const socklen_t size = to_sockaddr(parse_address("10.90.0.1:9"), name);
    std::vector<std::uint8_t> frame;
    REQUIRE(eventually(tun.fd(), [&] {
      sendto(sender.get(), "hello", 5, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&name), size);
      std::array<std::uint8_t, 2048> room;
      TapFrame read;
      if (tun.read(room, read) != Tap::Read::frame || load_be16(&room[12]) != 0x0800) return false;
      frame.assign(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(read.size));
      return true;
    }));
    REQUIRE(frame.size() == 14 + 20 + 8 + 5);
    CHECK((frame[0] & 1) == 0);
    CHECK(frame[14] == 0x45);
    CHECK(std::vector<std::uint8_t>(frame.end() - 5, frame.end()) ==
          std::vector<std::uint8_t>{'h', 'e', 'l', 'l', 'o'});

    FrameSocket host("mio0", ETH_P_IP);
    CHECK(tun.write(frame) == Tap::Write::written);
    CHECK(host.receive() == std::vector<std::uint8_t>(frame.begin() + 14, frame.end()));
    CHECK(tun.write(frame_of(60, 0x0806)) == Tap::Write::refused);  // ARP
    CHECK(tun.counters().not_ip == 1);
  });
}

TEST_CASE("errors of interfaces say how to mend them") {
  in_namespace([] {
    Lab lab;
    const auto message_of = [&](const TapOptions& options) {
      const auto tap = Tap::open(lab.netlink, options);
      return tap.ok() ? std::string("no error") : tap.error().message;
    };
    const Tap held = open_tap(lab, named("mio0"));
    CHECK_THAT(message_of(named("mio0")),
               Catch::Contains("mio0") && Catch::Contains("another program holds it"));
    lab.add_veth("other0", "other1");
    CHECK_THAT(message_of(named("other0")), Catch::Contains("of another kind exists"));
    CHECK_THAT(message_of(named("a-name-far-too-long")), Catch::Contains("1 to 15 bytes"));

    TapOptions options = named("mio1");
    options.settings.bridge = "br-lan";
    CHECK_THAT(message_of(options), Catch::Contains("ip link add br-lan type bridge"));
    options.settings.bridge = "other0";
    CHECK_THAT(message_of(options), Catch::Contains("not a bridge"));
    options.settings.bridge = "";
    options.settings.mtu = 10;
    CHECK_THAT(message_of(options), Catch::Contains("MTU 10"));
    CHECK(interface_index("mio1") == 0);  // Nothing half-made is left.

    options = named("mio2");
    options.tun = true;
    options.settings.bridge = "br-lan";
    CHECK_THAT(message_of(options), Catch::Contains("layer 3"));
  });
}

TEST_CASE("a frame that cannot be read is skipped and counted, and not taken for the last one") {
  in_namespace([] {
    Lab lab;
    Tap tap = open_tap(lab, named("mio0"));
    if (!forbid(SYS_readv, -1, ENOMEM)) {
      WARN("skipped: needs seccomp filters");
      return;
    }
    std::array<std::uint8_t, 2048> room;
    TapFrame frame;
    CHECK(tap.read(room, frame) == Tap::Read::skipped);
    CHECK(tap.read(room, frame) == Tap::Read::skipped);
    CHECK(tap.counters().read_errors == 2);
  });
}

TEST_CASE("a derived MAC is stable, local, unicast and differs by identity and name") {
  const std::array<std::uint8_t, 32> alice{1, 2, 3};
  const std::array<std::uint8_t, 32> bob{1, 2, 4};
  CHECK(stable_mac(alice, "mwt0") == stable_mac(alice, "mwt0"));
  CHECK(stable_mac(alice, "mwt0") != stable_mac(alice, "mwt1"));
  CHECK(stable_mac(alice, "mwt0") != stable_mac(bob, "mwt0"));
  for (int i = 0; i < 100; ++i) {
    const MacAddress mac = stable_mac(alice, std::to_string(i));
    CHECK((mac[0] & 3) == 2);
  }
}

TEST_CASE("a slab holds a frame of the MTU with its header and VLAN tags") {
  for (const std::uint32_t mtu : {68u, 1500u, 1600u, 1601u, 9000u, 9216u, 9700u}) {
    CHECK(slab_bytes_for(mtu) > mtu + Tap::header_bytes_max);
  }
  CHECK(slab_bytes_for(1500) == 2048);
  CHECK(slab_bytes_for(9000) == 9728);
}
