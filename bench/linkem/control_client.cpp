#include "linkem/control_client.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace mwtun::linkem {

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return Error{fmt::format("control socket \"{}\": a path has 1 to {} characters", path,
                             sizeof(address.sun_path) - 1),
                 64};
  }
  path.copy(address.sun_path, path.size());
  return address;
}

Result<Descriptor> connect_control(const std::string& path) {
  const Result<sockaddr_un> address = unix_address(path);
  if (!address.ok()) return address.error();
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.open() || connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address.value()),
                                sizeof(sockaddr_un)) != 0) {
    return Error{fmt::format("cannot reach linkem at \"{}\": {}; is it running with --control?",
                             path, std::strerror(errno)),
                 69};
  }
  return socket;
}

Result<std::string> ask(const std::string& path, const std::string& command) {
  const Result<Descriptor> socket = connect_control(path);
  if (!socket.ok()) return socket.error();
  const timeval patience{5, 0};
  setsockopt(socket.value().fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  const std::string line = command + "\n";
  if (send(socket.value().fd(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    return Error{fmt::format("cannot send to linkem at \"{}\": {}", path, std::strerror(errno)),
                 69};
  }
  std::string answer;
  std::array<char, 4096> buffer;
  while (answer.find('\n') == std::string::npos) {
    const ssize_t got = recv(socket.value().fd(), buffer.data(), buffer.size(), 0);
    if (got <= 0) {
      return Error{fmt::format("linkem at \"{}\" gave no answer: {}", path,
                               got == 0 ? "it closed the connection" : std::strerror(errno)),
                   75};
    }
    answer.append(buffer.data(), static_cast<std::size_t>(got));
  }
  answer.resize(answer.find('\n'));
  return answer;
}

}  // namespace mwtun::linkem
