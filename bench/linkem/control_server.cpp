#include "linkem/control_server.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "linkem/control_client.hpp"

namespace mwtun::linkem {
namespace {

constexpr std::size_t clients_max = 16;
constexpr std::size_t command_bytes_max = 4096;

bool watch(const Descriptor& loop, const Descriptor& socket) {
  epoll_event event{};
  event.events = EPOLLIN;
  return epoll_ctl(loop.fd(), EPOLL_CTL_ADD, socket.fd(), &event) == 0;
}

}  // namespace

Result<ControlServer> ControlServer::listen(const std::string& path) {
  const auto failed = [&path](const char* what) {
    return Error{fmt::format("control socket \"{}\": {}: {}", path, what, std::strerror(errno)),
                 71};
  };
  const Result<sockaddr_un> address = unix_address(path);
  if (!address.ok()) return address.error();
  if (connect_control(path).ok()) {
    return Error{fmt::format("control socket \"{}\": another linkem listens there", path), 71};
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) unlink(path.c_str());

  ControlServer server;
  server.loop_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  server.listener_ = Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!server.loop_.open() || !server.listener_.open()) return failed("cannot open");
  const mode_t old_mask = umask(0077);  // whoever may connect may cut the line
  const int bound = bind(server.listener_.fd(), reinterpret_cast<const sockaddr*>(&address.value()),
                         sizeof(sockaddr_un));
  umask(old_mask);
  if (bound != 0) return failed("cannot bind");
  server.path_ = path;
  if (::listen(server.listener_.fd(), clients_max) != 0 || !watch(server.loop_, server.listener_)) {
    return failed("cannot listen");
  }
  return server;
}

ControlServer& ControlServer::operator=(ControlServer&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(loop_, other.loop_);
  std::swap(listener_, other.listener_);
  std::swap(clients_, other.clients_);
  return *this;
}

ControlServer::~ControlServer() {
  if (!path_.empty()) unlink(path_.c_str());
}

void ControlServer::serve(const std::function<std::string(std::string_view)>& execute) {
  accept_clients();
  clients_.remove_if([&execute](Client& client) { return !serve_client(client, execute); });
}

void ControlServer::accept_clients() {
  while (true) {
    Descriptor socket(accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.open()) return;
    if (clients_.size() >= clients_max || !watch(loop_, socket)) continue;
    clients_.push_back({std::move(socket), {}});
  }
}

bool ControlServer::serve_client(Client& client,
                                 const std::function<std::string(std::string_view)>& execute) {
  std::array<char, command_bytes_max> buffer;
  const ssize_t got = recv(client.socket.fd(), buffer.data(), buffer.size(), 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  client.unread.append(buffer.data(), static_cast<std::size_t>(got));
  std::size_t end = 0;
  while ((end = client.unread.find('\n')) != std::string::npos) {
    const std::string answer = execute(std::string_view(client.unread).substr(0, end)) + "\n";
    client.unread.erase(0, end + 1);
    // An answer fits the socket's buffer; a client that does not read its answers is dropped.
    if (send(client.socket.fd(), answer.data(), answer.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(answer.size())) {
      return false;
    }
  }
  return client.unread.size() < command_bytes_max;
}

}  // namespace mwtun::linkem
