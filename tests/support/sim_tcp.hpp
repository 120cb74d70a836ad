#pragma once
#include <cstdint>

#include "support/sim_net.hpp"
#include "support/tcp_congestion.hpp"
#include "support/tcp_receiver.hpp"
#include "support/tcp_sender.hpp"

namespace mwtun::test {

/// One TCP connection with a bulk sender at one side and a reader at the other.
class TcpFlow final : public FrameSink, public Actor {
 public:
  /// Data goes towards `to`. Connects at options.start (time since the simulation began).
  TcpFlow(Agenda& agenda, FrameNet& net, Side to, const TcpOptions& options);

  void receive(Side at, Bytes frame, Instant now) override;
  void act(Instant now) override;

  const TcpSender& sender() const { return sender_; }
  const TcpReceiver& receiver() const { return receiver_; }
  TcpReceiver& receiver() { return receiver_; }
  /// Bytes the application at the far end has read.
  std::uint64_t delivered_bytes() const { return receiver_.delivered_bytes(); }
  /// Frames that were not what was sent: headers or payload altered.
  std::uint64_t broken() const { return broken_ + receiver_.counters().broken; }
  /// From now on the application gives so much; 0: as much as goes.
  void set_rate(std::uint64_t payload_bps) { sender_.set_rate(payload_bps, agenda_.now()), arm(); }

 private:
  void arm();

  Agenda& agenda_;
  Side to_;
  std::uint16_t flow_;
  std::size_t actor_;
  TcpSender sender_;
  TcpReceiver receiver_;
  std::uint64_t broken_ = 0;
};

}  // namespace mwtun::test
