#pragma once
#include <cerrno>
#include <ctime>

namespace mwtun {

/// Calls `attempt` until it is true or fails with another error than `held`, for a second at most.
/// The kernel takes the io_uring of a killed process down some time after the process's end, and
/// until then what was in it (an interface, a port) is still held. errno is the last attempt's.
template <class Attempt>
bool while_still_held(int held, Attempt attempt) {
  constexpr int tries_max = 20;
  constexpr long pause_ms = 50;
  bool done = attempt();
  for (int i = 0; !done && errno == held && i < tries_max; ++i) {
    const timespec pause{0, pause_ms * 1'000'000};
    nanosleep(&pause, nullptr);
    done = attempt();
  }
  return done;
}

}  // namespace mwtun
