#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <map>

#include "base/prng.hpp"
#include "dataplane/io/listeners.hpp"
#include "dataplane/io/socket_address.hpp"
#include "dataplane/io/steering_program.hpp"
#include "dataplane/steering.hpp"
#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

using Sets = std::vector<std::vector<NumberedSocket>>;
using Datagram = std::vector<std::uint8_t>;

Sets listen_on(const std::vector<Address>& addresses, unsigned workers) {
  std::vector<std::string> warnings;
  auto sets = open_listeners(addresses, 4 << 20, workers, warnings);
  if (!sets.ok()) FAIL(sets.error().message);
  if (sets.value().size() != workers) FAIL(warnings.back());
  return sets.take();
}

/// Someone who sends from many ports.
class Sender {
 public:
  Sender(const Address& to, std::size_t sockets) {
    name_bytes_ = to_sockaddr(to, name_);
    for (std::size_t i = 0; i < sockets; ++i) {
      fds_.emplace_back(socket(name_.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      REQUIRE(bool(fds_.back()));
    }
  }
  /// @param segment  not 0: leaves as datagrams of so many bytes that the kernel takes as one
  void send(const Datagram& bytes, std::size_t from, int segment = 0) {
    const int fd = fds_[from % fds_.size()].get();
    REQUIRE(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0);
    REQUIRE(sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&name_),
                   name_bytes_) == static_cast<ssize_t>(bytes.size()));
  }

 private:
  std::vector<Fd> fds_;
  sockaddr_storage name_{};
  socklen_t name_bytes_ = 0;
};

/// All that has come to a socket.
std::vector<Datagram> received(UdpSocket& socket) {
  std::vector<Datagram> all;
  ReceiveBatch batch;
  while (socket.receive(batch) == UdpSocket::Receive::some) {
    for (const ReceivedDatagram& one : batch.datagrams()) {
      all.emplace_back(one.bytes.begin(), one.bytes.end());
    }
  }
  return all;
}

/// A datagram of every kind, with any index, too short ones and none among them.
Datagram any_datagram(Prng& random) {
  static constexpr std::size_t sizes[] = {0, 1, 2, 3, 4, 5, 8, 9, 29, 64, 140, 200, 1400};
  Datagram bytes(sizes[random.next() % std::size(sizes)]);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.next() >> 56);
  if (!bytes.empty() && random.chance(0.8)) {
    bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x30) | (1 + random.next() % 4));
  }
  return bytes;
}

}  // namespace

TEST_CASE("the kernel gives each worker the datagrams of its sessions, and the first all others") {
  for (const char* address : {"127.0.0.1", "::1"}) {
    const Fd probe(socket(AF_INET6, SOCK_DGRAM, 0));
    if (address[0] == ':' && !probe) continue;
    for (const unsigned workers : {2u, 3u, 8u, 16u}) {
      INFO(address << ", " << workers << " workers");
      Sets sets = listen_on({parse_address(address)}, workers);
      Sender sender(sets[0][0].socket.bound(), 50);
      Prng random(workers);
      std::map<Datagram, std::size_t> sent;
      std::vector<std::size_t> got(workers);
      std::size_t total = 0;
      constexpr std::size_t rounds = 40, each = 100;
      for (std::size_t i = 0; i < rounds * each; ++i) {
        const Datagram bytes = any_datagram(random);
        sender.send(bytes, i);
        ++sent[bytes];
        if (i % each != each - 1) continue;
        for (unsigned worker = 0; worker < workers; ++worker) {
          for (const Datagram& one : received(sets[worker][0].socket)) {
            REQUIRE(worker_of(one, workers) == worker);
            REQUIRE(sent[one]-- > 0);
            ++got[worker];
            ++total;
          }
        }
      }
      CHECK(total == rounds * each);
      for (unsigned worker = 1; worker < workers; ++worker) CHECK(got[worker] > rounds);
      CHECK(got[0] > got[1]);
    }
  }
}

TEST_CASE("each address of several is steered for itself") {
  Sets sets = listen_on({parse_address("127.0.0.1"), parse_address("127.0.0.2")}, 2);
  for (std::size_t at = 0; at < 2; ++at) {
    CHECK(sets[1][at].id == sets[0][at].id);
    CHECK(sets[1][at].socket.bound() == sets[0][at].socket.bound());
    Sender sender(sets[0][at].socket.bound(), 10);
    Datagram data(40, 4);
    for (std::size_t i = 0; i < 100; ++i) {
      data[2] = static_cast<std::uint8_t>(i);
      sender.send(data, i);
    }
    CHECK(received(sets[0][at].socket).size() == 50);
    CHECK(received(sets[1][at].socket).size() == 50);
  }
}

TEST_CASE("datagrams that came as one are steered by the first, so workers must look themselves") {
  Sets sets = listen_on({parse_address("127.0.0.1")}, 2);
  if (!sets[0][0].socket.gro() || !sets[0][0].socket.gso()) {
    WARN("skipped: this kernel joins or cuts no datagrams");
    return;
  }
  Sender sender(sets[0][0].socket.bound(), 1);
  Datagram joined(4 * 40, 0);
  for (std::size_t i = 0; i < 4; ++i) joined[40 * i] = 4, joined[40 * i + 2] = i == 0 ? 1 : 0;
  sender.send(joined, 0, 40);
  const std::vector<Datagram> strays = received(sets[1][0].socket);
  CHECK(strays.size() == 4);
  CHECK(received(sets[0][0].socket).empty());
}

TEST_CASE("a port that another has is refused, for one worker and for several") {
  const auto expect_refused = [](const Address& taken, unsigned workers) {
    INFO(workers << " workers");
    std::vector<std::string> warnings;
    const auto sets = open_listeners({taken}, 1 << 20, workers, warnings);
    REQUIRE_FALSE(sets.ok());
    CHECK(sets.error().message.find("another program (or another mwtun) has this port") !=
          std::string::npos);
  };
  // Of one who shares it with nobody, and of one like us, who does.
  for (const unsigned theirs : {1u, 2u}) {
    const Sets first = listen_on({parse_address("127.0.0.1")}, theirs);
    expect_refused(first[0][0].socket.bound(), 1);
    expect_refused(first[0][0].socket.bound(), 2);
  }
  // A port of our own that is in the way is as bad.
  std::vector<std::string> warnings;
  Address any = parse_address("0.0.0.0");
  const Sets first = listen_on({any}, 2);
  any.port = first[0][0].socket.bound().port;
  Address loopback = parse_address("127.0.0.1");
  loopback.port = any.port;
  CHECK_FALSE(open_listeners({loopback}, 1 << 20, 2, warnings).ok());
}

TEST_CASE("where several cannot share a port there is one worker, and nobody can join him") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  // Room for one socket and no second.
  const auto room = static_cast<rlim_t>(Fd(dup(0)).get() + 1);
  const rlimit tight{room, before.rlim_max};
  std::vector<std::string> warnings;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
  auto sets = open_listeners({parse_address("127.0.0.1")}, 1 << 16, 2, warnings);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(sets.ok());
  REQUIRE(sets.value().size() == 1);
  REQUIRE_FALSE(warnings.empty());
  CHECK(warnings.back().find("one worker does all") != std::string::npos);
  UdpSocketOptions intruder;
  intruder.bind = sets.value()[0][0].socket.bound();
  intruder.join_port = true;
  CHECK_FALSE(UdpSocket::open(intruder).ok());
}

TEST_CASE("steering where there is nothing to steer is refused with a reason") {
  UdpSocketOptions options;
  options.bind = parse_address("127.0.0.1");
  auto alone = UdpSocket::open(options);
  REQUIRE(alone.ok());
  const Result<void> steered = attach_steering(alone.value().fd(), 2);
  REQUIRE_FALSE(steered.ok());
  CHECK(steered.error().message.find("cannot steer datagrams to workers") != std::string::npos);
}

TEST_CASE("a client's workers need no listeners") {
  const Sets sets = listen_on({}, 3);
  CHECK(sets.size() == 3);
  for (const auto& set : sets) CHECK(set.empty());
}
