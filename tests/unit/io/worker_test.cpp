#include "dataplane/io/worker.hpp"

#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <set>

#include "crypto/init.hpp"
#include "loop_rig.hpp"
#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

constexpr std::uint16_t test_type = 0x88b5;  // IEEE 802: local experiments.

PrivateKey key_of(std::uint8_t seed) {
  struct Fixed : Entropy {
    std::uint8_t seed;
    explicit Fixed(std::uint8_t s) : seed(s) {}
    void fill(MutableBytes out) override {
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<std::uint8_t>(seed * 31 + i);
    }
  };
  Fixed entropy(seed);
  return generate_private_key(entropy);
}

/// Two links from one to the other; both ends in this process and namespace.
NodeConfig config_of(bool client) {
  NodeConfig config;
  config.private_key = key_of(client ? 1 : 2);
  config.ciphers = available_ciphers();
  config.wall_clock_ns = wall_clock_ns();
  PeerConfig peer;
  peer.name = client ? "server" : "client";
  peer.public_key = public_key_of(key_of(client ? 2 : 1));
  peer.initiator = client;
  if (client) {
    peer.links.resize(2);
    peer.links[0].name = "one";
    peer.links[1].name = "two";
  }
  config.peers.push_back(std::move(peer));
  return config;
}

std::unique_ptr<Worker> make_worker(Lab& lab, LoopKind loop, bool client,
                                    std::vector<NumberedSocket> sockets) {
  TapOptions options;
  options.name = client ? "mioc" : "mios";
  auto tap = Tap::open(lab.netlink, options);
  if (!tap.ok()) FAIL(tap.error().message);
  std::vector<WorkerTap> taps;
  taps.push_back({PeerId{0}, tap.take()});
  WorkerOptions worker_options;
  worker_options.loop = loop;
  auto worker =
      Worker::create(config_of(client), std::move(taps), std::move(sockets), worker_options);
  if (!worker.ok()) FAIL(worker.error().message);
  return worker.take();
}

/// Takes notices until `enough` says so.
template <typename Enough>
bool wait_for_events(Worker& worker, std::vector<Event>& events, Enough enough) {
  const Instant limit = monotonic_now() + seconds(5);
  std::vector<WorkerNotice> notices;
  while (!enough()) {
    if (monotonic_now() > limit) return false;
    readable(worker.notices_fd(), milliseconds(50));
    worker.take_notices(notices);
    for (const WorkerNotice& notice : notices) {
      if (const auto* event = std::get_if<NodeEvent>(&notice)) events.push_back(event->event);
    }
  }
  return true;
}

bool has(const std::vector<Event>& events, Event::Kind kind) {
  for (const Event& event : events) {
    if (event.kind == kind) return true;
  }
  return false;
}

std::size_t links_up(const std::vector<Event>& events) {
  std::set<LinkId> up;
  for (const Event& event : events) {
    if (event.kind != Event::Kind::link_changed) continue;
    if (event.state == LinkState::up) {
      up.insert(event.link);
    } else {
      up.erase(event.link);
    }
  }
  return up.size();
}

Fd frames_of(const std::string& interface) {
  Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(test_type)));
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(test_type);
  name.sll_ifindex = static_cast<int>(interface_index(interface));
  REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
  return fd;
}

}  // namespace

TEST_CASE("two workers carry frames between their interfaces over both links") {
  REQUIRE(crypto_start());
  const LoopKind loop = each_loop();
  in_namespace([loop] {
    Lab lab;
    std::vector<std::string> warnings;
    auto listeners = open_listeners({parse_address("127.0.0.1:4649")}, 1 << 20, {}, warnings);
    if (!listeners.ok()) FAIL(listeners.error().message);
    auto server = make_worker(lab, loop, false, listeners.take());
    auto client = make_worker(lab, loop, true, {});
    server->start();
    client->start();
    for (std::uint8_t link = 0; link < 2; ++link) {
      UdpSocketOptions options;
      options.bind = parse_address(link == 0 ? "127.0.0.2" : "127.0.0.3");
      auto socket = UdpSocket::open(options);
      REQUIRE(socket.ok());
      const Path path{SocketId{link}, socket.value().local(), parse_address("127.0.0.1:4649")};
      client->post(PutSocket{{SocketId{link}, socket.take()}});
      client->post(SetLinkPath{PeerId{0}, LinkId{link}, path, 1500});
    }
    std::vector<Event> client_events;
    std::vector<Event> server_events;
    REQUIRE(wait_for_events(*client, client_events, [&] { return links_up(client_events) == 2; }));
    REQUIRE(wait_for_events(*server, server_events, [&] { return links_up(server_events) == 2; }));
    CHECK(has(client_events, Event::Kind::session_up));
    CHECK(eventually(-1, [&] { return lab.carrier_of("mioc") && lab.carrier_of("mios"); }));

    const Fd near = frames_of("mioc");
    const Fd far = frames_of("mios");
    std::vector<std::uint8_t> sent(1514);
    std::fill_n(sent.begin(), 6, 0xff);
    store_be16(sent.data() + 12, test_type);
    std::uint8_t number = 0;
    std::vector<std::uint8_t> got(2048);
    // The first ones may meet an interface that is only just beginning to send.
    REQUIRE(eventually(far.get(), [&] {
      sent.back() = ++number;
      if (send(near.get(), sent.data(), sent.size(), 0) < 0) return false;
      if (!readable(far.get(), milliseconds(100))) return false;
      return recv(far.get(), got.data(), got.size(), 0) == static_cast<ssize_t>(sent.size());
    }));
    got.resize(sent.size());
    CHECK(got == sent);
    CHECK(send(far.get(), sent.data(), 100, 0) == 100);
    CHECK(readable(near.get()));

    auto answer = client->request_report();
    REQUIRE(answer.wait_for(std::chrono::seconds(2)) == std::future_status::ready);
    const WorkerReport report = answer.get();
    CHECK((std::string(report.loop.name) == "io_uring") == (loop == LoopKind::io_uring));
    REQUIRE(report.peers.size() == 1);
    CHECK(report.peers[0].session);
    CHECK(report.peers[0].links.size() == 2);
    REQUIRE(report.loop.sockets.size() == 2);
    CHECK(report.loop.sockets[0].counters.datagrams_in > 0);
    CHECK(report.loop.sockets[1].counters.datagrams_in > 0);
    REQUIRE(report.loop.interfaces.size() == 1);
    CHECK(report.loop.interfaces[0].counters.frames_read > 0);
    CHECK(report.loop.interfaces[0].carrier);
    CHECK(report.slab_bytes == 2048);

    // Idle now: the loop must rest.
    const std::uint64_t waits = report.loop.waits;
    CHECK_FALSE(readable(-1, milliseconds(300)));
    auto later = client->request_report();
    REQUIRE(later.wait_for(std::chrono::seconds(2)) == std::future_status::ready);
    CHECK(later.get().loop.waits - waits < 300);

    // Goodbye is said, and seen at once.
    client->stop();
    REQUIRE(wait_for_events(*server, server_events,
                            [&] { return has(server_events, Event::Kind::session_down); }));
    CHECK(eventually(-1, [&] { return !lab.carrier_of("mios"); }));
    client.reset();
    CHECK(interface_index("mioc") == 0);
    server->stop();
  });
}

TEST_CASE("a worker that was never started, or has no peer to talk to, ends cleanly") {
  REQUIRE(crypto_start());
  const LoopKind loop = each_loop();
  in_namespace([loop] {
    Lab lab;
    make_worker(lab, loop, false, {});
    auto alone = make_worker(lab, loop, true, {});
    alone->start();
    auto answer = alone->request_report();
    REQUIRE(answer.wait_for(std::chrono::seconds(2)) == std::future_status::ready);
    CHECK_FALSE(answer.get().peers[0].session);
    lab.remove("mioc");
    const Instant limit = monotonic_now() + seconds(2);
    bool gone = false;
    std::vector<WorkerNotice> notices;
    while (!gone && monotonic_now() < limit) {
      readable(alone->notices_fd(), milliseconds(50));
      alone->take_notices(notices);
      for (const WorkerNotice& notice : notices) {
        gone |= std::holds_alternative<InterfaceGone>(notice);
      }
    }
    CHECK(gone);
    alone->stop();
    alone->stop();
  });
}
