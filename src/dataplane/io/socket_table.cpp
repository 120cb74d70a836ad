#include "dataplane/io/socket_table.hpp"

#include "dataplane/io/system_clock.hpp"

namespace mwtun {

/// After ENOBUFS; a millisecond empties a few datagrams from the slowest queue worth using.
static constexpr Duration no_buffers_pause = milliseconds(1);

bool tell_icmp_error(LoopSocket& slot, LoopHandler& handler) {
  const auto error = slot.socket.take_icmp_error();
  if (error) handler.on_icmp_error(slot.id, *error);
  return error.has_value();
}

SendOutcome send_by_call(LoopSocket* slot, std::span<const SendItem> items,
                         std::span<const DatagramTag> tags, LoopHandler& handler) {
  std::array<SendFailure, send_batch_max> failures;
  SendOutcome outcome;
  if (slot != nullptr) {
    outcome = slot->socket.send(items, failures);
  } else {
    for (; outcome.failures < items.size(); ++outcome.failures) {
      failures[outcome.failures] = {outcome.failures, SendError::unreachable};
    }
  }
  const Instant now = outcome.failures > 0 ? monotonic_now() : Instant{};
  for (std::size_t i = 0; i < outcome.failures; ++i) {
    handler.on_send_error(tags[failures[i].index], failures[i].error, now);
  }
  if (outcome.queue_full) slot->retry_at = now + no_buffers_pause;
  if (slot != nullptr && slot->socket.icmp_error_waiting()) tell_icmp_error(*slot, handler);
  return outcome;
}

SocketReport report_of(const LoopSocket& slot) {
  const UdpSocket& socket = slot.socket;
  return {slot.id,
          socket.bound(),
          socket.device(),
          socket.receive_buffer_bytes(),
          socket.send_buffer_bytes(),
          socket.receive_overruns(),
          socket.gso(),
          socket.gro(),
          socket.counters()};
}

}  // namespace mwtun
