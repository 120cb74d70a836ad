#include "cli/control_path.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "cli/exit_codes.hpp"

namespace mwtun {

std::string lock_path_of(const std::string& control_path) {
  return control_path + ".lock";
}

static Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{fmt::format("the control socket's path {} must have 1 to {} bytes", path,
                             sizeof address.sun_path - 1),
                 exit_config};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

static Result<void> make_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return {};
  const std::string folder = path.substr(0, slash);
  if (::mkdir(folder.c_str(), S_IRWXU) == 0 || errno == EEXIST) return {};
  return os_error(errno, "cannot make the folder " + folder + " for the control socket",
                  "run as root, or set control = to a path you may write");
}

static std::string holder_of(int lock) {
  char digits[24] = {};
  const ssize_t count = ::pread(lock, digits, sizeof digits - 1, 0);
  const std::string_view text(digits, count > 0 ? static_cast<std::size_t>(count) : 0);
  const std::string_view pid = text.substr(0, text.find('\n'));
  const bool numeric = !pid.empty() && pid.find_first_not_of("0123456789") == pid.npos;
  return numeric ? fmt::format("pid {}", pid) : "pid unknown";
}

Result<void> ControlPath::take_lock() {
  const std::string name = lock_path_of(path_);
  // The holder removes the file when it ends. Whoever opened it just before would lock a file
  // without a name, which keeps nobody out: so look whether the name still means what we locked.
  for (int attempt = 0; attempt < 100; ++attempt) {
    lock_.reset(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
    if (!lock_) {
      return os_error(errno, "cannot open " + name,
                      "run as root, or set control = to a path you may write");
    }
    if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return os_error(errno, "cannot lock " + name);
      return Error{
          fmt::format(
              "already running ({}): another mwtun holds {}; stop it, or set another control = "
              "for this one",
              holder_of(lock_.get()), path_),
          exit_os};
    }
    struct stat locked {
    }, named{};
    if (::fstat(lock_.get(), &locked) == 0 && ::stat(name.c_str(), &named) == 0 &&
        locked.st_ino == named.st_ino && locked.st_dev == named.st_dev) {
      const std::string pid = fmt::format("{}\n", ::getpid());
      if (::ftruncate(lock_.get(), 0) != 0 ||
          ::pwrite(lock_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
        return os_error(errno, "cannot write " + name);
      }
      return {};
    }
  }
  return Error{"cannot lock " + name + ": it is being replaced all the time", exit_os};
}

Result<void> ControlPath::remove_stale_socket() const {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return Error{
        fmt::format("{} exists and is not a socket; remove it, or set another control =", path_),
        exit_os};
  }
  if (::unlink(path_.c_str()) == 0 || errno == ENOENT) return {};
  return os_error(errno, "cannot remove the stale socket " + path_);
}

Result<void> ControlPath::listen_there() {
  const Result<sockaddr_un> address = unix_address(path_);
  if (!address) return address.error();
  listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_) return os_error(errno, "cannot make a socket for " + path_);
  // Before bind(), so that the file never has another mode; umask() would be the whole process's.
  if (::fchmod(listener_.get(), S_IRUSR | S_IWUSR) != 0 ||
      ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address.value()),
             sizeof(sockaddr_un)) != 0) {
    return os_error(errno, "cannot listen on " + path_, "set control = to a path you may write");
  }
  struct stat status {};
  if (::lstat(path_.c_str(), &status) == 0) device_ = status.st_dev, inode_ = status.st_ino;
  if (::chmod(path_.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(listener_.get(), 16) != 0) {
    return os_error(errno, "cannot listen on " + path_);
  }
  return {};
}

Result<ControlPath> ControlPath::claim(const std::string& path) {
  ControlPath claimed;
  if (const Result<sockaddr_un> address = unix_address(path); !address) return address.error();
  claimed.path_ = path;
  if (Result<void> made = make_folder_of(path); !made) return made.error();
  if (Result<void> locked = claimed.take_lock(); !locked) {
    claimed.lock_.reset();  // Not ours, so there is nothing for release() to remove.
    return locked.error();
  }
  if (Result<void> removed = claimed.remove_stale_socket(); !removed) return removed.error();
  if (Result<void> listening = claimed.listen_there(); !listening) return listening.error();
  return claimed;
}

ControlPath& ControlPath::operator=(ControlPath&& other) noexcept {
  if (this != &other) {
    release();
    path_ = std::move(other.path_);
    lock_ = std::move(other.lock_);
    listener_ = std::move(other.listener_);
    device_ = other.device_;
    inode_ = other.inode_;
  }
  return *this;
}

void ControlPath::release() {
  if (!lock_) return;
  struct stat status {};
  if (listener_ && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
      status.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  listener_.reset();
  // While it is still locked, so that no one else can hold it.
  ::unlink(lock_path_of(path_).c_str());
  lock_.reset();
}

}  // namespace mwtun
