#include "dataplane/io/crew.hpp"

#include <netinet/udp.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "dataplane/io/socket_address.hpp"
#include "worker_parts.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

PeerId peer_of(std::size_t number) {
  return static_cast<PeerId>(number);
}

/// Number 0 is the hub's key.
NodeConfig config_of(std::uint8_t own) {
  NodeConfig config;
  config.private_key = key_of(own);
  config.ciphers = available_ciphers();
  config.wall_clock_ns = wall_clock_ns();
  return config;
}

PeerConfig peer_with_key(std::uint8_t number, bool initiator) {
  PeerConfig peer;
  peer.name = "peer" + std::to_string(number);
  peer.public_key = public_key_of(key_of(number));
  peer.initiator = initiator;
  if (initiator) peer.links.resize(1);
  return peer;
}

std::unique_ptr<Crew> make_crew(NodeConfig config, std::vector<WorkerTap> taps,
                                const std::vector<Address>& addresses, unsigned workers) {
  std::vector<std::string> warnings;
  auto listeners = open_listeners(addresses, 1 << 20, workers, warnings);
  if (!listeners.ok()) FAIL(listeners.error().message);
  auto crew = Crew::create(std::move(config), std::move(taps), listeners.take(), {});
  if (!crew.ok()) FAIL(crew.error().message);
  REQUIRE(crew.value()->size() == workers);
  return crew.take();
}

/// A link of a client's peer, out of a socket of its own.
template <typename End>
void put_link(End& end, std::size_t peer, std::uint16_t socket_number, const Address& from,
              const Address& to) {
  UdpSocketOptions options;
  options.bind = from;
  auto socket = UdpSocket::open(options);
  REQUIRE(socket.ok());
  const SocketId id{socket_number};
  const Path path{id, socket.value().local(), to};
  end.post(PutSocket{peer_of(peer), {id, socket.take()}});
  end.post(SetLinkPath{peer_of(peer), LinkId{0}, path, 1500});
}

/// Three clients of one server, which has fewer workers than that.
struct Hub {
  static constexpr std::size_t clients = 3;
  const Address address = parse_address("127.0.0.1:4649");

  Hub(Lab& lab, unsigned workers) {
    NodeConfig config = config_of(0);
    std::vector<WorkerTap> taps;
    for (std::uint8_t i = 0; i < clients; ++i) {
      config.peers.push_back(peer_with_key(static_cast<std::uint8_t>(i + 1), false));
      taps.push_back(make_tap(lab, peer_of(i), "mios" + std::to_string(i)));
    }
    server = make_crew(std::move(config), std::move(taps), {address}, workers);
    server->start();
    for (std::size_t i = 0; i < clients; ++i) start_client(lab, i);
  }
  void start_client(Lab& lab, std::size_t i) {
    NodeConfig config = config_of(static_cast<std::uint8_t>(i + 1));
    config.peers.push_back(peer_with_key(0, true));
    std::vector<WorkerTap> taps;
    taps.push_back(make_tap(lab, peer_of(0), "mioc" + std::to_string(i)));
    ends[i] = make_crew(std::move(config), std::move(taps), {}, 1);
    ends[i]->start();
    put_link(*ends[i], 0, 0, parse_address("127.0.1." + std::to_string(i + 1)), address);
  }

  std::unique_ptr<Crew> server;
  std::unique_ptr<Crew> ends[clients];
};

WorkerReport report_of(Crew& crew) {
  const std::optional<WorkerReport> report = crew.report(seconds(2));
  REQUIRE(report.has_value());
  return *report;
}

}  // namespace

TEST_CASE("each client of a server of several workers has its own peer, interface and worker") {
  REQUIRE(crypto_start());
  in_namespace([] {
    Lab lab;
    for (const unsigned workers : {1u, 2u, 3u}) {
      INFO(workers << " workers");
      Hub hub(lab, workers);
      std::vector<Event> events;
      REQUIRE(wait_for_events(*hub.server, events, [&] { return links_up(events) == 3; }));
      for (std::size_t i = 0; i < Hub::clients; ++i) {
        std::vector<Event> own;
        REQUIRE(wait_for_events(*hub.ends[i], own, [&] { return links_up(own) == 1; }));
        const std::string number = std::to_string(i);
        const Fd near = frames_of("mioc" + number), far = frames_of("mios" + number);
        CHECK(eventually(-1, [&] { return lab.carrier_of("mios" + number); }));
        REQUIRE(carries(near, far));
        REQUIRE(carries(far, near));
        CHECK(hub.server->worker_of(peer_of(i)) == i % workers);
      }
      const WorkerReport report = report_of(*hub.server);
      REQUIRE(report.peers.size() == 3);
      REQUIRE(report.loop.interfaces.size() == 3);
      REQUIRE(report.loop.sockets.size() == workers);
      for (std::size_t i = 0; i < Hub::clients; ++i) {
        CHECK(report.peers[i].id == peer_of(i));
        CHECK(report.peers[i].name == "peer" + std::to_string(i + 1));
        CHECK(report.peers[i].session);
        REQUIRE(report.peers[i].links.size() == 1);
        CHECK(report.peers[i].links[0].path.remote.ip[3] == i + 1);
        CHECK(report.peers[i].frames.frames_out > 0);
        CHECK(report.loop.interfaces[i].peer == peer_of(i));
        CHECK(report.loop.interfaces[i].name == "mios" + std::to_string(i));
        CHECK(report.loop.interfaces[i].carrier);
      }
      // The kernel's steering was right every time: each worker's socket had data.
      for (const SocketReport& socket : report.loop.sockets) {
        CHECK(socket.counters.datagrams_in > 0);
        CHECK(socket.counters.datagrams_out > 0);
      }
      CHECK(report.drops.of(Drop::unknown_index) == 0);
      CHECK(report.drops.of(Drop::handover_full) == 0);
      CHECK(report.slabs_max >= report.slabs_grown);
      // So many workers, no more memory.
      CHECK(report.slabs_max * report.slab_bytes <= WorkerOptions{}.slab_memory_bytes_max);

      // A client that starts anew, of the last worker.
      events.clear();
      hub.ends[2].reset();
      hub.start_client(lab, 2);
      REQUIRE(wait_for_events(*hub.server, events, [&] {
        return has(events, Event::Kind::session_up) && links_up(events) >= 1;
      }));
      for (const Event& event : events) {
        if (event.kind == Event::Kind::session_up) CHECK(event.peer == peer_of(2));
      }

      // An interface that goes is told by the peer's number in the process.
      lab.remove("mios1");
      bool told = false;
      CHECK(eventually(-1, [&] {
        readable(-1, milliseconds(5));
        std::vector<WorkerNotice> notices;
        hub.server->take_notices(notices);
        for (const WorkerNotice& notice : notices) {
          const auto* gone = std::get_if<InterfaceGone>(&notice);
          told |= gone != nullptr && gone->peer == peer_of(1);
        }
        return told;
      }));
      // Goodbye is said by all workers.
      hub.server->stop();
      for (std::size_t i = 0; i < Hub::clients; ++i) {
        std::vector<Event> own;
        CHECK(wait_for_events(*hub.ends[i], own,
                              [&] { return has(own, Event::Kind::session_down); }));
      }
    }
  });
}

TEST_CASE("what came to another worker is handed over, and a flood of it is bounded and counted") {
  REQUIRE(crypto_start());
  in_namespace([] {
    Lab lab;
    Hub hub(lab, 2);
    std::vector<Event> events;
    REQUIRE(wait_for_events(*hub.server, events, [&] { return links_up(events) == 3; }));
    const WorkerReport before = report_of(*hub.server);
    const Fd fd(socket(AF_INET, SOCK_DGRAM, 0));
    sockaddr_storage name{};
    const socklen_t name_bytes = to_sockaddr(hub.address, name);
    const int segment = 40;
    REQUIRE(setsockopt(fd.get(), SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0);
    // Data of nobody's session: the first of each bundle is worker 0's, the others are worker 1's.
    std::vector<std::uint8_t> bundle(40 * 40);
    for (std::size_t i = 0; i < 40; ++i) bundle[40 * i] = 4, bundle[40 * i + 2] = i == 0 ? 0 : 1;
    constexpr std::size_t bundles = 2000;
    for (std::size_t i = 0; i < bundles; ++i) {
      sendto(fd.get(), bundle.data(), bundle.size(), 0, reinterpret_cast<sockaddr*>(&name),
             name_bytes);
    }
    if (!before.loop.sockets[0].gro) {
      WARN("skipped: this kernel joins no datagrams, so none goes astray");
      return;
    }
    // Whatever the kernel let through to worker 0 went on to worker 1 or was counted, each once.
    WorkerReport after;
    CHECK(eventually(-1, [&] {
      readable(-1, milliseconds(10));
      after = report_of(*hub.server);
      const std::uint64_t strays = after.strays - before.strays;
      return strays > 0 &&
             after.drops.of(Drop::unknown_index) + after.drops.of(Drop::handover_full) >=
                 before.drops.of(Drop::unknown_index) + strays + strays / 39;
    }));
    CHECK(after.strays - before.strays <= bundles * 39);
    CHECK(after.slabs_in_use <= before.slabs_in_use + 64);
    // The clients have kept their sessions. (On a busy machine a flood may take the processor from
    // a link for so long that it counts as down for a moment.)
    for (std::size_t i = 0; i < Hub::clients; ++i) {
      const std::string number = std::to_string(i);
      CHECK(carries(frames_of("mioc" + number), frames_of("mios" + number)));
    }
    std::vector<WorkerNotice> notices;
    hub.server->take_notices(notices);
    CHECK(std::ranges::none_of(notices, [](const WorkerNotice& notice) {
      const auto* event = std::get_if<NodeEvent>(&notice);
      return event != nullptr && event->event.kind == Event::Kind::session_down;
    }));
  });
}

TEST_CASE("a client of two servers has a worker for each, with its own sockets") {
  REQUIRE(crypto_start());
  in_namespace([] {
    Lab lab;
    std::unique_ptr<Crew> servers[2];
    NodeConfig config = config_of(0);
    std::vector<WorkerTap> taps;
    std::vector<Address> addresses;
    for (std::uint8_t i = 0; i < 2; ++i) {
      const std::string number = std::to_string(i);
      addresses.push_back(parse_address("127.0.0.1:465" + number));
      NodeConfig server = config_of(static_cast<std::uint8_t>(i + 1));
      server.peers.push_back(peer_with_key(0, false));
      std::vector<WorkerTap> tap;
      tap.push_back(make_tap(lab, peer_of(0), "mios" + number));
      servers[i] = make_crew(std::move(server), std::move(tap), {addresses.back()}, 1);
      servers[i]->start();
      config.peers.push_back(peer_with_key(static_cast<std::uint8_t>(i + 1), true));
      taps.push_back(make_tap(lab, peer_of(i), "mioc" + number));
    }
    const std::unique_ptr<Crew> client = make_crew(std::move(config), std::move(taps), {}, 2);
    client->start();
    for (std::size_t i = 0; i < 2; ++i) {
      put_link(*client, i, static_cast<std::uint16_t>(i),
               parse_address("127.0.2." + std::to_string(i + 1)), addresses[i]);
    }
    std::vector<Event> events;
    REQUIRE(wait_for_events(*client, events, [&] { return links_up(events) == 2; }));
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string number = std::to_string(i);
      const Fd near = frames_of("mioc" + number), far = frames_of("mios" + number);
      REQUIRE(carries(near, far));
      REQUIRE(carries(far, near));
    }
    // A command about one peer's link is that peer's alone.
    client->post(SetLinkRole{peer_of(1), LinkId{0}, LinkRole::backup});
    client->post(ClearLinkPath{peer_of(0), LinkId{0}});
    WorkerReport report;
    CHECK(eventually(-1, [&] {
      readable(-1, milliseconds(10));
      report = report_of(*client);
      return report.peers.at(0).links.at(0).state == LinkState::down;
    }));
    CHECK(report.peers[1].links[0].state == LinkState::up);
    CHECK(report.peers[1].links[0].config.role == LinkRole::backup);
    CHECK(report.peers[0].links[0].config.role == LinkRole::normal);
    REQUIRE(report.loop.sockets.size() == 2);
    CHECK(report.loop.sockets[0].id != report.loop.sockets[1].id);
  });
}
