#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"

namespace mwtun {

/// The values are syslog's, as the journal reads them from "<6>".
enum class LogLevel : std::uint8_t { error = 3, warn = 4, info = 6, debug = 7 };
const char* to_string(LogLevel level);
/// "warn", "info" or "debug", as the configuration file has them.
std::optional<LogLevel> log_level_from_name(std::string_view name);

/// What a line is about. Each class has its own budget of lines, so a flood of one hides no other.
enum class LogClass : std::uint8_t {
  program,
  peer,
  link,
  network,
  interface,
  name,
  control,
  count_
};
const char* to_string(LogClass about);

/// How lines look: with a time for people and files, with a syslog level for the journal.
enum class LogFormat : std::uint8_t { timed, journal };
/// What suits the descriptor: journal when systemd says in JOURNAL_STREAM that it reads this one.
LogFormat log_format_for(int descriptor);

/// At most `lines_max` lines of each class within each second, the rest counted. Errors may use as
/// many again, so that a flood of warnings does not hide them. Pure.
class LogBudget {
 public:
  static constexpr std::uint32_t lines_max = 10;

  /// False when the line must not be written.
  bool allow(LogClass about, LogLevel level, Instant now);
  /// How many lines of the class were held back in a second that is over; forgets them.
  std::uint64_t take_suppressed(LogClass about, Instant now);

 private:
  struct Window {
    Instant start = Instant::min();
    std::uint32_t lines = 0;
    std::uint64_t suppressed = 0;
    bool over(Instant now) const { return start == Instant::min() || now - start >= seconds(1); }
  };
  std::array<Window, static_cast<std::size_t>(LogClass::count_)> windows_;
};

/// One line of text, with its newline. Control characters (link names come from the far end) are
/// escaped, so one message is always one line. `time_ns` is real time since 1970.
std::string format_log_line(LogFormat format, LogLevel level, std::string_view message,
                            std::int64_t time_ns);

/// Writes "mwtun: level: message" lines to a descriptor. Any thread may call it. Not for the data
/// path: a write may wait for whoever reads the other end.
class Log {
 public:
  /// Reads the monotonic and the real clock by itself; tests give theirs.
  struct Clock {
    std::function<Instant()> monotonic;
    std::function<std::int64_t()> real_ns;
  };
  Log(int descriptor, LogLevel most, LogFormat format);
  Log(int descriptor, LogLevel most, LogFormat format, Clock clock);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void error(LogClass about, std::string_view message) { line(LogLevel::error, about, message); }
  void warn(LogClass about, std::string_view message) { line(LogLevel::warn, about, message); }
  void info(LogClass about, std::string_view message) { line(LogLevel::info, about, message); }
  void debug(LogClass about, std::string_view message) { line(LogLevel::debug, about, message); }
  void line(LogLevel level, LogClass about, std::string_view message);

  /// So that the caller need not format what nobody will read.
  bool wants(LogLevel level) const;
  /// For a reload.
  void set_most(LogLevel most);
  /// Says how many lines were held back; call it about once a second, or when convenient.
  void flush();

 private:
  void write_suppressed(Instant now);
  void write_line(LogLevel level, std::string_view message);

  mutable std::mutex mutex_;
  int descriptor_;
  LogLevel most_;
  LogFormat format_;
  Clock clock_;
  LogBudget budget_;
};

}  // namespace mwtun
