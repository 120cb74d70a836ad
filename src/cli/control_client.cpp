#include "cli/control_client.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "cli/exit_codes.hpp"
#include "dataplane/io/fd.hpp"
#include "dataplane/io/system_clock.hpp"

namespace mwtun {

static constexpr std::size_t answer_bytes_max = 16 << 20;

static Error not_connected(const std::string& path, int code) {
  switch (code) {
    case EACCES:
    case EPERM:
      return Error{
          fmt::format(
              "not permitted to ask {}; run as root (sudo) or as the user the tunnel runs as",
              path),
          exit_permission};
    case ENOENT:
      return Error{
          fmt::format(
              "no tunnel runs at {}: there is no such socket; start it with mwtun client FILE or "
              "mwtun server FILE",
              path),
          exit_unavailable};
    case ECONNREFUSED:
      return Error{
          fmt::format(
              "no tunnel runs at {}: the socket was left behind by one that was killed; start it "
              "again",
              path),
          exit_unavailable};
    case EAGAIN:
      return Error{fmt::format("the tunnel at {} is too busy to answer; try again", path),
                   exit_timeout};
    default:
      return Error{fmt::format("cannot ask {}: {}", path, errno_text(code)), exit_unavailable};
  }
}

/// Waits until the socket can be read or written. False: the time is up.
static bool wait_for(int fd, short events, Instant until) {
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(until - monotonic_now()).count();
    if (left <= 0) return false;
    pollfd waiting{fd, events, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<long>(left, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

Result<std::string> query_control(const std::string& path, std::string_view request,
                                  Duration timeout) {
  const Instant until = monotonic_now() + timeout;
  const Error late{fmt::format("the tunnel at {} did not answer within {:.1f} s", path,
                               std::chrono::duration<double>(timeout).count()),
                   exit_timeout};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{fmt::format("{} is too long for the path of a socket (at most {} bytes)", path,
                             sizeof address.sun_path - 1),
                 exit_usage};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return os_error(errno, "cannot make a socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return not_connected(path, errno);
  }

  std::string line(request);
  line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t sent = ::send(socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      break;  // Refused early: the answer says why.
    } else if (errno != EAGAIN && errno != EINTR) {
      return not_connected(path, errno);
    } else if (!wait_for(socket.get(), POLLOUT, until)) {
      return late;
    }
  }

  std::string answer;
  while (answer.size() <= answer_bytes_max) {
    char part[16384];
    const ssize_t count = ::recv(socket.get(), part, sizeof part, 0);
    if (count > 0) {
      const std::string_view piece(part, static_cast<std::size_t>(count));
      const std::size_t end = piece.find('\n');
      answer.append(piece.substr(0, end));
      if (end != piece.npos) return answer;
    } else if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (!wait_for(socket.get(), POLLIN, until)) return late;
    } else {
      return Error{fmt::format("the tunnel at {} closed the connection without an answer", path),
                   exit_unavailable};
    }
  }
  return Error{fmt::format("the answer of {} is too long", path), exit_unavailable};
}

Result<StatusReport> query_status(const std::string& path) {
  const Result<std::string> answer = query_control(path, "status");
  if (!answer) return answer.error();
  return status_from_json(answer.value());
}

Result<std::vector<std::string>> control_sockets_in(const std::string& folder) {
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), ::closedir);
  if (!listing) {
    if (errno == ENOENT) return found;
    return os_error(errno, "cannot look for running tunnels in " + folder, "run as root (sudo)");
  }
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string path = folder + "/" + entry->d_name;
    struct stat status {};
    if (path.ends_with(".sock") && ::lstat(path.c_str(), &status) == 0 &&
        S_ISSOCK(status.st_mode)) {
      found.push_back(path);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace mwtun
