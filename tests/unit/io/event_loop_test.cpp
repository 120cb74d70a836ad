#include <netinet/udp.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include "dataplane/io/epoll_loop.hpp"
#include "dataplane/io/mailbox.hpp"
#include "dataplane/io/socket_address.hpp"
#include "dataplane/super_frame.hpp"
#include "loop_rig.hpp"
#include "support.hpp"

// Each case runs on every loop of this kernel.

using namespace mwtun;
using namespace mwtun::testing;

TEST_CASE("datagrams of several sockets leave by theirs, in order") {
  Rig rig;
  const Address first = rig.add_socket(0, "127.0.0.1");
  const Address second = rig.add_socket(5, "127.0.0.2");
  const Address target = rig.add_socket(9, "127.0.0.1");
  for (int i = 0; i < 40; ++i) {
    REQUIRE(rig.queue(i % 3 == 0 ? 5 : 0, target, std::to_string(i)));
  }
  rig.loop->flush(rig.seen);
  REQUIRE(rig.run_until([&] { return rig.seen.datagrams.size() >= 40; }));
  CHECK(rig.seen.send_errors.empty());
  std::map<Address, int> last;
  for (const auto& datagram : rig.seen.datagrams) {
    const int number = std::stoi(datagram.bytes);
    CHECK(datagram.path.socket == SocketId{9});
    CHECK(datagram.path.local == target);
    CHECK(datagram.path.remote == (number % 3 == 0 ? second : first));
    CHECK(datagram.received <= datagram.now);
    CHECK(datagram.now - datagram.received < seconds(1));
    const auto [place, fresh] = last.try_emplace(datagram.path.remote, number);
    if (!fresh) CHECK(number > std::exchange(place->second, number));
  }
}

TEST_CASE("one batch holds as many datagrams as one system call takes") {
  Rig rig;
  rig.add_socket(0, "127.0.0.1");
  const Address target = rig.add_socket(1, "127.0.0.1");
  std::size_t fit = 0;
  const std::string full(1472, 'f');
  while (rig.queue(0, target, full)) ++fit;
  CHECK(fit == send_batch_max);
  CHECK(rig.loop->send_room().empty());
  rig.loop->flush(rig.seen);
  CHECK_FALSE(rig.loop->send_room().empty());
  REQUIRE(rig.run_until([&] { return rig.seen.datagrams.size() >= fit; }));
  CHECK(rig.loop->report().sockets[0].counters.send_calls == 1);
}

TEST_CASE("the largest datagrams fit, fewer at once") {
  Rig rig;
  rig.add_socket(0, "127.0.0.1");
  const Address target = rig.add_socket(1, "127.0.0.1");
  const std::string jumbo(datagram_bytes_max, 'j');
  std::size_t sent = 0;
  for (; sent < 30; ++sent) {
    if (rig.queue(0, target, jumbo)) continue;
    rig.loop->flush(rig.seen);
    REQUIRE(rig.queue(0, target, jumbo));
  }
  rig.loop->flush(rig.seen);
  REQUIRE(rig.run_until([&] { return rig.seen.datagrams.size() >= sent; }));
  for (const auto& datagram : rig.seen.datagrams) CHECK(datagram.bytes == jumbo);
}

TEST_CASE("a refused datagram comes back with its tag, the rest goes") {
  Rig rig;
  rig.add_socket(0, "127.0.0.1");
  const Address target = rig.add_socket(1, "127.0.0.1");
  rig.queue(0, target, "a", 100);
  rig.queue(0, parse_address("255.255.255.255:9"), "b", 101);
  rig.queue(7, target, "no such socket", 102);
  rig.queue(0, target, "c", 103);
  rig.loop->flush(rig.seen);
  CHECK(rig.seen.send_errors == std::vector<std::pair<std::uint64_t, SendError>>{
                                    {101, SendError::forbidden}, {102, SendError::unreachable}});
  REQUIRE(rig.run_until([&] { return rig.seen.datagrams.size() >= 2; }));
}

TEST_CASE("what stands behind a datagram that is refused at first does not overtake it") {
  Rig rig;
  rig.add_socket(0, "127.0.0.1");
  const Address target = rig.add_socket(1, "127.0.0.1");
  const Address closed = rig.add_socket(2, "127.0.0.1");
  rig.loop->remove_socket(SocketId{2});
  rig.queue(0, closed, "x");
  rig.loop->flush(rig.seen);  // The ICMP error that comes back is told to the next datagram.
  for (std::size_t i = 1; i <= 40; ++i) REQUIRE(rig.queue(0, target, std::string(i, 'x')));
  rig.loop->flush(rig.seen);
  REQUIRE(rig.run_until([&] { return rig.seen.datagrams.size() >= 40; }));
  for (std::size_t i = 0; i < 40; ++i) CHECK(rig.seen.datagrams[i].bytes.size() == i + 1);
  CHECK(rig.seen.send_errors.empty());
}

TEST_CASE("one run hands over a bounded amount, and the rest comes next time") {
  Rig rig;
  rig.add_socket(0, "127.0.0.1");
  const Address target = rig.add_socket(1, "127.0.0.1");
  const std::size_t bound = EpollLoop::datagrams_per_run, all = bound + 10;
  for (std::size_t i = 0; i < all; ++i) {
    if (rig.queue(0, target, "")) continue;  // Empty ones count like any other.
    rig.loop->flush(rig.seen);
    rig.queue(0, target, "");
  }
  rig.loop->flush(rig.seen);
  for (std::size_t had = 0, runs = 0; had < all; had = rig.seen.datagrams.size(), ++runs) {
    REQUIRE(runs < all);
    rig.loop->run(monotonic_now() + seconds(2), rig.seen);
    CHECK(rig.seen.datagrams.size() > had);
    CHECK(rig.seen.datagrams.size() <= had + bound);
  }
}

TEST_CASE("empty datagrams hold up nothing that stands behind them") {
  Rig rig;
  rig.add_socket(0, "127.0.0.1");
  const Address target = rig.add_socket(1, "127.0.0.1");
  rig.loop->run(monotonic_now(), rig.seen);
  std::vector<std::string> sent;
  for (std::size_t i = 0; i < 60; ++i) {
    sent.push_back(i % 3 == 0 ? std::to_string(i) : "");
    REQUIRE(rig.queue(0, target, sent.back()));
  }
  rig.loop->flush(rig.seen);
  for (int runs = 0; runs < 3 && rig.seen.datagrams.size() < sent.size(); ++runs) {
    rig.loop->run(monotonic_now() + seconds(2), rig.seen);
  }
  REQUIRE(rig.seen.datagrams.size() == sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) CHECK(rig.seen.datagrams[i].bytes == sent[i]);
  CHECK(rig.rests(milliseconds(2)));
}

TEST_CASE("a socket that is flooded lets the others have their turn") {
  Rig rig;
  const Address flooded = rig.add_socket(1, "127.0.0.1");
  const Address other = rig.add_socket(2, "127.0.0.1");
  rig.add_socket(0, "127.0.0.1");
  for (int i = 0; i < 500; ++i) {
    if (rig.queue(0, flooded, "")) continue;
    rig.loop->flush(rig.seen);
    rig.queue(0, flooded, "");
  }
  rig.queue(0, other, "here");
  rig.loop->flush(rig.seen);
  const auto heard = [&] {
    return std::any_of(rig.seen.datagrams.begin(), rig.seen.datagrams.end(),
                       [](const auto& datagram) { return datagram.bytes == "here"; });
  };
  for (int runs = 0; runs < 3 && !heard(); ++runs) {
    rig.loop->run(monotonic_now() + seconds(2), rig.seen);
  }
  CHECK(heard());
}

namespace {

void check_deadlines(Rig& rig) {
  rig.add_socket(0, "127.0.0.1");
  for (const Duration wait : {Duration(microseconds(300)), Duration(milliseconds(5))}) {
    CHECK(rig.rests(wait));
  }
  const Instant past = monotonic_now() - seconds(1);
  CHECK(rig.loop->run(past, rig.seen) > past);
  // A timer that has gone off does not wake the next wait.
  const Address target = rig.add_socket(1, "127.0.0.1");
  rig.queue(0, target, "x");
  rig.loop->flush(rig.seen);
  rig.loop->run(never, rig.seen);
  CHECK(rig.seen.datagrams.size() == 1);
}

}  // namespace

TEST_CASE("run ends at its deadline, not before and not in circles") {
  Rig rig;
  check_deadlines(rig);
}

TEST_CASE("so it does with epoll's timer of old kernels") {
  Rig rig(LoopKind::epoll);
  auto opened = EpollLoop::open(rig.slabs, EpollLoop::Timer::timerfd);
  REQUIRE(opened.ok());
  rig.loop = opened.take();
  check_deadlines(rig);
}

TEST_CASE("a message from another thread ends the wait") {
  Rig rig;
  Mailbox<int> box;
  rig.loop->watch(box.fd());
  std::thread poster([&] { box.post(1); });
  // The kernel may end a wait of io_uring for nothing, on a busy machine.
  const Instant limit = monotonic_now() + seconds(5);
  while (rig.seen.watched == 0 && monotonic_now() < limit) rig.loop->run(limit, rig.seen);
  poster.join();
  CHECK(rig.seen.watched == 1);
  CHECK(monotonic_now() < limit);
}

TEST_CASE("an ICMP error wakes the loop once and is told") {
  Rig rig;
  rig.add_socket(0, "127.0.0.1");
  const Address closed = rig.add_socket(1, "127.0.0.1");
  rig.loop->remove_socket(SocketId{1});
  rig.queue(0, closed, "x");
  rig.loop->flush(rig.seen);
  REQUIRE(rig.run_until([&] { return !rig.seen.icmp_errors.empty(); }));
  CHECK(rig.seen.icmp_errors[0].error == SendError::refused);
  CHECK(rig.seen.icmp_errors[0].remote == closed);
  CHECK(rig.rests(milliseconds(2)));
}

TEST_CASE("a socket takes the place of another of the same number") {
  Rig rig;
  const Address before = rig.add_socket(3, "127.0.0.1");
  const Address after = rig.add_socket(3, "127.0.0.1");
  rig.add_socket(0, "127.0.0.1");
  CHECK(rig.loop->report().sockets.size() == 2);
  rig.queue(0, before, "to nobody");
  rig.queue(0, after, "to the new one");
  rig.loop->flush(rig.seen);
  REQUIRE(rig.run_until([&] { return !rig.seen.datagrams.empty(); }));
  CHECK(rig.seen.datagrams[0].bytes == "to the new one");
  CHECK(rig.seen.datagrams[0].path.socket == SocketId{3});
}

TEST_CASE("a full send buffer is told as would_block and its end as writable") {
  in_namespace([] {
    Lab lab;
    lab.add_veth("mio0", "mio1");
    lab.up("mio0");
    lab.up("mio1");
    lab.add_address("mio0", "192.0.2.1", 24);
    lab.add_neighbour("mio0", "192.0.2.2");
    lab.throttle("mio0", 400'000, 1 << 20);
    Rig rig;
    const bool offload = GENERATE(false, true);
    rig.add_socket(0, "192.0.2.1", false, 8192, offload);
    const std::string big(1400, 'b');
    // With GSO the first batch is one piece, which an empty buffer takes whatever its size is.
    for (std::uint64_t i = 0; i < 64; ++i) {
      rig.queue(0, parse_address("192.0.2.2:9"), big, i);
      if (i % 32 == 31) rig.loop->flush(rig.seen);
    }
    REQUIRE_FALSE(rig.seen.send_errors.empty());
    for (const auto& [number, error] : rig.seen.send_errors) {
      CHECK(error == SendError::would_block);
      CHECK(number > 0);
    }
    const std::uint64_t waits = rig.loop->report().waits;
    REQUIRE(rig.run_until([&] { return !rig.seen.writable.empty(); }));
    CHECK(rig.seen.writable == std::vector<SocketId>{SocketId{0}});
    CHECK(rig.loop->report().waits <= waits + 3);
    // Told once; the loop rests again.
    CHECK(rig.rests(milliseconds(3)));
    CHECK(rig.seen.writable.size() == 1);
  });
}

TEST_CASE("a full interface queue is told as would_block and tried again after a pause") {
  in_namespace([] {
    Lab lab;
    lab.add_veth("mio0", "mio1");
    lab.up("mio0");
    lab.up("mio1");
    lab.add_address("mio0", "192.0.2.1", 24);
    lab.add_neighbour("mio0", "192.0.2.2");
    lab.throttle("mio0", 100'000, 6000);
    Rig rig;
    // With GSO the queue gets all as one, cuts it itself, and says nothing of what it drops then.
    rig.add_socket(0, "192.0.2.1", false, 1 << 20, false);
    const std::string big(1400, 'b');
    for (std::uint64_t i = 0; i < 32; ++i) rig.queue(0, parse_address("192.0.2.2:9"), big, i);
    rig.loop->flush(rig.seen);
    REQUIRE_FALSE(rig.seen.send_errors.empty());
    CHECK(rig.seen.send_errors.back() ==
          std::pair<std::uint64_t, SendError>{31, SendError::would_block});
    // The socket counts as writable all the time; that must not make a circle.
    const Instant before = monotonic_now();
    const std::uint64_t waits = rig.loop->report().waits;
    REQUIRE(rig.run_until([&] { return !rig.seen.writable.empty(); }));
    CHECK(monotonic_now() - before >= microseconds(500));
    CHECK(rig.loop->report().waits <= waits + 3);
  });
}

TEST_CASE("frames come from and go to interfaces") {
  in_namespace([] {
    Lab lab;
    Rig rig;
    TapOptions options;
    options.name = "mio0";
    options.settings.addresses = {{parse_address("192.0.2.1"), 24}};
    auto tap = Tap::open(lab.netlink, options);
    REQUIRE(tap.ok());
    rig.loop->put_interface(PeerId{2}, tap.take());
    CHECK_FALSE(lab.carrier_of("mio0"));
    rig.loop->set_carrier(PeerId{2}, true);
    CHECK(lab.carrier_of("mio0"));
    lab.add_neighbour("mio0", "192.0.2.2");

    rig.add_socket(0, "192.0.2.1");
    REQUIRE(rig.run_until([&] {
      rig.queue(0, parse_address("192.0.2.2:9"), "through the interface");
      rig.loop->flush(rig.seen);
      for (const std::string& frame : rig.seen.frames) {
        if (frame.find("through the interface") != std::string::npos) return true;
      }
      return false;
    }));
    CHECK(rig.slabs.in_use() == 0);

    // A frame back into it: UDP from .2 to the socket.
    const Address local = rig.loop->report().sockets[0].bound;
    Frame frame;
    frame.slab = rig.slabs.take();
    std::uint8_t* at = frame.slab.data();
    const MacAddress mac = lab.mac_of("mio0");
    const std::string_view hello = "hello";
    frame.size = static_cast<std::uint32_t>(14 + 20 + 8 + hello.size());
    std::memset(at, 0, frame.size);
    std::memcpy(at, mac.data(), 6);
    at[6] = 2;
    store_be16(at + 12, 0x0800);
    at[14] = 0x45;
    store_be16(at + 16, static_cast<std::uint16_t>(frame.size - 14));
    at[22] = 64;
    at[23] = 17;
    std::memcpy(at + 26, parse_address("192.0.2.2").ip.data(), 4);
    std::memcpy(at + 30, local.ip.data(), 4);
    std::uint32_t sum = 0;
    for (int i = 14; i < 34; i += 2) sum += load_be16(at + i);
    store_be16(at + 24, static_cast<std::uint16_t>(~((sum & 0xffff) + (sum >> 16))));
    store_be16(at + 34, 9);
    store_be16(at + 36, local.port);
    store_be16(at + 38, static_cast<std::uint16_t>(8 + hello.size()));
    std::memcpy(at + 42, hello.data(), hello.size());
    rig.loop->write_frame(PeerId{2}, frame, rig.seen);
    REQUIRE(rig.run_until([&] { return !rig.seen.datagrams.empty(); }));
    CHECK(rig.seen.datagrams[0].bytes == hello);
    CHECK(rig.seen.datagrams[0].path.remote == parse_address("192.0.2.2:9"));

    lab.remove("mio0");
    REQUIRE(rig.run_until([&] { return !rig.seen.interfaces_gone.empty(); }));
    CHECK(rig.seen.interfaces_gone == std::vector<PeerId>{PeerId{2}});
    CHECK(rig.rests(milliseconds(2)));  // No circle over a dead descriptor.
    rig.loop->write_frame(PeerId{2}, frame, rig.seen);
  });
}

TEST_CASE("super-frames come from and go to interfaces, which need not know them") {
  const bool tun = GENERATE(false, true);
  in_namespace([tun] {
    Lab lab;
    Rig rig;
    const auto put = [&](const char* name, bool offload) {
      TapOptions options;
      options.name = name;
      options.tun = tun;
      options.offload = offload;
      options.settings.addresses = {{parse_address("192.0.2.1"), 24}};
      auto tap = Tap::open(lab.netlink, options);
      REQUIRE(tap.ok());
      tap.value().set_carrier(true);
      const TapOffload able = tap.value().offload();
      rig.loop->put_interface(PeerId{0}, tap.take());
      return able;
    };
    if (put("mio0", true) != TapOffload::tcp_and_udp) {
      WARN("this kernel gives no super-frames of UDP: not tested");
      return;
    }
    if (!tun) lab.add_neighbour("mio0", "192.0.2.2");

    // The kernel leaves a UDP socket's segments together.
    UdpSocketOptions options;
    options.bind = parse_address("192.0.2.1");
    auto opened = UdpSocket::open(options);
    REQUIRE(opened.ok());
    UdpSocket host = opened.take();
    std::string sent(7500, '\0');
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 / 5);
    std::vector<SendItem> items;
    for (std::size_t at = 0; at < sent.size(); at += 1000) {
      const std::string_view piece = std::string_view(sent).substr(at, 1000);
      items.push_back({{},
                       parse_address("192.0.2.2:9"),
                       {reinterpret_cast<const std::uint8_t*>(piece.data()), piece.size()}});
    }
    REQUIRE(rig.run_until([&] {
      std::array<SendFailure, send_batch_max> failures;
      host.send(items, failures);
      return bool(rig.seen.super_frame.slab);
    }));
    Frame frame = std::exchange(rig.seen.super_frame, {});
    CHECK(frame.offload.gso == Offload::Gso::udp);
    CHECK(frame.offload.gso_bytes == 1000);
    CHECK(settle_offload(frame));
    REQUIRE(frame.size == 14 + 28 + sent.size());
    CHECK(std::memcmp(frame.bytes().data() + 42, sent.data(), sent.size()) == 0);

    // Back to where it came from: no sum changes when the two ends change places.
    const auto turn_round = [&] {
      std::uint8_t* at = frame.slab.data() + frame.offset;
      std::swap_ranges(at, at + 6, at + 6);
      std::swap_ranges(at + 26, at + 30, at + 30);
      std::swap_ranges(at + 34, at + 36, at + 36);
    };
    turn_round();
    ReceiveBatch batch;
    const auto arrived = [&] {
      std::string got;
      while (readable(host.fd(), milliseconds(200)) &&
             host.receive(batch) == UdpSocket::Receive::some) {
        for (const ReceivedDatagram& datagram : batch.datagrams()) {
          CHECK(datagram.bytes.size() == std::min<std::size_t>(1000, sent.size() - got.size()));
          got.append(datagram.bytes.begin(), datagram.bytes.end());
        }
      }
      return got;
    };
    rig.loop->write_frame(PeerId{0}, frame, rig.seen);
    CHECK(arrived() == sent);
    CHECK(rig.loop->report().interfaces[0].super_frames_cut == 0);
    CHECK(rig.loop->report().interfaces[0].counters.super_frames_written == 1);

    // An interface without any of this gets ordinary frames, with checksums that the kernel looks
    // at.
    CHECK(put("mio1", false) == TapOffload::none);
    if (!tun) {
      const MacAddress mac = lab.mac_of("mio1");
      std::memcpy(frame.slab.data() + frame.offset, mac.data(), 6);
    }
    rig.loop->write_frame(PeerId{0}, frame, rig.seen);
    CHECK(arrived() == sent);
    CHECK(rig.loop->report().interfaces[0].super_frames_cut == 1);
    CHECK(rig.loop->report().interfaces[0].counters.frames_written == items.size());
  });
}

TEST_CASE("without slabs frames are thrown away and counted, and the loop rests") {
  in_namespace([] {
    Lab lab;
    Rig rig;
    std::vector<SlabRef> hoard;
    while (SlabRef slab = rig.slabs.take()) hoard.push_back(slab);
    TapOptions options;
    options.name = "mio0";
    options.settings.addresses = {{parse_address("192.0.2.1"), 24}};
    auto tap = Tap::open(lab.netlink, options);
    REQUIRE(tap.ok());
    tap.value().set_carrier(true);
    rig.loop->put_interface(PeerId{0}, tap.take());
    lab.add_neighbour("mio0", "192.0.2.2");
    rig.add_socket(0, "192.0.2.1");
    REQUIRE(rig.run_until([&] {
      rig.queue(0, parse_address("192.0.2.2:9"), "x");
      rig.loop->flush(rig.seen);
      return rig.loop->report().interfaces[0].no_slab > 0;
    }));
    CHECK(rig.seen.frames.empty());
    hoard.clear();
    REQUIRE(rig.run_until([&] {
      rig.queue(0, parse_address("192.0.2.2:9"), "x");
      rig.loop->flush(rig.seen);
      return !rig.seen.frames.empty();
    }));
  });
}
