#pragma once
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "linkem/control_server.hpp"
#include "linkem/descriptor.hpp"
#include "linkem/frame_pool.hpp"
#include "linkem/line_model.hpp"
#include "linkem/line_options.hpp"
#include "linkem/tap.hpp"

namespace mwtun::linkem {

struct EmulatorOptions {
  std::vector<LineOptions> lines;
  std::vector<SharedOptions> shared;
  std::uint64_t seed = 1;
  std::uint32_t frames = 65'536;
  /// Under load the loop passes once in this time: a wake-up costs as much as several frames.
  Duration coalesce = microseconds(100);
  std::string control_path;  ///< empty: no control socket
};

/// A shared bottleneck by name, and the settings it was made from.
struct Shared {
  SharedOptions options;
  std::shared_ptr<Bottleneck> bottleneck;
};

struct Line {
  LineOptions options;
  Tap a;
  Tap b;
  LineDirection up;    // read from a, written to b
  LineDirection down;  // read from b, written to a
  bool carrier = true;

  Line(LineOptions line_options, Tap tap_a, Tap tap_b, std::uint64_t seed_up,
       std::uint64_t seed_down, Instant start, std::shared_ptr<Bottleneck> shared_up,
       std::shared_ptr<Bottleneck> shared_down)
      : options(std::move(line_options)),
        a(std::move(tap_a)),
        b(std::move(tap_b)),
        up(options.up, seed_up, start, std::move(shared_up)),
        down(options.down, seed_down, start, std::move(shared_down)) {}
};

/// How late frames left us: what the machine, not the line, added.
struct Lateness {
  Duration worst{};
  std::uint64_t frames_over_500_us = 0;
};

/// The lines, the TAPs and the one event loop that joins them.
class Emulator {
 public:
  static Result<std::unique_ptr<Emulator>> create(EmulatorOptions options);
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  /// Carries frames until SIGTERM, SIGINT or quit().
  Result<void> run();
  void quit() { running_ = false; }

  // For the commands. Names are those of the options; null if there is no such line.
  Line* find_line(std::string_view name);
  Shared* find_shared(std::string_view name);
  std::deque<Line>& lines() { return lines_; }
  Result<void> change(Line& line, std::string_view settings);
  Result<void> change(Shared& shared, std::string_view settings);
  void take_down(LineDirection& direction);
  Result<void> set_carrier(Line& line, bool on);
  const Lateness& lateness() const { return lateness_; }
  void reset_max();
  /// Brings every direction's queue up to this moment.
  void settle();
  static Instant now();

 private:
  Emulator(FramePool pool, std::uint64_t seed, Duration coalesce)
      : pool_(std::move(pool)), seeds_(seed), coalesce_(coalesce) {}
  Result<void> open_loop(const std::string& control_path);
  Result<void> add_line(const LineOptions& options, Instant start);
  Result<std::shared_ptr<Bottleneck>> shared_of(const DirectionOptions& options);
  void watch(int fd, std::uint64_t what, Result<void>& result);
  void read_frames(const Tap& tap, LineDirection& into);
  void deliver(LineDirection& from, const Tap& tap);
  /// Sleeps when passes of the loop come too fast.
  void pause();
  /// Sets the timer to the next release; true if one is due already.
  bool arm_timer();

  FramePool pool_;
  Prng seeds_;
  std::deque<Shared> shared_;
  std::deque<Line> lines_;
  ControlServer control_;
  Descriptor epoll_;
  Descriptor timer_;
  Descriptor signals_;
  Instant armed_ = never;
  Duration coalesce_;
  Duration pass_credit_{};
  Instant pass_paid_;
  bool unread_ = false;  // a TAP had more than a batch
  Lateness lateness_;
  bool running_ = true;
};

/// Reads a trace file.
Result<TracePtr> load_trace(const std::string& path);

}  // namespace mwtun::linkem
