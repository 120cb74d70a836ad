#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "linkem/line_options.hpp"
#include "support/sim_ping.hpp"
#include "support/sim_tcp.hpp"
#include "support/sim_tunnel.hpp"

namespace mwtun::test {

/// What a bond of lines is held to, beyond being hardly worse than its best line.
struct BondingPromise {
  double sum_share = 0;  ///< What it has to reach of a sum; 0: nothing.
  enum class Against : std::uint8_t {
    bare,      ///< The sum of what bare TCP gets,
    clean,     ///< of what it would get without the loss,
    tunnelled  ///< or of what one line at a time gives through the tunnel: bare TCP is held back.
  } against = Against::bare;
  bool half_of_other = false;  ///< Also at least the best line and half of the others.
  bool steady = true;          ///< No jitter, no loss: the latency promise is the strict one.
};

/// Some lines to be bonded, each in the settings of the emulator (`linkem --help`), so that both
/// measure the same thing.
struct BondingScenario {
  std::string_view name;
  std::vector<std::string_view> lines;
  BondingPromise promise;
};

std::span<const BondingScenario> bonding_scenarios();

struct BondingOptions {
  std::uint64_t seed = 1;
  Duration warmup = seconds(3);
  Duration measured = seconds(12);
  TcpKind congestion = TcpKind::cubic;
  bool ecn = false;  ///< Linux answers to it but does not ask for it by default.
  unsigned flows = 1;
  bool down = true;
  bool up = false;
  SchedulerKind scheduler = SchedulerKind::adaptive;
  std::optional<Cipher> cipher;
  std::uint32_t window_bytes = 16 << 20;  ///< TCP's: more than any pair here needs.
  linkem::TraceLoader load_trace;
};

/// Lines, and what runs over them.
class BondingWorld {
 public:
  /// The hosts joined by the first line alone, or by a tunnel over all of them.
  enum class Kind : std::uint8_t { bare, tunnel };
  /// `shared` is a bottleneck (`rate=50M`), one for each direction, that lines use with
  /// `down.shared=cell up.shared=cell`.
  BondingWorld(Kind kind, const std::vector<std::string>& lines, const BondingOptions& options,
               std::string_view shared = {});

  Agenda agenda;
  FrameNet& net() { return *net_; }
  TunnelNet& tunnel() { return *tunnel_; }
  DuplexLine& line(std::size_t number) { return *lines_[number]; }
  std::size_t line_count() const { return lines_.size(); }
  /// Hosts outside the tunnel that share that line.
  FrameNet& outside(std::size_t line);

  TcpFlow& add_tcp(FrameNet& net, Side to, TcpKind kind, Duration start);
  TcpFlow& add_tcp(Side to, Duration start) {
    return add_tcp(*net_, to, options_.congestion, start);
  }
  UdpSource& add_udp(const UdpSource::Options& options);
  /// From the client, until the end.
  PingSource& add_ping(Duration start, Duration interval = milliseconds(10));
  void run_until(Duration time) { agenda.run_until(Agenda::begin + time); }
  /// Changes the settings of a line, as `linkem ctl set` does.
  void change(std::size_t line, std::string_view settings);

 private:
  BondingOptions options_;
  PacketPool pool_;
  std::vector<linkem::LineOptions> line_options_;
  std::vector<std::unique_ptr<DuplexLine>> lines_;
  std::unique_ptr<FrameNet> bare_;
  std::unique_ptr<TunnelNet> tunnel_holder_;
  std::vector<std::unique_ptr<FrameNet>> outside_;
  FrameNet* net_ = nullptr;
  TunnelNet* tunnel_ = nullptr;
  std::vector<std::unique_ptr<TcpFlow>> flows_;
  std::vector<std::unique_ptr<UdpSource>> udp_;
  std::vector<std::unique_ptr<PingSource>> pings_;
  std::uint64_t next_seed_;
};

/// TCP flows with pings beside, over one configuration.
struct BondingRun {
  double goodput_bps = 0;  ///< TCP payload, all flows in all directions.
  double ping_idle_p99_ms = 0;
  double ping_idle_p50_ms = 0;
  double ping_loaded_p50_ms = 0;
  double ping_loaded_p99_ms = 0;
  std::uint64_t pings_lost = 0;
  std::uint64_t retransmitted = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t recoveries = 0;
  std::uint64_t late_segments = 0;  ///< Came to TCP out of order.
  std::uint64_t segments = 0;
  std::uint64_t steps = 0;
};
BondingRun run_bonding(BondingWorld::Kind kind, const std::vector<std::string>& lines,
                       const BondingOptions& options);
/// Pings over a bare line that carries UDP at half its rate: p99, ms.
double ping_at_half_load(const std::string& line, const BondingOptions& options);

struct BondingResult {
  const BondingScenario* scenario = nullptr;
  std::vector<BondingRun> bare, single;
  BondingRun both;
  double bare_sum_bps = 0, bare_best_bps = 0;
  double single_sum_bps = 0, single_best_bps = 0;
  double reference_bps = 0;  ///< What `sum_share` is a share of.
  double ping_limit_ms = 0;

  bool enough() const;
  bool quick() const { return both.ping_loaded_p99_ms <= ping_limit_ms; }
};
BondingResult measure_scenario(const BondingScenario& scenario, const BondingOptions& options);

/// One flow over the bond, a line of text each `step`: what it got, and what each link did.
std::string bonding_series(const std::vector<std::string>& lines, const BondingOptions& options,
                           Duration step);

std::string bonding_header();
std::string to_line(const BondingResult& result);
std::string to_json(const BondingResult& result);

}  // namespace mwtun::test
