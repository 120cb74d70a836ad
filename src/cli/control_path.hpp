#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "dataplane/io/fd.hpp"

namespace mwtun {

/// A place in the file system where one process at a time may listen: the socket PATH with mode
/// 0600, and PATH.lock, which that process holds with flock() and writes its id into. The kernel
/// lets go of the lock however the process ends, so a socket left behind by a killed one is known
/// to be stale and is replaced.
class ControlPath {
 public:
  /// Takes the lock, makes the folder (mode 0700) when only it is missing, and listens.
  /// Errors: 71 when another process holds the path ("already running"), or the system refuses; 77
  /// when we are not permitted.
  static Result<ControlPath> claim(const std::string& path);

  ControlPath(ControlPath&& other) noexcept = default;
  ControlPath& operator=(ControlPath&& other) noexcept;
  /// Removes the socket and the lock file.
  ~ControlPath() { release(); }

  const std::string& path() const { return path_; }
  /// The listening socket, non-blocking. Still owned by this.
  int listener() const { return listener_.get(); }

 private:
  ControlPath() = default;
  Result<void> take_lock();
  Result<void> remove_stale_socket() const;
  Result<void> listen_there();
  void release();

  std::string path_;
  Fd lock_;
  Fd listener_;
  // The socket file that is ours: another one there is not for us to remove.
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// PATH.lock
std::string lock_path_of(const std::string& control_path);

}  // namespace mwtun
