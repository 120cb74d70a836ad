#include "linkem/emulator.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "linkem/commands.hpp"
#include "linkem/frame_shape.hpp"

namespace mwtun::linkem {
namespace {

/// Frames read from one TAP before the others, and the releases, have their turn.
constexpr int read_batch = 64;

// What an epoll event is about: a TAP as line * 2 (a) or line * 2 + 1 (b), or one of these.
constexpr std::uint64_t event_timer = std::uint64_t{1} << 32;
constexpr std::uint64_t event_signal = event_timer + 1;
constexpr std::uint64_t event_control = event_timer + 2;

Error system_error(std::string_view what) {
  return Error{fmt::format("{}: {}", what, std::strerror(errno)), 71};
}

}  // namespace

Instant Emulator::now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant{seconds{time.tv_sec} + nanoseconds{time.tv_nsec}};
}

Result<std::unique_ptr<Emulator>> Emulator::create(EmulatorOptions options) {
  Result<FramePool> pool = FramePool::create(options.frames);
  if (!pool.ok()) return pool.error();
  std::unique_ptr<Emulator> emulator(new Emulator(pool.take(), options.seed, options.coalesce));
  const Instant start = now();
  for (const SharedOptions& shared : options.shared) {
    if (emulator->find_shared(shared.name) != nullptr) {
      return Error{fmt::format("two shared bottlenecks are called \"{}\"", shared.name), 64};
    }
    emulator->shared_.push_back({shared, std::make_shared<Bottleneck>(shared.bottleneck, start)});
  }
  for (const LineOptions& line : options.lines) {
    const Result<void> added = emulator->add_line(line, start);
    if (!added.ok())
      return Error{fmt::format("line {}: {}", line.name, added.error().message),
                   added.error().exit_code};
  }
  const Result<void> opened = emulator->open_loop(options.control_path);
  if (!opened.ok()) return opened.error();
  return emulator;
}

Result<std::shared_ptr<Bottleneck>> Emulator::shared_of(const DirectionOptions& options) {
  if (options.shared.empty()) return std::shared_ptr<Bottleneck>{};
  const Shared* const shared = find_shared(options.shared);
  if (shared == nullptr) {
    return Error{fmt::format("shared={}: there is no such bottleneck; declare it with --shared "
                             "'name={} rate=…'",
                             options.shared, options.shared),
                 64};
  }
  return shared->bottleneck;
}

Result<void> Emulator::add_line(const LineOptions& options, Instant start) {
  if (find_line(options.name) != nullptr || find_shared(options.name) != nullptr) {
    return Error{"the name is taken", 64};
  }
  Result<std::shared_ptr<Bottleneck>> up = shared_of(options.up);
  if (!up.ok()) return up.error();
  Result<std::shared_ptr<Bottleneck>> down = shared_of(options.down);
  if (!down.ok()) return down.error();
  Result<Tap> a = Tap::create(options.a);
  if (!a.ok()) return a.error();
  Result<Tap> b = Tap::create(options.b);
  if (!b.ok()) return b.error();
  const std::uint64_t seed_up = seeds_.next();
  const std::uint64_t seed_down = seeds_.next();
  lines_.emplace_back(options, a.take(), b.take(), seed_up, seed_down, start, up.take(),
                      down.take());
  return {};
}

void Emulator::watch(int fd, std::uint64_t what, Result<void>& result) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = what;
  if (result.ok() && epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, fd, &event) != 0) {
    result = system_error("cannot watch a descriptor");
  }
}

Result<void> Emulator::open_loop(const std::string& control_path) {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  sigprocmask(SIG_BLOCK, &ending, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signals_ = Descriptor(signalfd(-1, &ending, SFD_NONBLOCK | SFD_CLOEXEC));
  timer_ = Descriptor(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  if (!signals_.open() || !timer_.open() || !epoll_.open()) {
    return system_error("cannot set up the event loop");
  }
  if (!control_path.empty()) {
    Result<ControlServer> control = ControlServer::listen(control_path);
    if (!control.ok()) return control.error();
    control_ = control.take();
  }
  Result<void> result;
  watch(timer_.fd(), event_timer, result);
  watch(signals_.fd(), event_signal, result);
  if (control_.open()) watch(control_.fd(), event_control, result);
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    watch(lines_[i].a.fd(), i * 2, result);
    watch(lines_[i].b.fd(), i * 2 + 1, result);
  }
  return result;
}

Result<void> Emulator::run() {
  std::array<epoll_event, 64> events;
  while (running_) {
    if (!unread_) pause();
    unread_ = false;
    const bool due = arm_timer();
    const int count = epoll_wait(epoll_.fd(), events.data(), events.size(), due ? 0 : -1);
    if (count < 0 && errno != EINTR) return system_error("epoll_wait");
    for (std::size_t i = 0; i < static_cast<std::size_t>(std::max(count, 0)); ++i) {
      const std::uint64_t what = events[i].data.u64;
      if (what == event_signal) {
        running_ = false;
      } else if (what == event_timer) {
        armed_ = Instant::min();  // it has fired: arm it anew whatever the time
      } else if (what == event_control) {
        control_.serve([this](std::string_view line) { return execute(*this, line); });
      } else {
        Line& line = lines_[what / 2];
        if (what % 2 == 0) {
          read_frames(line.a, line.up);
        } else {
          read_frames(line.b, line.down);
        }
      }
    }
    for (Line& line : lines_) {
      deliver(line.up, line.b);
      deliver(line.down, line.a);
    }
  }
  return {};
}

void Emulator::pause() {
  // A token bucket of passes: a few may follow each other at once, so that a lone packet and its
  // answer are not held up; a stream of them is taken in batches.
  const Instant start = now();
  pass_credit_ = std::min(pass_credit_ + (start - pass_paid_), coalesce_ * 8);
  pass_paid_ = start;
  if (pass_credit_ < coalesce_) {
    const Duration until = (start + coalesce_ - pass_credit_).time_since_epoch();
    const timespec time{until / seconds{1}, (until % seconds{1}).count()};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
    pass_credit_ = coalesce_;
    pass_paid_ = now();
  }
  pass_credit_ -= coalesce_;
}

bool Emulator::arm_timer() {
  Instant next = never;
  for (const Line& line : lines_) {
    next = std::min({next, line.up.next_release(), line.down.next_release()});
  }
  if (next == armed_) return false;
  if (next != never && next <= now()) return true;
  itimerspec setting{};
  if (next != never) {
    const Duration at = next.time_since_epoch();
    setting.it_value.tv_sec = at / seconds{1};
    setting.it_value.tv_nsec = (at % seconds{1}).count();
  }
  timerfd_settime(timer_.fd(), TFD_TIMER_ABSTIME, &setting, nullptr);
  armed_ = next;
  return false;
}

void Emulator::read_frames(const Tap& tap, LineDirection& into) {
  for (int i = 0; i < read_batch; ++i) {
    const MutableBytes buffer = pool_.next();
    const std::size_t frame_bytes = tap.read(buffer);
    if (frame_bytes == 0) return;
    const std::uint32_t size = ip_bytes(buffer.first(frame_bytes));
    // A full buffer is a frame that was cut off.
    if (pool_.empty() || frame_bytes == buffer.size()) {
      into.count_refused(size);
      continue;
    }
    // The token is known before it is taken, and taken only if the line does.
    const unsigned holders = into.offer(size, now(), pool_.next_token());
    if (holders > 0) pool_.take(frame_bytes, holders);
  }
  unread_ = true;
}

void Emulator::deliver(LineDirection& from, const Tap& tap) {
  while (const std::optional<Release> release = from.pop_released(now())) {
    const Duration late = now() - release->due;
    lateness_.worst = std::max(lateness_.worst, late);
    if (late > microseconds{500}) ++lateness_.frames_over_500_us;
    const MutableBytes frame = pool_.frame(release->token);
    if (release->corrupt_seed != 0) flip_bits(frame, release->corrupt_seed);
    if (!tap.write(frame)) from.count_undeliverable(*release);
    // The buffer may have a second holder whose copy is intact.
    if (release->corrupt_seed != 0) flip_bits(frame, release->corrupt_seed);
    pool_.release(release->token);
  }
}

Line* Emulator::find_line(std::string_view name) {
  for (Line& line : lines_) {
    if (line.options.name == name) return &line;
  }
  return nullptr;
}

Shared* Emulator::find_shared(std::string_view name) {
  for (Shared& shared : shared_) {
    if (shared.options.name == name) return &shared;
  }
  return nullptr;
}

Result<void> Emulator::change(Line& line, std::string_view settings) {
  LineOptions changed = line.options;
  const Result<void> parsed = change_line(changed, settings, load_trace);
  if (!parsed.ok()) return parsed;
  Result<std::shared_ptr<Bottleneck>> up = shared_of(changed.up);
  if (!up.ok()) return up.error();
  Result<std::shared_ptr<Bottleneck>> down = shared_of(changed.down);
  if (!down.ok()) return down.error();
  line.options = std::move(changed);
  const Instant at = now();
  line.up.configure(line.options.up, at, up.take());
  line.down.configure(line.options.down, at, down.take());
  return {};
}

Result<void> Emulator::change(Shared& shared, std::string_view settings) {
  const Result<void> changed = change_shared(shared.options, settings, load_trace);
  if (!changed.ok()) return changed;
  shared.bottleneck->configure(shared.options.bottleneck, now());
  return {};
}

void Emulator::take_down(LineDirection& direction) {
  for (const Token token : direction.take_down(now())) pool_.release(token);
}

Result<void> Emulator::set_carrier(Line& line, bool on) {
  const Result<void> a = line.a.set_carrier(on);
  const Result<void> b = line.b.set_carrier(on);
  if (!a.ok()) return a;
  if (!b.ok()) return b;
  line.carrier = on;
  if (on) {
    line.up.bring_up();
    line.down.bring_up();
  } else {
    take_down(line.up);
    take_down(line.down);
  }
  return {};
}

void Emulator::settle() {
  for (Line& line : lines_) {
    deliver(line.up, line.b);
    deliver(line.down, line.a);
  }
}

void Emulator::reset_max() {
  lateness_ = {};
  for (Line& line : lines_) {
    line.up.reset_queue_max();
    line.down.reset_queue_max();
  }
}

Result<TracePtr> load_trace(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return Error{fmt::format("cannot read trace \"{}\": {}", path, std::strerror(errno)), 66};
  }
  std::ostringstream text;
  text << file.rdbuf();
  return Trace::parse(text.str(), path);
}

}  // namespace mwtun::linkem
