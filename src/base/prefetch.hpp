#pragma once

namespace mwtun {

/// Asks for memory that is written soon: records of what is under way are touched twice a datagram
/// with megabytes of payload between, and waiting for them was a sixth of our own time.
template <typename T>
inline void prefetch(const T& object) {
  constexpr unsigned long line_bytes = 64;
  const auto* at = reinterpret_cast<const char*>(&object);
  for (unsigned long i = 0; i < sizeof(T); i += line_bytes) __builtin_prefetch(at + i, 1);
}

}  // namespace mwtun
