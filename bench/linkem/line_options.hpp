#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"
#include "linkem/trace.hpp"

namespace mwtun::linkem {

enum class JitterMode : std::uint8_t {
  fifo,     ///< order is kept: release = max(arrival + delay, previous release) + size / rate
  reorder,  ///< every frame draws its delay on its own and may overtake
};

struct QueueLimit {
  enum class Unit : std::uint8_t { time, bytes, none };
  Unit unit = Unit::time;
  Duration time = milliseconds(200);
  std::uint64_t bytes = 0;
};

/// What serialises frames: at a rate, at a trace's opportunities, or (neither) at once.
struct BottleneckOptions {
  std::uint64_t rate_bps = 0;  ///< IP bits per second; 0 is unlimited
  TracePtr trace;              ///< replaces the rate
  std::string trace_path;
  Duration trace_offset{};  ///< where in the trace the line starts
  QueueLimit queue;

  /// The queue's bound in IP bytes (a time is taken at the rate, or at the trace's average).
  std::uint64_t queue_bytes_max() const;
  std::uint64_t average_bps() const { return trace ? trace->average_bps() : rate_bps; }
};

/// Two-state loss (Gilbert-Elliott). A frame meets the loss of the current state, then the state
/// may change: good to bad with `enter_bad`, back with `leave_bad`.
struct BurstLoss {
  double enter_bad = 0;
  double leave_bad = 1;
  double loss_bad = 1;
  double loss_good = 0;

  bool on() const { return enter_bad > 0 || loss_good > 0; }
};

/// One direction of a line. Sizes are IP bytes: the frame less its Ethernet header and VLAN tags.
struct DirectionOptions {
  BottleneckOptions own;
  std::string shared;  ///< name of a shared bottleneck, used instead of `own`
  std::uint64_t policer_bps = 0;
  std::uint64_t policer_burst_bytes = 0;  ///< 0: 20 ms at the policer's rate, at least 15,000
  Duration delay{};
  Duration jitter{};  ///< standard deviation; a delay below 0 counts as 0
  JitterMode jitter_mode = JitterMode::fifo;
  double loss = 0;
  BurstLoss burst_loss;
  double duplicate = 0;
  double corrupt = 0;
  std::uint32_t mtu = 0;  ///< 0 is none
  Duration burst{};       ///< frames leave only at multiples of this; 0 is off

  std::uint64_t policer_burst() const;
};

/// One end: a TAP to make, in a named network namespace or (empty) in ours.
struct EndName {
  std::string interface;
  std::string netns;
};

struct LineOptions {
  std::string name;
  EndName a;  ///< the client's end: "up" goes from a to b
  EndName b;
  DirectionOptions up;
  DirectionOptions down;
};

struct SharedOptions {
  std::string name;
  BottleneckOptions bottleneck;
};

/// Gives the trace of a path; the program reads the file, a test has it in memory.
using TraceLoader = std::function<Result<TracePtr>(const std::string& path)>;

/// Reads `name=wan1 a=wan1a b=wan1b@ns rate=100M down.delay=10ms …`. Errors name the token that
/// could not be read and what is allowed there.
Result<LineOptions> parse_line(std::string_view text, const TraceLoader& load);
/// Reads `name=cell rate=50M queue=200ms`: a bottleneck that several lines' directions may use.
Result<SharedOptions> parse_shared(std::string_view text, const TraceLoader& load);

/// The settings of a running line or bottleneck: all are applied or, on an error, none.
Result<void> change_line(LineOptions& line, std::string_view settings, const TraceLoader& load);
Result<void> change_shared(SharedOptions& shared, std::string_view settings,
                           const TraceLoader& load);

/// Every key with its unit and default, for --help.
std::string_view settings_help();

}  // namespace mwtun::linkem
