#pragma once

namespace mwtun {
/// Prints what broke and where, then aborts. For our own broken invariants, never for input.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}  // namespace mwtun

/// Stays on in release builds. Must not be reachable from bytes off the network.
#define MWTUN_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::mwtun::assertion_failed(#condition, __FILE__, __LINE__))
