#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "dataplane/io/fd.hpp"

namespace mwtun {

/// Messages from any thread to one: the receiver's loop waits for fd() to be readable and takes all
/// of them at once. Never on the per-packet path.
template <typename Message>
class Mailbox {
 public:
  Mailbox() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { MWTUN_ASSERT(bool(event_)); }

  /// Any thread. False, and the message is gone, when `most` wait already.
  bool post(Message message, std::size_t most = SIZE_MAX) {
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.size() >= most) return false;
      waiting_.push_back(std::move(message));
      // Who made it more than none has woken the receiver, who takes this one too.
      if (waiting_.size() > 1) return true;
    }
    const std::uint64_t one = 1;
    // The counter cannot overflow before the receiver reads it, so there is no error to handle.
    [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);
    return true;
  }

  /// Readable while messages wait.
  int fd() const { return event_.get(); }

  /// The receiver: everything posted so far, oldest first. Puts fd() to rest.
  void take(std::vector<Message>& into) {
    into.clear();
    std::uint64_t count = 0;
    // Before the swap: a message posted in between then wakes us once too often, not too seldom.
    [[maybe_unused]] const ssize_t got = read(event_.get(), &count, sizeof count);
    const std::lock_guard lock(mutex_);
    std::swap(into, waiting_);
  }

 private:
  Fd event_;
  std::mutex mutex_;
  std::vector<Message> waiting_;
};

}  // namespace mwtun
