#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstdlib>
#include <sstream>
#include <thread>
#include <vector>

#include "cli/log.hpp"

using namespace mwtun;

namespace {

/// A log into a pipe, on a clock that the test sets.
class PipedLog {
 public:
  explicit PipedLog(LogLevel most) {
    REQUIRE(::pipe2(ends_, O_CLOEXEC | O_NONBLOCK) == 0);
    log.emplace(ends_[1], most, LogFormat::journal,
                Log::Clock{[this] { return now; }, [] { return std::int64_t{0}; }});
  }
  ~PipedLog() { ::close(ends_[0]), ::close(ends_[1]); }

  std::vector<std::string> lines() {
    std::string text;
    char part[4096];
    for (ssize_t count; (count = ::read(ends_[0], part, sizeof part)) > 0;) {
      text.append(part, static_cast<std::size_t>(count));
    }
    std::vector<std::string> out;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) out.push_back(line);
    return out;
  }

  Instant now{seconds(1000)};
  std::optional<Log> log;

 private:
  int ends_[2];
};

}  // namespace

TEST_CASE("a line has the program, the level and the message, on one line") {
  CHECK(format_log_line(LogFormat::journal, LogLevel::warn, "link lte: no answer", 0) ==
        "<4>mwtun: warning: link lte: no answer\n");
  CHECK(format_log_line(LogFormat::journal, LogLevel::error, "evil\n<0>forged\x1b[2J", 0) ==
        "<3>mwtun: error: evil\\x0a<0>forged\\x1b[2J\n");
  const std::string huge =
      format_log_line(LogFormat::journal, LogLevel::info, std::string(5000, 'x'), 0);
  CHECK(huge.size() < 2100);
  CHECK(huge.ends_with("x...\n"));
}

TEST_CASE("for people and files a line starts with the local time to a millisecond") {
  const char* before = std::getenv("TZ");
  const std::string kept = before != nullptr ? before : "";
  ::setenv("TZ", "CET-1", 1);
  ::tzset();
  const std::string line =
      format_log_line(LogFormat::timed, LogLevel::info, "up", 1'795'168'496'789'000'000);
  if (before != nullptr) {
    ::setenv("TZ", kept.c_str(), 1);
  } else {
    ::unsetenv("TZ");
  }
  ::tzset();
  CHECK(line == "2026-11-20T10:54:56.789+0100 mwtun: info: up\n");
}

TEST_CASE("lines below the level are not written") {
  PipedLog piped(LogLevel::info);
  piped.log->debug(LogClass::link, "no");
  piped.log->info(LogClass::link, "yes");
  CHECK_FALSE(piped.log->wants(LogLevel::debug));
  piped.log->set_most(LogLevel::warn);
  piped.log->info(LogClass::link, "no");
  piped.log->warn(LogClass::link, "yes");
  CHECK(piped.lines() == std::vector<std::string>{"<6>mwtun: info: yes", "<4>mwtun: warning: yes"});
}

TEST_CASE("a flood of one class is cut to ten lines a second, counted, and hides no other class") {
  PipedLog piped(LogLevel::info);
  for (int i = 0; i < 1000; ++i) piped.log->info(LogClass::link, "flap");
  piped.log->info(LogClass::peer, "other");
  std::vector<std::string> lines = piped.lines();
  REQUIRE(lines.size() == 11);
  CHECK(lines.back() == "<6>mwtun: info: other");

  piped.now += milliseconds(999);
  piped.log->info(LogClass::link, "flap");
  piped.log->flush();
  CHECK(piped.lines().empty());
  piped.now += milliseconds(1);
  piped.log->flush();
  CHECK(piped.lines() ==
        std::vector<std::string>{
            "<4>mwtun: warning: suppressed 991 more lines about link (at most 10 a second)"});
  piped.log->flush();
  CHECK(piped.lines().empty());
  piped.log->info(LogClass::link, "again");
  CHECK(piped.lines() == std::vector<std::string>{"<6>mwtun: info: again"});
}

TEST_CASE("errors pass a flood of lesser lines, and are bounded too") {
  PipedLog piped(LogLevel::info);
  for (int i = 0; i < 100; ++i) piped.log->info(LogClass::program, "noise");
  for (int i = 0; i < 100; ++i) piped.log->error(LogClass::program, "bad");
  const std::vector<std::string> lines = piped.lines();
  REQUIRE(lines.size() == 20);
  CHECK(lines[10] == "<3>mwtun: error: bad");
}

TEST_CASE("what was held back is told when the log ends") {
  PipedLog piped(LogLevel::info);
  for (int i = 0; i < 11; ++i) piped.log->info(LogClass::name, "x");
  piped.log.reset();
  CHECK(piped.lines().back() ==
        "<4>mwtun: warning: suppressed 1 more line about name (at most 10 a second)");
}

TEST_CASE("lines of several threads do not mix") {
  PipedLog piped(LogLevel::info);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&piped, i] {
      for (int k = 0; k < 20; ++k) {
        piped.log->info(static_cast<LogClass>(i), std::string(200, static_cast<char>('a' + i)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = piped.lines();
  CHECK(lines.size() == 40);
  for (const std::string& line : lines) {
    REQUIRE(line.size() == 216);
    CHECK(line.substr(16) == std::string(200, line[16]));
  }
}

TEST_CASE("the journal's format is for the journal's own stream only") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  struct stat status {};
  REQUIRE(::fstat(ends[1], &status) == 0);
  ::setenv("JOURNAL_STREAM",
           (std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino)).c_str(), 1);
  CHECK(log_format_for(ends[1]) == LogFormat::journal);
  CHECK(log_format_for(STDIN_FILENO) == LogFormat::timed);
  ::setenv("JOURNAL_STREAM", "1:1", 1);
  CHECK(log_format_for(ends[1]) == LogFormat::timed);
  ::unsetenv("JOURNAL_STREAM");
  CHECK(log_format_for(ends[1]) == LogFormat::timed);
  ::close(ends[0]), ::close(ends[1]);
}
