#include <fmt/format.h>

#include "support/sim_bonding.hpp"

namespace mwtun::test {
namespace {

double mbit(double bytes, Duration time) {
  return bytes * 8e-6 / std::chrono::duration<double>(time).count();
}
double in_ms(Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// What one line did and what its sender thought of it.
std::string link_text(BondingWorld& world, std::size_t line, Side from, std::uint64_t& bytes_before,
                      std::uint64_t& drops_before, Duration step) {
  const auto& counters = world.line(line).counters(from);
  std::uint64_t drops = 0;
  for (const std::uint64_t count : counters.drops) drops += count;
  std::string text = fmt::format(" | {}: {:6.1f} drop {:4}", line,
                                 mbit(static_cast<double>(counters.out_bytes - bytes_before), step),
                                 drops - drops_before);
  bytes_before = counters.out_bytes, drops_before = drops;
  for (const LinkReport& link : world.tunnel().report(from).links) {
    if (index_of(link.id) != line) continue;
    text += fmt::format(" pace {:6.1f} can {:6.1f} queue {:5.1f} rtt {:5.1f} flight {:7} {}{}",
                        static_cast<double>(link.pacing_bps) / 1e6,
                        static_cast<double>(link.capacity_bps) / 1e6, in_ms(link.queue),
                        in_ms(link.rtt), link.bytes_in_flight, to_string(link.state),
                        link.suspect ? " suspect" : "");
  }
  return text;
}

}  // namespace

std::string bonding_series(const std::vector<std::string>& lines, const BondingOptions& options,
                           Duration step) {
  BondingWorld world(BondingWorld::Kind::tunnel, lines, options);
  const PingSource& ping = world.add_ping(seconds(1));
  const Side to = options.down ? Side::client : Side::server;
  const TcpFlow& flow = world.add_tcp(to, seconds(3));
  std::vector<std::uint64_t> bytes(lines.size()), drops(lines.size());
  std::uint64_t delivered = 0, retransmitted = 0;
  std::string text;
  const Duration end = seconds(3) + options.warmup + options.measured;
  for (Duration time = seconds(2); time < end; time += step) {
    world.run_until(time + step);
    const Instant from = Agenda::begin + time, until = from + step;
    const TcpWindow& window = flow.sender().window();
    const std::uint64_t again = flow.sender().counters().retransmitted;
    text += fmt::format(
        "{:7.2f} s {:6.1f} Mbit/s cwnd {:5} srtt {:5.1f} again {:3} ping {:5.1f} queued {:4} held "
        "{:4}",
        std::chrono::duration<double>(time + step).count(),
        mbit(static_cast<double>(flow.delivered_bytes() - delivered), step), window.cwnd,
        in_ms(window.srtt), again - retransmitted, ping.percentile_ms(1, from, until),
        world.tunnel().report(other(to)).frames_queued,
        world.tunnel().report(to).frames_reordering);
    delivered = flow.delivered_bytes(), retransmitted = again;
    for (std::size_t line = 0; line < lines.size(); ++line) {
      text += link_text(world, line, other(to), bytes[line], drops[line], step);
    }
    text += '\n';
  }
  return text;
}

}  // namespace mwtun::test
