#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <boost/asio/io_context.hpp>
#include <cstring>
#include <filesystem>
#include <thread>

#include "cli/control_client.hpp"
#include "cli/control_path.hpp"
#include "cli/control_socket.hpp"
#include "dataplane/io/fd.hpp"
#include "sample_status.hpp"
#include "temp_folder.hpp"

using namespace mwtun;

namespace {

/// A server whose loop runs in a thread of its own, as the control thread does.
class Running {
 public:
  Running(const std::string& path, ControlServer::Handler handler, ControlLimits limits = {})
      : server_(start(context_, path, std::move(handler), limits)),
        thread_([this] { context_.run(); }) {}
  ~Running() {
    context_.stop();
    thread_.join();
  }

 private:
  static ControlServer start(boost::asio::io_context& context, const std::string& path,
                             ControlServer::Handler handler, ControlLimits limits) {
    Result<ControlServer> server = ControlServer::open(context, path, std::move(handler), limits);
    INFO((server ? "" : server.error().message));
    REQUIRE(server.ok());
    return server.take();
  }

  boost::asio::io_context context_;
  ControlServer server_;
  std::thread thread_;
};

void echo(std::string_view request, const ControlServer::Reply& reply) {
  reply("got " + std::string(request));
}

/// A client that does as it is told; its reads and writes wait at most 10 s.
class RawClient {
 public:
  explicit RawClient(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const timeval patience{10, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    REQUIRE(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  bool send(const std::string& text) {
    for (std::string_view rest = text; !rest.empty();) {
      const ssize_t sent = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Everything up to the end of the connection.
  std::string read_all() {
    std::string text;
    char part[4096];
    for (ssize_t count; (count = ::recv(socket_.get(), part, sizeof part, 0)) > 0;) {
      text.append(part, static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  Fd socket_;
};

}  // namespace

TEST_CASE("a request line gets an answer line") {
  const TempFolder folder;
  const Running server(folder / "home.sock", echo);
  const Result<std::string> answer = query_control(folder / "home.sock", "status");
  REQUIRE(answer.ok());
  CHECK(answer.value() == "got status");

  RawClient client(folder / "home.sock");
  REQUIRE(client.send("sta"));
  REQUIRE(client.send("tus\nsecond line\n"));
  CHECK(client.read_all() == "got status\n");
}

TEST_CASE("a status goes over the socket whole") {
  const TempFolder folder;
  StatusReport big = sample_status();
  for (int i = 0; i < 500; ++i) big.peers.push_back(big.peers.front());
  const Running server(folder / "home.sock",
                       [&big](std::string_view request, const ControlServer::Reply& reply) {
                         CHECK(request == "status");
                         reply(status_to_json(big));
                       });
  const Result<StatusReport> got = query_status(folder / "home.sock");
  REQUIRE(got.ok());
  CHECK(got.value() == big);
}

TEST_CASE("the socket and its folder are for their owner alone, and gone afterwards") {
  const TempFolder folder;
  const std::string path = folder / "run/home.sock";
  const mode_t before = ::umask(0);
  {
    const Running server(path, echo);
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
    REQUIRE(::stat((folder / "run").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0700);
    REQUIRE(::stat(lock_path_of(path).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
    CHECK(control_sockets_in(folder / "run").value() == std::vector<std::string>{path});
  }
  ::umask(before);
  CHECK(std::filesystem::is_empty(folder / "run"));
  CHECK(control_sockets_in(folder / "run").value().empty());
  CHECK(control_sockets_in(folder / "none").value().empty());
}

TEST_CASE("a second instance on the same path is refused and leaves the first one alone") {
  const TempFolder folder;
  const std::string path = folder / "home.sock";
  const Running server(path, echo);
  const Result<ControlPath> second = ControlPath::claim(path);
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().exit_code == 71);
  CHECK(second.error().message.starts_with("already running (pid " + std::to_string(::getpid()) +
                                           "): another mwtun holds " + path));
  CHECK(query_control(path, "still there").value() == "got still there");
}

TEST_CASE("the socket of a killed instance is taken over") {
  const TempFolder folder;
  const std::string path = folder / "home.sock";
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const Result<ControlPath> claimed = ControlPath::claim(path);
    const char sign = claimed ? 'y' : 'n';
    if (::write(ready[1], &sign, 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char sign = 0;
  REQUIRE(::read(ready[0], &sign, 1) == 1);
  REQUIRE(sign == 'y');
  const Result<ControlPath> early = ControlPath::claim(path);
  CHECK_FALSE(early.ok());
  CHECK(early.error().message.find("(pid " + std::to_string(child) + ")") != std::string::npos);

  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  ::close(ready[0]), ::close(ready[1]);
  CHECK(std::filesystem::exists(path));
  const Result<std::string> nobody = query_control(path, "status");
  REQUIRE_FALSE(nobody.ok());
  CHECK(nobody.error().exit_code == 69);
  CHECK(nobody.error().message.find("left behind") != std::string::npos);

  const Running server(path, echo);
  CHECK(query_control(path, "hello").value() == "got hello");
}

TEST_CASE("what is no socket is never removed from a control path") {
  const TempFolder folder;
  const std::string path = folder.write("home.sock", "precious");
  const Result<ControlPath> claimed = ControlPath::claim(path);
  REQUIRE_FALSE(claimed.ok());
  CHECK(claimed.error().exit_code == 71);
  CHECK(claimed.error().message.find("is not a socket") != std::string::npos);
  CHECK(std::filesystem::file_size(path) == 8);
  CHECK_FALSE(std::filesystem::exists(lock_path_of(path)));
}

TEST_CASE("a lock file that is a symbolic link is not followed") {
  const TempFolder folder;
  const std::string victim = folder.write("victim", "precious");
  REQUIRE(::symlink(victim.c_str(), (folder / "home.sock.lock").c_str()) == 0);
  CHECK_FALSE(ControlPath::claim(folder / "home.sock").ok());
  CHECK(std::filesystem::file_size(victim) == 8);
}

TEST_CASE("an instance does not remove the socket of its successor") {
  const TempFolder folder;
  const std::string path = folder / "home.sock";
  Result<ControlPath> first = ControlPath::claim(path);
  REQUIRE(first.ok());
  // Somebody removed both files by hand, and another instance started.
  REQUIRE(::unlink(path.c_str()) == 0);
  REQUIRE(::unlink(lock_path_of(path).c_str()) == 0);
  const Result<ControlPath> second = ControlPath::claim(path);
  REQUIRE(second.ok());
  { const ControlPath ended = first.take(); }
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("a path too long for a socket, or in a folder that cannot be made, is refused") {
  const TempFolder folder;
  CHECK(ControlPath::claim(folder / std::string(120, 'x')).error().exit_code == 78);
  CHECK(ControlPath::claim(folder / "a/b/home.sock").error().exit_code == 71);
  CHECK(query_control(folder / std::string(120, 'x'), "status").error().exit_code == 64);
}

TEST_CASE("a client that never ends its line is cut off at the deadline") {
  const TempFolder folder;
  ControlLimits limits;
  limits.deadline = milliseconds(20);
  const Running server(folder / "home.sock", echo, limits);
  RawClient silent(folder / "home.sock"), slow(folder / "home.sock");
  REQUIRE(slow.send("stat"));
  CHECK(slow.read_all().empty());
  CHECK(silent.read_all().empty());
}

TEST_CASE("a client that does not read its answer is cut off at the deadline") {
  const TempFolder folder;
  ControlLimits limits;
  limits.deadline = milliseconds(100);
  limits.clients_max = 1;
  const Running server(
      folder / "home.sock",
      [](std::string_view request, const ControlServer::Reply& reply) {
        reply(request == "big" ? std::string(8 << 20, 'x') : "small");
      },
      limits);
  RawClient stuck(folder / "home.sock");
  REQUIRE(stuck.send("big\n"));
  // Its place is free again once it has been cut off.
  const auto served = [&] {
    const Result<std::string> answer = query_control(folder / "home.sock", "status");
    return answer && answer.value() == "small";
  };
  while (!served()) {
  }
  CHECK(stuck.read_all().size() < 8u << 20);
}

TEST_CASE("a request of more than 64 KiB is refused, and one of 64 KiB is not") {
  const TempFolder folder;
  const Running server(folder / "home.sock", echo);
  RawClient fits(folder / "home.sock");
  REQUIRE(fits.send(std::string(64 * 1024 - 1, 'a') + "\n"));
  CHECK(fits.read_all() == "got " + std::string(64 * 1024 - 1, 'a') + "\n");

  RawClient flood(folder / "home.sock");
  CHECK_FALSE(flood.send(std::string(64 << 20, 'a')));
  CHECK(flood.read_all() == control_error("the request is too long") + "\n");
}

TEST_CASE("a ninth client at once is turned away, and served when a place is free") {
  const TempFolder folder;
  const Running server(folder / "home.sock", echo);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(std::make_unique<RawClient>(folder / "home.sock"));
  RawClient ninth(folder / "home.sock");
  CHECK(ninth.read_all() == control_error("too many clients; try again") + "\n");
  REQUIRE(clients.front()->send("x\n"));
  CHECK(clients.front()->read_all() == "got x\n");
  CHECK(query_control(folder / "home.sock", "y").value() == "got y");
  clients.clear();
}

TEST_CASE("another user is refused even when the socket lets it in") {
  if (::geteuid() != 0) return;  // Only root can become somebody else.
  const TempFolder folder;
  const std::string path = folder / "home.sock";
  const Running server(path, echo);
  REQUIRE(::chmod(folder.path().c_str(), 0711) == 0);
  const auto ask_as_other = [&path] {
    int answer[2];
    REQUIRE(::pipe(answer) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      if (::setresuid(12345, 12345, 12345) != 0) ::_exit(1);
      const Result<std::string> got = query_control(path, "status");
      const std::string text = got ? got.value() : std::to_string(got.error().exit_code);
      ::_exit(::write(answer[1], text.data(), text.size()) > 0 ? 0 : 1);
    }
    ::close(answer[1]);
    std::string text(4096, '\0');
    const ssize_t count = ::read(answer[0], text.data(), text.size());
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    ::close(answer[0]);
    ::waitpid(child, nullptr, 0);
    return text;
  };
  CHECK(ask_as_other() == "77");
  REQUIRE(::chmod(path.c_str(), 0666) == 0);
  CHECK(ask_as_other() == control_error("not permitted: run as root or as the tunnel's user"));
}

TEST_CASE("an answer may come later, and too late does no harm") {
  const TempFolder folder;
  boost::asio::io_context context;
  ControlServer::Reply kept;
  Result<ControlServer> server = ControlServer::open(
      context, folder / "home.sock",
      [&kept](std::string_view, ControlServer::Reply reply) { kept = std::move(reply); });
  REQUIRE(server.ok());
  RawClient client(folder / "home.sock");
  REQUIRE(client.send("status\n"));
  while (!kept) context.run_one();
  CHECK(server.value().clients() == 1);
  kept("later");
  kept("twice");
  while (server.value().clients() > 0) context.run_one();
  CHECK(client.read_all() == "later\n");
  kept("too late");

  RawClient second(folder / "home.sock");
  REQUIRE(second.send("status\n"));
  kept = nullptr;
  while (!kept) context.run_one();
  { const ControlServer ended = server.take(); }
  kept("nobody is there");
  context.poll();
  CHECK(second.read_all().empty());
}

TEST_CASE("a handler that throws costs its client the answer and nobody else anything") {
  const TempFolder folder;
  const Running server(folder / "home.sock",
                       [](std::string_view request, const ControlServer::Reply& reply) {
                         if (request == "bad") throw std::runtime_error("no such thing");
                         reply("good");
                       });
  CHECK(query_control(folder / "home.sock", "bad").value() == control_error("no such thing"));
  CHECK(query_control(folder / "home.sock", "x").value() == "good");
}

TEST_CASE("asking where nothing runs says so and how to start it") {
  const TempFolder folder;
  const Result<std::string> answer = query_control(folder / "home.sock", "status");
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().exit_code == 69);
  CHECK(answer.error().message.find("start it with mwtun client FILE") != std::string::npos);
}

TEST_CASE("a tunnel that does not answer in time is a time-out") {
  const TempFolder folder;
  const Running server(folder / "home.sock", [](std::string_view, const ControlServer::Reply&) {});
  const Result<std::string> answer =
      query_control(folder / "home.sock", "status", milliseconds(10));
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().exit_code == 75);
}
