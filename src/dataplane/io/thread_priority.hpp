#pragma once
#include "base/result.hpp"

namespace mwtun {

inline constexpr int nice_min = -20;
inline constexpr int nice_max = 19;

/// Of the threads that carry the traffic: ahead of ordinary programs, as the kernel's network is.
inline constexpr int nice_usual = -10;

/// What nobody wrote down: the usual, or 0 where mwtun was started with a niceness or a policy of
/// somebody's choice (nice(1), chrt(1), a service's Nice=).
int unasked_nice();

/// Asks the scheduler of the kernel for this niceness of the calling thread (setpriority(2)), and
/// for short turns where it knows them (Linux 6.12 and later). 0 leaves all as it is.
/// Kernels with CONFIG_SCHED_AUTOGROUP weigh sessions before threads (sched(7)): if the process
/// leads its session, as a service does, that gets the niceness too; a shell's session is let be.
Result<void> set_thread_nice(int nice);

}  // namespace mwtun
