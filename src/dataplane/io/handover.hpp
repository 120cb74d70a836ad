#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "dataplane/io/mailbox.hpp"
#include "dataplane/node.hpp"

namespace mwtun {

/// A datagram that came to a worker it is not for. The kernel steers by what comes first when it
/// has joined several to one (GRO).
struct StrayDatagram {
  Path path;
  std::vector<std::uint8_t> bytes;
  Instant received{};
};
using Handover = std::variant<ForwardedInitiation, StrayDatagram>;

/// What the workers of a process give each other: a bounded mailbox each. Not on the way of data
/// that the kernel steers right. Outlives the workers.
class Handovers {
 public:
  static constexpr std::size_t waiting_max = 256;
  /// So that strays, which anybody can make up, leave room for initiations.
  static constexpr std::size_t strays_waiting_max = 192;

  explicit Handovers(unsigned workers) : boxes_(workers) {}

  /// Any thread. False: too much waits there.
  [[nodiscard]] bool post(unsigned worker, Handover what) {
    const bool stray = std::holds_alternative<StrayDatagram>(what);
    return boxes_[worker].post(std::move(what), stray ? strays_waiting_max : waiting_max);
  }
  Mailbox<Handover>& box(unsigned worker) { return boxes_[worker]; }

 private:
  std::vector<Mailbox<Handover>> boxes_;
};

}  // namespace mwtun
