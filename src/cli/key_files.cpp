#include "cli/key_files.hpp"
#include "cli/exit_codes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "crypto/memory.hpp"
#include "dataplane/io/fd.hpp"

namespace mwtun {

namespace {

Error failed(std::string message, int exit_code = exit_config) {
  return Error{std::move(message), exit_code};
}

Error not_opened(const std::string& path, int code) {
  if (code == EACCES || code == EPERM) {
    return failed(
        fmt::format("cannot read {}: permission denied; run as root or as its owner", path),
        exit_permission);
  }
  if (code == ENOENT) return failed(fmt::format("there is no file {}", path));
  return failed(fmt::format("cannot read {}: {}", path, errno_text(code)));
}

/// At most `bytes_max` + 1 bytes, so that the caller sees when there were more.
Result<std::string> read_all(int fd, const std::string& path, std::size_t bytes_max) {
  std::string text(bytes_max + 1, '\0');
  std::size_t used = 0;
  while (used < text.size()) {
    const ssize_t count = ::read(fd, text.data() + used, text.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int code = errno;
      wipe_text(text);
      return failed(fmt::format("cannot read {}: {}", path, errno_text(code)));
    }
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
  }
  text.resize(used);
  return text;
}

}  // namespace

void wipe_text(std::string& text) {
  text.resize(text.capacity());
  wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  text.clear();
}

Result<std::string> read_small_file(const std::string& path, std::size_t bytes_max) {
  // O_NONBLOCK: opening a fifo nobody writes to would wait for ever.
  const Fd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!file) return not_opened(path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return not_opened(path, errno);
  if (!S_ISREG(status.st_mode)) return failed(fmt::format("{} is not a regular file", path));
  if (status.st_size > static_cast<off_t>(bytes_max)) {
    return failed(
        fmt::format("{} has {} bytes; at most {} are read", path, status.st_size, bytes_max));
  }
  Result<std::string> text = read_all(file.get(), path, bytes_max);
  if (text && text.value().size() > bytes_max) {
    return failed(fmt::format("{} grew beyond {} bytes while it was read", path, bytes_max));
  }
  return text;
}

Result<Secret<32>> KeyFiles::read_key(std::string_view name) {
  if (name.find('\0') != std::string_view::npos)
    return failed("the name of the key file holds a NUL");
  const bool absolute = name.starts_with('/');
  const std::string path =
      absolute || folder_.empty() ? std::string(name) : fmt::format("{}/{}", folder_, name);
  const Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!file) {
    const int code = errno;
    if (code == ELOOP) {
      return failed(fmt::format("{} is a symbolic link; name the key file itself", path));
    }
    if (code == ENOENT) {
      return failed(
          fmt::format("there is no key file {}; make one with: mwtun genkey {}", path, path));
    }
    return not_opened(path, code);
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return not_opened(path, errno);
  if (!S_ISREG(status.st_mode)) return failed(fmt::format("{} is not a regular file", path));
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
    return failed(
        fmt::format("key file {} belongs to user {}, who could change it; make it yours: "
                    "chown {} {}",
                    path, status.st_uid, ::geteuid(), path));
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return failed(fmt::format("key file {} is open to others (mode {:04o}); close it: chmod 600 {}",
                              path, status.st_mode & 07777, path));
  }
  constexpr std::size_t key_file_bytes_max = 4096;
  Result<std::string> text = read_all(file.get(), path, key_file_bytes_max);
  if (!text) return text.error();
  Result<Secret<32>> key = key_from_text(text.value(), path);
  wipe_text(text.value());
  return key;
}

Result<Secret<32>> key_from_text(std::string_view text, std::string_view where) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return failed(fmt::format("{} is empty, not a key", where));
  text = text.substr(first, text.find_last_not_of(blanks) - first + 1);
  std::optional<Secret<32>> key = from_base64_32(text);
  if (!key) {
    // The text itself may be most of a key and stays out of the message.
    return failed(
        fmt::format("{} does not hold a key: expected 44 characters of base64 (as mwtun genkey "
                    "and mwtun genpsk write), found {}",
                    where, text.size()));
  }
  return std::move(*key);
}

Result<void> write_key_file(const std::string& path, const Secret<32>& key) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       S_IRUSR | S_IWUSR));
  if (!file) {
    const int code = errno;
    const std::string why =
        code == EEXIST ? "it exists, and keys are never overwritten" : errno_text(code);
    return failed(fmt::format("cannot make {}: {}", path, why),
                  code == EACCES || code == EPERM ? exit_permission : exit_os);
  }
  std::string text = to_base64(key.view());
  text += '\n';
  const ssize_t written = ::write(file.get(), text.data(), text.size());
  const bool whole = written == static_cast<ssize_t>(text.size()) && ::fsync(file.get()) == 0;
  const int code = errno;
  wipe_text(text);
  if (!whole) {
    ::unlink(path.c_str());
    return failed(fmt::format("cannot write {}: {}", path, errno_text(code)), exit_os);
  }
  return {};
}

}  // namespace mwtun
