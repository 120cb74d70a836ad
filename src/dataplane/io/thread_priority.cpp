#include "dataplane/io/thread_priority.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "dataplane/io/fd.hpp"
#include "dataplane/io/os_error.hpp"

namespace mwtun {

/// A full turn would keep a round trip waiting for 3 ms where somebody else has the same weight.
static constexpr std::uint64_t turn_ns = 200'000;

/// The kernel's struct sched_attr in its first size; glibc 2.36 and musl have none.
struct SchedAttributes {
  std::uint32_t size = sizeof(SchedAttributes);
  std::uint32_t policy = 0;  // SCHED_OTHER
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(SchedAttributes) == 48);

/// Older kernels take no notice of the length of a turn.
static void ask_for_short_turns(int nice) {
  SchedAttributes attributes;
  attributes.nice = nice;
  attributes.runtime_ns = turn_ns;
  syscall(SYS_sched_setattr, 0, &attributes, 0u);
}

/// sched_setattr sets the policy too, and somebody's real-time one shall stand.
static bool ordinary_policy() {
  return sched_getscheduler(0) == SCHED_OTHER;
}

static void set_session_nice(int nice) {
  if (getsid(0) != getpid()) return;
  const Fd file(open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC));
  if (!file) return;  // This kernel has no groups of sessions.
  const std::string text = std::to_string(nice);
  // Refused, the thread's own niceness still counts within its group.
  [[maybe_unused]] const ssize_t written = write(file.get(), text.data(), text.size());
}

int unasked_nice() {
  return ordinary_policy() && getpriority(PRIO_PROCESS, 0) == 0 ? nice_usual : 0;
}

Result<void> set_thread_nice(int nice) {
  if (nice == 0) return {};
  // Of this thread alone: Linux takes its number, or 0, for a "process".
  if (setpriority(PRIO_PROCESS, 0, nice) != 0) {
    return os_error(errno, "cannot give the data threads nice " + std::to_string(nice),
                    "run as root or with CAP_SYS_NICE, or set \"nice\" to 0");
  }
  if (ordinary_policy()) ask_for_short_turns(nice);
  set_session_nice(nice);
  return {};
}

}  // namespace mwtun
