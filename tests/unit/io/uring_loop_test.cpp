#include "dataplane/io/uring_open.hpp"

#include <sys/syscall.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <thread>

#include "dataplane/io/kernel_version.hpp"
#include "loop_rig.hpp"
#include "support.hpp"

using namespace mwtun;
using namespace mwtun::testing;

// What is special to the loop on io_uring; the rest is in event_loop_test.cpp.

namespace {

bool have_uring() {
  const std::vector<LoopKind> loops = loops_here();
  return std::find(loops.begin(), loops.end(), LoopKind::io_uring) != loops.end();
}

}  // namespace

TEST_CASE("where io_uring is refused the loop is epoll, and the reason is told") {
  if (!have_uring()) return;
  struct Refusal {
    unsigned call;
    int second_argument;
    int error;
    const char* told;
  };
  const auto refusal = GENERATE(
      Refusal{SYS_io_uring_setup, -1, ENOSYS, "built without"},
      Refusal{SYS_io_uring_setup, -1, EPERM, "kernel.io_uring_disabled"},
      Refusal{SYS_io_uring_setup, -1, EINVAL, "Linux 6.0 is needed"},  // Unknown flags.
      Refusal{SYS_io_uring_setup, -1, ENOMEM, "locked memory"},
      Refusal{SYS_io_uring_register, 22, EINVAL, "ring of buffers"});  // IORING_REGISTER_PBUF_RING.
  bool filtered = false;
  std::string name, why_not;
  std::thread([&] {
    filtered = forbid(refusal.call, refusal.second_argument, refusal.error);
    SlabPool slabs(2048, 4);
    auto opened = open_event_loop(LoopKind::io_uring, slabs);
    if (!opened.ok()) return;
    name = opened.value().loop->report().name;
    why_not = opened.value().why_not;
  }).join();
  if (!filtered) {
    WARN("skipped: needs seccomp filters");
    return;
  }
  CHECK(name == "epoll");
  CHECK_THAT(why_not, Catch::Contains(refusal.told));
}

TEST_CASE("the program's own choice is io_uring from Linux 6.18 on, epoll before, without a word") {
  SlabPool slabs(2048, 4);
  auto opened = open_event_loop(LoopKind::automatic, slabs);
  REQUIRE(opened.ok());
  const bool newer = kernel_version() >= 6'018'000;
  CHECK(std::string(opened.value().loop->report().name) ==
        (newer && have_uring() ? "io_uring" : "epoll"));
  CHECK(opened.value().why_not.empty() == (have_uring() || !newer));
}

TEST_CASE("more datagrams than there are buffers come whole and in order, again and again") {
  if (!have_uring()) return;
  Rig rig(LoopKind::io_uring);
  // The ring knows the descriptors of sockets with low numbers only.
  const unsigned sender = GENERATE(0u, 299u);
  rig.add_socket(sender, "127.0.0.1");
  const Address target = rig.add_socket(sender + 1, "127.0.0.1");
  std::size_t sent = 0;
  for (int round = 0; round < 3; ++round) {
    // Of different sizes, so that none are joined.
    for (std::size_t i = 0; i < 200; ++i, ++sent) {
      const std::string bytes = std::to_string(sent) + std::string(1 + i % 7, '.');
      if (rig.queue(sender, target, bytes)) continue;
      rig.loop->flush(rig.seen);
      rig.queue(sender, target, bytes);
    }
    rig.loop->flush(rig.seen);
    REQUIRE(rig.run_until([&] { return rig.seen.datagrams.size() >= sent; }));
  }
  for (std::size_t i = 0; i < sent; ++i) {
    CHECK(std::stoul(rig.seen.datagrams[i].bytes) == i);
  }
  CHECK(rig.loop->report().sockets[1].counters.receive_errors == 0);
  // All buffers are there again, and the loop rests.
  CHECK(rig.rests(milliseconds(2)));
}

TEST_CASE("a socket that is taken out while the kernel receives for it is gone at once") {
  if (!have_uring()) return;
  Rig rig(LoopKind::io_uring);
  rig.add_socket(0, "127.0.0.1");
  const Address other = rig.add_socket(2, "127.0.0.1");
  for (int round = 0; round < 20; ++round) {
    const Address target = rig.add_socket(1, "127.0.0.1");
    rig.loop->run(monotonic_now(), rig.seen);
    for (int i = 0; i < 40; ++i) rig.queue(0, target, std::string(1000, 'x'));
    rig.loop->flush(rig.seen);
    // Some of it has been handed over, some is in buffers, and the rest in the socket.
    if (round % 2 == 0) rig.loop->run(monotonic_now() + seconds(1), rig.seen);
    rig.loop->remove_socket(SocketId{1});
    rig.seen.datagrams.clear();
    // Its port is free.
    UdpSocketOptions options;
    options.bind = target;
    auto again = UdpSocket::open(options);
    if (!again.ok()) FAIL(again.error().message);
    rig.queue(0, other, "y");
    rig.loop->flush(rig.seen);
    REQUIRE(rig.run_until([&] { return !rig.seen.datagrams.empty(); }));
    CHECK(rig.seen.datagrams.size() == 1);
    CHECK(rig.seen.datagrams[0].path.socket == SocketId{2});
  }
}

TEST_CASE("one thread makes and fills the loop, another uses it, the first ends it") {
  if (!have_uring()) return;
  const bool leaves = GENERATE(true, false);
  auto rig = std::make_unique<Rig>(LoopKind::io_uring);
  rig->add_socket(0, "127.0.0.1");
  const Address replaced = rig->add_socket(1, "127.0.0.1");
  const Address target = rig->add_socket(1, "127.0.0.1");
  CHECK(replaced != target);
  bool arrived = false;
  std::thread([&] {
    rig->queue(0, target, "x");
    rig->loop->flush(rig->seen);
    arrived = rig->run_until([&] { return !rig->seen.datagrams.empty(); });
    if (leaves) rig->loop->leave();
  }).join();
  CHECK(arrived);
  // Requests of that thread ended with it: nothing is written to the buffers any more.
  CHECK(rig->loop->report().sockets.size() == 2);
  rig.reset();
  if (!leaves) return;
  UdpSocketOptions options;
  options.bind = target;
  CHECK(UdpSocket::open(options).ok());
}

TEST_CASE("where the kernel takes no more requests datagrams still go, and nothing hangs") {
  if (!have_uring()) return;
  const bool used_before = GENERATE(false, true);
  in_namespace([used_before] {
    Rig rig(LoopKind::io_uring);
    rig.add_socket(0, "127.0.0.1");
    if (used_before) rig.loop->run(monotonic_now(), rig.seen);
    if (!forbid(SYS_io_uring_enter, -1, EAGAIN)) {
      WARN("skipped: needs seccomp filters");
      return;
    }
    UdpSocketOptions options;
    options.bind = parse_address("127.0.0.1");
    auto opened = UdpSocket::open(options);
    REQUIRE(opened.ok());
    UdpSocket receiver = opened.take();
    std::vector<std::size_t> sizes;
    const auto exchange = [&] {
      sizes.clear();
      for (std::size_t i = 1; i <= 40; ++i) {
        rig.queue(0, receiver.bound(), std::string(i, 'x'));
      }
      rig.loop->flush(rig.seen);
      ReceiveBatch batch;
      while (receiver.receive(batch) == UdpSocket::Receive::some) {
        for (const auto& datagram : batch.datagrams()) sizes.push_back(datagram.bytes.size());
      }
      return sizes.size() == 40 && std::is_sorted(sizes.begin(), sizes.end());
    };
    const Instant began = monotonic_now();
    CHECK(exchange());
    // More requests than the ring has room for.
    for (unsigned i = 1; i < 300; ++i) rig.add_socket(i, "127.0.0.1");
    rig.loop->run(monotonic_now(), rig.seen);
    CHECK(exchange());
    CHECK(rig.seen.send_errors.empty());
    for (unsigned i = 0; i < 300; ++i) rig.loop->remove_socket(SocketId(i));
    CHECK(monotonic_now() - began < seconds(5));
  });
}

TEST_CASE("a loop that was never used ends cleanly") {
  if (!have_uring()) return;
  Rig rig(LoopKind::io_uring);
  rig.add_socket(0, "127.0.0.1");
  rig.add_socket(0, "127.0.0.1");
  rig.loop->remove_socket(SocketId{0});
}
