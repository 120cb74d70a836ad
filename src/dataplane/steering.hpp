#pragma once
#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "dataplane/wire.hpp"

namespace mwtun {

inline constexpr unsigned workers_max = 16;
/// Reads all initiations first, since they carry no index of ours: so one limiter and one cookie
/// secret bound what strangers can ask of the whole process.
inline constexpr unsigned admitting_worker = 0;

/// The low byte of a session's index names the worker that drew it.
constexpr unsigned worker_of_index(std::uint32_t index, unsigned workers) {
  return (index & 0xff) % workers;
}

/// Where the low byte of the receiver's index stands (PROTOCOL.md 2 to 4); 0: nowhere.
constexpr std::size_t index_offset(wire::Type type) {
  switch (type) {
    case wire::Type::data: return 2;
    case wire::Type::response: return 8;
    case wire::Type::cookie: return 4;
    case wire::Type::initiation: break;
  }
  return 0;
}

/// The worker that a datagram to a listening socket is for. The kernel is told the same as a
/// program (io/steering_program.hpp).
constexpr unsigned worker_of(Bytes datagram, unsigned workers) {
  if (datagram.empty()) return admitting_worker;
  const std::size_t at = index_offset(static_cast<wire::Type>(datagram[0] & 0x0f));
  if (at == 0 || at >= datagram.size()) return admitting_worker;
  return worker_of_index(datagram[at], workers);
}

constexpr bool is_initiation(Bytes datagram) {
  return !datagram.empty() && static_cast<wire::Type>(datagram[0] & 0x0f) == wire::Type::initiation;
}

/// Which of a process's workers one is. Peers are dealt out in turn; each worker numbers its own
/// from 0.
struct WorkerSeat {
  unsigned number = 0;
  unsigned count = 1;

  static constexpr WorkerSeat of(PeerId peer, unsigned count) {
    return {static_cast<unsigned>(index_of(peer)) % count, count};
  }
  constexpr PeerId own_number(PeerId peer) const {
    return static_cast<PeerId>(index_of(peer) / count);
  }
  constexpr PeerId process_number(PeerId own) const {
    return static_cast<PeerId>(index_of(own) * count + number);
  }
  constexpr bool names(std::uint32_t index) const {
    return worker_of_index(index, count) == number;
  }
};

}  // namespace mwtun
