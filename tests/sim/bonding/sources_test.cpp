#include <array>
#include <catch2/catch.hpp>
#include <vector>

#include "bare_line.hpp"
#include "dataplane/inner_flow.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

Instant at(Duration time) {
  return Agenda::begin + time;
}

/// Keeps what a receiver sends.
class Wire final : public FrameNet {
 public:
  MutableBytes room(Side) override { return room_; }
  void send(Side, std::uint32_t bytes) override {
    const auto fields = read_tcp(Bytes(room_).first(bytes));
    REQUIRE(fields);
    sent.push_back(*fields);
  }
  std::vector<TcpFields> sent;

 private:
  std::array<std::uint8_t, 2048> room_{};
};

struct TestReceiver {
  TestReceiver() : receiver(wire, Side::client, 3, numbers, 1 << 20, true) {
    TcpFields syn;
    syn.syn = syn.ece = syn.cwr = true;
    syn.sequence = numbers.first - 1;
    receiver.segment(syn, at({}));
    for (std::uint64_t i = 0; i < 40; ++i) take(i);  // Past the quick acknowledgements.
    receiver.timeout(at(seconds(1)));
    wire.sent.clear();
  }
  void take(std::uint64_t number, Duration time = seconds(1), bool marked = false) {
    TcpFields f;
    f.sequence = numbers.on_wire(number);
    f.payload_bytes = 1448;
    f.mark = tcp_mark(3, number);
    f.congestion_experienced = marked;
    receiver.segment(f, at(time));
  }
  SegmentRange block(std::size_t i) const {
    const auto& b = wire.sent.back().blocks[i];
    return {numbers.segment(b.begin, 40), numbers.segment(b.end, 40)};
  }
  TcpNumbers numbers{0xfffff000, 1448};  // Wraps within the first segments.
  Wire wire;
  TcpReceiver receiver;
};

}  // namespace

TEST_CASE("a segment reads as it was written and is the flow the core takes it for") {
  std::array<std::uint8_t, 2048> room{};
  TcpFields f;
  f.flow = 7, f.from = Side::server;
  f.sequence = 0xfffffff0, f.acknowledged = 5;
  f.ack = true;
  f.window = 1000, f.stamp = 77, f.stamp_echo = 66;
  f.payload_bytes = 1448, f.mark = tcp_mark(7, 9);
  const std::uint32_t size = put_tcp(f, room);
  CHECK(size == 1514);
  const auto read = read_tcp(Bytes(room).first(size));
  REQUIRE(read);
  CHECK(read->sequence == f.sequence);
  CHECK(read->mark == f.mark);
  CHECK(read->stamp_echo == 66);
  CHECK(flow_of_frame(Bytes(room).first(size), Side::client) == 7);
  CHECK(read_inner_flow(Bytes(room).first(size)).kind == mwtun::FlowKind::stream);
  room[size - 1] ^= 1;
  CHECK_FALSE(read_tcp(Bytes(room).first(size)));

  EchoFields echo;
  echo.flow = 8, echo.sequence = 3;
  const std::uint32_t echo_size = put_echo(echo, room);
  CHECK(read_inner_flow(Bytes(room).first(echo_size)).kind == mwtun::FlowKind::urgent);
  CHECK(flow_of_frame(Bytes(room).first(echo_size), Side::server) == 8);
}

TEST_CASE("every second segment is acknowledged, a lone one after 40 ms") {
  TestReceiver r;
  r.take(40);
  CHECK(r.wire.sent.empty());
  CHECK(r.receiver.due() == at(seconds(1) + milliseconds(40)));
  r.take(41);
  REQUIRE(r.wire.sent.size() == 1);
  CHECK(r.wire.sent.back().acknowledged == r.numbers.on_wire(42));
}

TEST_CASE("holes are reported newest first, and duplicates as such") {
  TestReceiver r;
  r.take(42), r.take(44), r.take(46);
  REQUIRE(r.wire.sent.size() == 3);
  REQUIRE(r.wire.sent.back().block_count == 3);
  CHECK(r.block(0).begin == 46);
  CHECK(r.block(1).begin == 44);
  CHECK(r.block(2).begin == 42);
  r.take(44);  // Known, beyond a hole: the block that has it follows.
  CHECK(r.block(0).begin == 44);
  CHECK(r.block(0).end == 45);
  CHECK(r.block(1).begin == 44);
  r.take(5);  // Known, delivered.
  CHECK(r.block(0).begin == 5);
  CHECK(r.receiver.counters().duplicates == 2);
  r.take(40), r.take(41), r.take(43), r.take(45);
  CHECK(r.wire.sent.back().acknowledged == r.numbers.on_wire(47));
  CHECK(r.wire.sent.back().block_count == 0);
}

TEST_CASE("congestion is echoed until it is answered") {
  TestReceiver r;
  r.take(40, seconds(1), true);
  REQUIRE(r.wire.sent.size() == 1);
  CHECK(r.wire.sent.back().ece);
  r.take(41), r.take(42);
  CHECK(r.wire.sent.back().ece);
}

TEST_CASE("pings and UDP measure the line they are on") {
  BareLine line("rate=10M delay=10ms");
  const PingSource& ping = line.world.add_ping(milliseconds(10));
  UdpSource::Options options;
  options.rate_bps = 5'000'000;
  options.stop = seconds(9);
  const UdpSource& udp = line.world.add_udp(options);
  line.world.run_until(seconds(10));
  CHECK(ping.unanswered(at({}), at(seconds(9))) == 0);
  CHECK(ping.percentile_ms(0.5, at({}), at(seconds(9))) > 20.1);
  CHECK(ping.percentile_ms(1, at({}), at(seconds(9))) < 20.2 + 1.2 + 0.1);
  const auto summary = udp.summary(at({}), at(seconds(9)));
  CHECK(summary.lost == 0);
  CHECK(summary.out_of_order == 0);
  CHECK(summary.longest_gap < milliseconds(4));
  CHECK(udp.arrived_bps(at(seconds(1)), at(seconds(8))) == Approx(5e6).epsilon(0.01));
}

TEST_CASE("UDP counts what is lost, overtaken and how long nothing came") {
  BareLine line("rate=50M delay=20ms jitter=5ms jitter_mode=reorder loss=2%");
  UdpSource::Options options;
  options.stop = seconds(9);
  const UdpSource& udp = line.world.add_udp(options);
  line.world.run_until(seconds(4));
  line.world.line(0).cut(true);
  line.world.run_until(seconds(5));
  line.world.line(0).cut(false);
  line.world.run_until(seconds(10));
  const auto before = udp.summary(at({}), at(seconds(3)));
  CHECK(static_cast<double>(before.lost) / static_cast<double>(before.sent) ==
        Approx(0.02).margin(0.01));
  CHECK(before.out_of_order > before.sent / 4);
  CHECK(udp.summary(at(seconds(3)), at(seconds(9))).longest_gap > milliseconds(950));
}
