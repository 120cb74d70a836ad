#include "dataplane/io/worker.hpp"

#include <catch2/catch.hpp>

#include "loop_rig.hpp"
#include "worker_parts.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

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
  std::vector<WorkerTap> taps;
  taps.push_back(make_tap(lab, PeerId{0}, client ? "mioc" : "mios"));
  WorkerOptions options;
  options.loop = loop;
  auto worker = Worker::create(config_of(client), std::move(taps), std::move(sockets), options);
  if (!worker.ok()) FAIL(worker.error().message);
  return worker.take();
}

}  // namespace

TEST_CASE("two workers carry frames between their interfaces over both links") {
  REQUIRE(crypto_start());
  const LoopKind loop = each_loop();
  in_namespace([loop] {
    Lab lab;
    std::vector<std::string> warnings;
    auto listeners = open_listeners({parse_address("127.0.0.1:4649")}, 1 << 20, 1, warnings);
    if (!listeners.ok()) FAIL(listeners.error().message);
    auto server = make_worker(lab, loop, false, std::move(listeners.value()[0]));
    auto client = make_worker(lab, loop, true, {});
    server->start();
    client->start();
    for (std::uint8_t link = 0; link < 2; ++link) {
      UdpSocketOptions options;
      options.bind = parse_address(link == 0 ? "127.0.0.2" : "127.0.0.3");
      auto socket = UdpSocket::open(options);
      REQUIRE(socket.ok());
      const Path path{SocketId{link}, socket.value().local(), parse_address("127.0.0.1:4649")};
      client->post(PutSocket{PeerId{0}, {SocketId{link}, socket.take()}});
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
    REQUIRE(carries(near, far));
    CHECK(carries(far, near, 100));

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
