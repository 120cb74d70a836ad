#include "cli/log.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "dataplane/io/system_clock.hpp"

namespace mwtun {

const char* to_string(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return "error";
    case LogLevel::warn:
      return "warning";
    case LogLevel::info:
      return "info";
    case LogLevel::debug:
      return "debug";
  }
  return "unknown";
}

std::optional<LogLevel> log_level_from_name(std::string_view name) {
  if (name == "warn") return LogLevel::warn;
  if (name == "info") return LogLevel::info;
  if (name == "debug") return LogLevel::debug;
  return std::nullopt;
}

const char* to_string(LogClass about) {
  static constexpr const char* names[] = {"program",   "peer", "link",   "network",
                                          "interface", "name", "control"};
  return names[static_cast<std::size_t>(about)];
}

LogFormat log_format_for(int descriptor) {
  // systemd.exec(5): "device:inode" of the stream the journal reads, decimal.
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || ::fstat(descriptor, &status) != 0) return LogFormat::timed;
  const bool ours = fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
  return ours ? LogFormat::journal : LogFormat::timed;
}

bool LogBudget::allow(LogClass about, LogLevel level, Instant now) {
  Window& window = windows_[static_cast<std::size_t>(about)];
  if (window.over(now)) window.start = now, window.lines = 0;
  if (window.lines >= (level == LogLevel::error ? 2 * lines_max : lines_max)) {
    ++window.suppressed;
    return false;
  }
  ++window.lines;
  return true;
}

std::uint64_t LogBudget::take_suppressed(LogClass about, Instant now) {
  Window& window = windows_[static_cast<std::size_t>(about)];
  return window.over(now) ? std::exchange(window.suppressed, 0) : 0;
}

static void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
}

static std::string local_time(std::int64_t time_ns) {
  const time_t whole = static_cast<time_t>(time_ns / 1'000'000'000);
  tm parts{};
  ::localtime_r(&whole, &parts);
  char date[32], zone[8];
  ::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  ::strftime(zone, sizeof zone, "%z", &parts);
  return fmt::format("{}.{:03}{}", date, time_ns / 1'000'000 % 1000, zone);
}

std::string format_log_line(LogFormat format, LogLevel level, std::string_view message,
                            std::int64_t time_ns) {
  constexpr std::size_t message_bytes_max = 2000;
  std::string out = format == LogFormat::journal ? fmt::format("<{}>", static_cast<int>(level))
                                                 : local_time(time_ns) + ' ';
  out += fmt::format("mwtun: {}: ", to_string(level));
  append_escaped(out, message.substr(0, message_bytes_max));
  if (message.size() > message_bytes_max) out += "...";
  return out + '\n';
}

Log::Log(int descriptor, LogLevel most, LogFormat format)
    : Log(descriptor, most, format,
          {monotonic_now, [] { return static_cast<std::int64_t>(wall_clock_ns()); }}) {}

Log::Log(int descriptor, LogLevel most, LogFormat format, Clock clock)
    : descriptor_(descriptor), most_(most), format_(format), clock_(std::move(clock)) {}

Log::~Log() {
  const std::lock_guard lock(mutex_);
  write_suppressed(Instant::max());
}

bool Log::wants(LogLevel level) const {
  const std::lock_guard lock(mutex_);
  return level <= most_;
}

void Log::set_most(LogLevel most) {
  const std::lock_guard lock(mutex_);
  most_ = most;
}

void Log::line(LogLevel level, LogClass about, std::string_view message) {
  const std::lock_guard lock(mutex_);
  if (level > most_) return;
  const Instant now = clock_.monotonic();
  write_suppressed(now);
  if (budget_.allow(about, level, now)) write_line(level, message);
}

void Log::flush() {
  const std::lock_guard lock(mutex_);
  write_suppressed(clock_.monotonic());
}

void Log::write_suppressed(Instant now) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(LogClass::count_); ++i) {
    const auto about = static_cast<LogClass>(i);
    const std::uint64_t count = budget_.take_suppressed(about, now);
    if (count == 0) continue;
    write_line(LogLevel::warn,
               fmt::format("suppressed {} more line{} about {} (at most {} a second)", count,
                           count == 1 ? "" : "s", to_string(about), LogBudget::lines_max));
  }
}

void Log::write_line(LogLevel level, std::string_view message) {
  const std::string text = format_log_line(format_, level, message, clock_.real_ns());
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // Nowhere left to complain to.
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace mwtun
