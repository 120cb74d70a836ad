#include "dataplane/io/udp_socket.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

namespace {

UdpSocket open_at(const char* where, bool server = false) {
  UdpSocketOptions options;
  options.bind = parse_address(where);
  options.server = server;
  auto socket = UdpSocket::open(options);
  if (!socket.ok()) FAIL(socket.error().message);
  return socket.take();
}

Bytes text(std::string_view value) {
  return {reinterpret_cast<const std::uint8_t*>(value.data()), value.size()};
}

SendOutcome send_all(UdpSocket& socket, const std::vector<SendItem>& items,
                     std::vector<SendFailure>* failed = nullptr) {
  std::array<SendFailure, send_batch_max> failures;
  const SendOutcome outcome = socket.send(items, failures);
  if (failed != nullptr) failed->assign(failures.begin(), failures.begin() + outcome.failures);
  return outcome;
}

/// One receive call, once something is there.
std::vector<std::string> receive_all(UdpSocket& socket, ReceiveBatch& batch) {
  std::vector<std::string> got;
  if (!readable(socket.fd())) return got;
  while (socket.receive(batch) == UdpSocket::Receive::some) {
    for (const ReceivedDatagram& datagram : batch.datagrams()) {
      got.emplace_back(datagram.bytes.begin(), datagram.bytes.end());
    }
  }
  return got;
}

}  // namespace

TEST_CASE("a batch arrives whole and in order, empty datagrams too") {
  UdpSocket receiver = open_at("127.0.0.1");
  UdpSocket sender = open_at("127.0.0.1");
  std::vector<std::string> sent;
  for (int i = 0; i < 64; ++i) {
    sent.push_back(i % 7 == 3 ? "" : std::string(static_cast<std::size_t>(i) * 20, 'a'));
  }
  std::vector<SendItem> items;
  for (const std::string& one : sent) items.push_back({{}, receiver.bound(), text(one)});
  CHECK(send_all(sender, items).failures == 0);

  ReceiveBatch batch;
  CHECK(receive_all(receiver, batch) == sent);
  CHECK(receiver.counters().datagrams_in == 64);
  CHECK(receiver.counters().receive_calls <= 64 / receive_batch_max + 1);
  CHECK(sender.counters().datagrams_out == 64);
  CHECK(sender.counters().send_calls == 1);
}

TEST_CASE("datagrams of one size leave and come as one, and are the same datagrams") {
  const char* host = GENERATE("127.0.0.1", "::1");
  UdpSocket receiver = open_at(host);
  UdpSocket sender = open_at(host);
  if (!sender.gso() || !receiver.gro()) {
    WARN("this kernel has no UDP GSO or GRO: not tested");
    return;
  }
  // Runs of one size, each ended by a shorter one or by a longer, and one on its own.
  std::vector<std::string> sent;
  for (const std::size_t size : {700u, 700u, 700u, 20u, 1400u, 1400u, 1400u, 1401u, 1401u, 9u}) {
    sent.emplace_back(size, static_cast<char>('a' + sent.size()));
  }
  std::vector<SendItem> items;
  for (const std::string& one : sent) items.push_back({{}, receiver.bound(), text(one)});
  CHECK(send_all(sender, items).failures == 0);
  ReceiveBatch batch;
  CHECK(receive_all(receiver, batch) == sent);
  CHECK(sender.counters().datagrams_out == sent.size());
  CHECK(sender.counters().datagrams_cut == sent.size());
  CHECK(receiver.counters().datagrams_in == sent.size());
  CHECK(receiver.counters().datagrams_joined == sent.size());
  CHECK(receiver.counters().bytes_in == sender.counters().bytes_out);
}

TEST_CASE("a full batch to one address is two messages") {
  UdpSocket receiver = open_at("127.0.0.1");
  UdpSocket sender = open_at("127.0.0.1");
  const std::string full(1472, 'f');
  CHECK(send_all(sender, std::vector<SendItem>(64, {{}, receiver.bound(), text(full)})).failures ==
        0);
  ReceiveBatch batch;
  CHECK(receive_all(receiver, batch) == std::vector<std::string>(64, full));
  CHECK(sender.counters().send_calls == 1);
  if (sender.gso()) CHECK(sender.counters().datagrams_cut == 64);
  if (sender.gso() && receiver.gro()) CHECK(receiver.counters().receive_calls <= 3);
}

TEST_CASE("datagrams to different addresses are not mixed up by GSO") {
  UdpSocket first = open_at("127.0.0.1");
  UdpSocket second = open_at("127.0.0.1");
  UdpSocket sender = open_at("127.0.0.1");
  const std::string a(500, 'a'), b(500, 'b');
  std::vector<SendItem> items;
  for (int i = 0; i < 9; ++i) {
    items.push_back({{}, i % 3 == 0 ? second.bound() : first.bound(), text(i % 3 == 0 ? b : a)});
  }
  CHECK(send_all(sender, items).failures == 0);
  ReceiveBatch batch;
  CHECK(receive_all(first, batch) == std::vector<std::string>(6, a));
  CHECK(receive_all(second, batch) == std::vector<std::string>(3, b));
}

TEST_CASE("what a device does not cut is sent piece by piece from then on") {
  in_namespace([] {
    Lab lab;
    UdpSocket receiver = open_at("127.0.0.1");
    UdpSocket sender = open_at("127.0.0.1");
    if (!sender.gso()) {
      WARN("this kernel has no UDP GSO: not tested");
      return;
    }
    // Without checksums (SO_NO_CHECK) the kernel refuses to cut.
    const int on = 1;
    REQUIRE(setsockopt(sender.fd(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on) == 0);
    const std::string full(1000, 'f');
    const std::vector<SendItem> items(20, {{}, receiver.bound(), text(full)});
    ReceiveBatch batch;
    CHECK(send_all(sender, items).failures == 0);
    CHECK(receive_all(receiver, batch) == std::vector<std::string>(20, full));
    CHECK(sender.counters().gso_refused == 1);
    CHECK_FALSE(sender.gso());
    CHECK(send_all(sender, items).failures == 0);
    CHECK(receive_all(receiver, batch) == std::vector<std::string>(20, full));
    CHECK(sender.counters().gso_refused == 1);
    CHECK(sender.counters().datagrams_out == 40);
    CHECK(sender.counters().datagrams_cut == 0);
  });
}

TEST_CASE("a size over the MTU is no reason to give GSO up") {
  in_namespace([] {
    Lab lab;
    lab.set_mtu("lo", 1500);
    UdpSocket receiver = open_at("127.0.0.1");
    UdpSocket sender = open_at("127.0.0.1");
    if (!sender.gso()) {
      WARN("this kernel has no UDP GSO: not tested");
      return;
    }
    const std::string over(1473, 'o'), full(1472, 'f');
    std::vector<SendFailure> failed;
    send_all(sender, std::vector<SendItem>(3, {{}, receiver.bound(), text(over)}), &failed);
    REQUIRE(failed.size() == 3);
    for (const SendFailure& failure : failed) CHECK(failure.error == SendError::too_big);
    CHECK(sender.gso());
    CHECK(send_all(sender, std::vector<SendItem>(3, {{}, receiver.bound(), text(full)})).failures ==
          0);
    ReceiveBatch batch;
    CHECK(receive_all(receiver, batch) == std::vector<std::string>(3, full));
  });
}

TEST_CASE("each datagram tells where it came from and when") {
  UdpSocket receiver = open_at("127.0.0.1");
  UdpSocket sender = open_at("127.0.0.3");
  const std::uint64_t before = wall_clock_ns();
  send_all(sender, {{{}, receiver.bound(), text("x")}});
  ReceiveBatch batch;
  REQUIRE(receive_all(receiver, batch).empty() == false);
  // The batch keeps its place in memory until the next receive, which found nothing.
  send_all(sender, {{{}, receiver.bound(), text("y")}});
  REQUIRE(readable(receiver.fd()));
  REQUIRE(receiver.receive(batch) == UdpSocket::Receive::some);
  const ReceivedDatagram& datagram = batch.datagrams()[0];
  CHECK(datagram.remote == sender.bound());
  CHECK(datagram.local == receiver.bound());
  CHECK(datagram.kernel_ns >= before);
  CHECK(datagram.kernel_ns <= wall_clock_ns());
  CHECK_FALSE(datagram.truncated);
}

TEST_CASE("a server answers from the address it was asked at") {
  const auto [any, asked] = GENERATE(table<const char*, const char*>(
      {{"0.0.0.0", "127.0.0.2"}, {"0.0.0.0", "127.0.0.9"}, {"::", "::1"}}));
  const Address target = parse_address(asked);
  UdpSocket server = open_at(any, true);
  UdpSocket client = open_at(target.family == Family::v4 ? "127.0.0.1" : "::1");
  send_all(client, {{{}, target.with_port(server.bound().port), text("question")}});
  ReceiveBatch batch;
  REQUIRE(readable(server.fd()));
  REQUIRE(server.receive(batch) == UdpSocket::Receive::some);
  const ReceivedDatagram question = batch.datagrams()[0];
  CHECK(question.local == target.with_port(server.bound().port));

  send_all(server, {{question.local, question.remote, text("answer")}});
  REQUIRE(readable(client.fd()));
  REQUIRE(client.receive(batch) == UdpSocket::Receive::some);
  CHECK(batch.datagrams()[0].remote == question.local);
}

TEST_CASE("a refused datagram is named and the others go on") {
  UdpSocket receiver = open_at("127.0.0.1");
  UdpSocket sender = open_at("127.0.0.1");
  const Address broadcast = parse_address("255.255.255.255:9");
  const Address elsewhere = parse_address("192.0.2.1:9");  // Not from a loopback address.
  std::vector<SendFailure> failed;
  const SendOutcome outcome = send_all(sender,
                                       {{{}, receiver.bound(), text("one")},
                                        {{}, broadcast, text("two")},
                                        {{}, receiver.bound(), text("three")},
                                        {{}, elsewhere, text("four")},
                                        {{}, receiver.bound(), text("five")}},
                                       &failed);
  REQUIRE(outcome.failures == 2);
  CHECK(failed[0].index == 1);
  CHECK(failed[0].error == SendError::forbidden);
  CHECK(failed[1].index == 3);
  CHECK(failed[1].error == SendError::unreachable);
  CHECK_FALSE(outcome.buffer_full);
  ReceiveBatch batch;
  CHECK(receive_all(receiver, batch) == std::vector<std::string>{"one", "three", "five"});
  CHECK(sender.counters().send_failed == 2);
  CHECK(sender.counters().datagrams_out == 3);
}

TEST_CASE("an ICMP error is told, and costs no datagram") {
  UdpSocket receiver = open_at("127.0.0.1");
  UdpSocket sender = open_at("127.0.0.1");
  Address closed;
  {
    UdpSocket gone = open_at("127.0.0.1");
    closed = gone.bound();
  }
  send_all(sender, {{{}, closed, text("to nobody")}});
  // The error waits on the socket now and would be blamed on the next datagram.
  std::vector<SendFailure> failed;
  send_all(sender, {{{}, receiver.bound(), text("to somebody")}}, &failed);
  CHECK(failed.empty());
  ReceiveBatch batch;
  CHECK(receive_all(receiver, batch) == std::vector<std::string>{"to somebody"});
  CHECK(sender.icmp_error_waiting());
  const auto error = sender.take_icmp_error();
  REQUIRE(error.has_value());
  CHECK(error->error == SendError::refused);
  CHECK(error->remote == closed);
  CHECK(error->reporter == parse_address("127.0.0.1"));
  CHECK_FALSE(sender.take_icmp_error().has_value());
  CHECK_FALSE(readable(sender.fd(), milliseconds(0)));
}

TEST_CASE("a server does not listen to ICMP errors") {
  UdpSocket server = open_at("127.0.0.1", true);
  Address closed;
  {
    UdpSocket gone = open_at("127.0.0.1");
    closed = gone.bound();
  }
  for (int i = 0; i < 3; ++i) {
    std::vector<SendFailure> failed;
    send_all(server, {{{}, closed, text("x")}}, &failed);
    CHECK(failed.empty());
  }
  CHECK_FALSE(server.take_icmp_error().has_value());
}

TEST_CASE("a datagram longer than any of ours is marked as cut") {
  UdpSocket receiver = open_at("127.0.0.1");
  UdpSocket sender = open_at("127.0.0.1");
  const std::string fits(datagram_bytes_max, 'a');
  const std::string over(datagram_bytes_max + 1, 'b');
  send_all(sender, {{{}, receiver.bound(), text(fits)}, {{}, receiver.bound(), text(over)}});
  ReceiveBatch batch;
  REQUIRE(readable(receiver.fd()));
  REQUIRE(receiver.receive(batch) == UdpSocket::Receive::some);
  REQUIRE(batch.datagrams().size() == 2);
  CHECK_FALSE(batch.datagrams()[0].truncated);
  CHECK(batch.datagrams()[0].bytes.size() == datagram_bytes_max);
  CHECK(batch.datagrams()[1].truncated);
  CHECK(receiver.counters().truncated == 1);
}

TEST_CASE("each refusal of the kernel has its meaning") {
  const std::vector<std::pair<int, SendError>> meanings = {
      {EAGAIN, SendError::would_block},        {ENOBUFS, SendError::would_block},
      {ENETUNREACH, SendError::unreachable},   {EHOSTUNREACH, SendError::unreachable},
      {ENETDOWN, SendError::unreachable},      {ENODEV, SendError::unreachable},
      {EADDRNOTAVAIL, SendError::unreachable}, {EINVAL, SendError::unreachable},
      {EPERM, SendError::forbidden},           {EACCES, SendError::forbidden},
      {EMSGSIZE, SendError::too_big},          {ECONNREFUSED, SendError::refused}};
  for (const auto& [os_error, meaning] : meanings) {
    INFO(os_error);
    CHECK(to_send_error(os_error) == meaning);
  }
}

TEST_CASE("errors on opening say how to mend them") {
  UdpSocket first = open_at("127.0.0.1");
  UdpSocketOptions options;
  options.bind = first.bound();
  const auto taken = UdpSocket::open(options);
  REQUIRE_FALSE(taken.ok());
  CHECK_THAT(taken.error().message, Catch::Contains(to_string(first.bound())) &&
                                        Catch::Contains("Address already in use") &&
                                        Catch::Contains("ss -ulnp"));
  CHECK(taken.error().exit_code == 71);

  options.bind = parse_address("203.0.113.77");
  const auto absent = UdpSocket::open(options);
  REQUIRE_FALSE(absent.ok());
  CHECK_THAT(absent.error().message, Catch::Contains("no interface has this address"));

  options.bind = parse_address("127.0.0.1");
  options.device = "nosuch0";
  const auto device = UdpSocket::open(options);
  REQUIRE_FALSE(device.ok());
  CHECK_THAT(device.error().message, Catch::Contains("nosuch0"));
}

TEST_CASE("a server waits for a port that its predecessor's end still holds") {
  std::optional<UdpSocket> before(open_at("127.0.0.1"));
  const Address where = before->bound();
  std::thread end([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    before.reset();
  });
  UdpSocketOptions options;
  options.bind = where;
  options.server = true;
  auto socket = UdpSocket::open(options);
  end.join();
  REQUIRE(socket.ok());
  CHECK(socket.value().bound() == where);
}

TEST_CASE("buffers are as large as the kernel says") {
  UdpSocketOptions options;
  options.bind = parse_address("127.0.0.1");
  options.receive_buffer_bytes = 100'000;
  options.send_buffer_bytes = 50'000;
  auto socket = UdpSocket::open(options);
  REQUIRE(socket.ok());
  CHECK(socket.value().receive_buffer_bytes() == 100'000);
  CHECK(socket.value().send_buffer_bytes() == 50'000);
}

TEST_CASE("what overruns the receive buffer is counted") {
  UdpSocketOptions options;
  options.bind = parse_address("127.0.0.1");
  options.receive_buffer_bytes = 4096;
  auto opened = UdpSocket::open(options);
  REQUIRE(opened.ok());
  UdpSocket receiver = opened.take();
  UdpSocket sender = open_at("127.0.0.1");
  const std::string big(1400, 'a');
  CHECK(receiver.receive_overruns() == 0);
  send_all(sender, std::vector<SendItem>(64, {{}, receiver.bound(), text(big)}));
  // What came as one counts once.
  CHECK(receiver.receive_overruns() >= (receiver.gro() && sender.gso() ? 1 : 40));
}

TEST_CASE("a datagram over the interface's MTU is too big, not cut in pieces") {
  in_namespace([] {
    Lab lab;
    lab.set_mtu("lo", 1500);
    for (const char* host : {"127.0.0.1", "::1"}) {
      UdpSocket receiver = open_at(host);
      UdpSocket sender = open_at(host);
      const std::size_t fits = 1500 - receiver.bound().header_bytes();
      const std::string right(fits, 'a');
      const std::string over(fits + 1, 'b');
      std::vector<SendFailure> failed;
      send_all(sender, {{{}, receiver.bound(), text(over)}, {{}, receiver.bound(), text(right)}},
               &failed);
      REQUIRE(failed.size() == 1);
      CHECK(failed[0].index == 0);
      CHECK(failed[0].error == SendError::too_big);
      ReceiveBatch batch;
      CHECK(receive_all(receiver, batch) == std::vector<std::string>{right});
    }
  });
}
