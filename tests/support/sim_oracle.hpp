#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/time.hpp"
#include "dataplane/node.hpp"
#include "support/frame_maker.hpp"

namespace mwtun::test {

/// 0 is the server, 1 + c is client c.
using EndId = std::size_t;

/// A rule the tunnel broke, when, and how.
struct Violation {
  Instant at{};
  std::string rule;
  std::string detail;
};

struct FrameRecord {
  Instant sent{};
  Instant delivered = never;
  std::uint32_t size = 0;
  std::uint32_t stretch = 0;  ///< Frames of one stretch of steady sending share it; 0: not steady.
};

/// One inner flow, in one direction, with all it sent.
struct FlowRecord {
  FlowShape shape;
  EndId from = 0;
  EndId to = 0;
  std::vector<FrameRecord> frames;
  std::uint64_t delivered = 0;
  std::uint64_t highest_delivered = 0;  ///< Sequence plus one; 0: none yet.
  std::uint32_t stretch = 0;
  Instant steady_since = never;

  std::uint64_t missing() const { return frames.size() - delivered; }
  Duration latency_max(std::uint64_t from_sequence = 0) const;
};

/// The datagrams of one sender under one key on one link.
struct DatagramStream {
  EndId to = 0;
  std::uint8_t link = 0;
  std::uint64_t numbers = 0;  ///< Next to be given.
  std::vector<bool> arrived;
  std::uint64_t highest_arrived = 0;  ///< Plus one.
};

/// Where a datagram stands in its stream; none for handshakes and for what nobody sent.
struct DatagramMark {
  static constexpr std::size_t none = SIZE_MAX;
  std::size_t stream = none;
  std::uint64_t number = 0;
};

/// Watches one world from outside and keeps the first rule that was broken. It knows no internals
/// of the tunnel: only frames, datagrams on the wire, addresses and the public reports.
class Oracle {
 public:
  static constexpr Duration key_lifetime = seconds(180);
  static constexpr std::uint64_t replay_window = 8192;

  bool failed() const { return violation_.has_value(); }
  const std::optional<Violation>& violation() const { return violation_; }
  void fail(Instant at, std::string rule, std::string detail);

  std::size_t add_flow(const FlowShape& shape, EndId from, EndId to);
  FlowRecord& flow(std::size_t id) { return flows_[id]; }
  const std::vector<FlowRecord>& flows() const { return flows_; }

  void frame_sent(std::size_t flow, std::uint32_t size, Instant now);
  void frame_delivered(EndId at, EndId from, Bytes frame, Instant now);

  /// @param local_now  the sender's clock: keys age by it
  DatagramMark datagram_sent(EndId from, EndId to, Bytes datagram, const DatagramTag& tag,
                             Instant local_now, Instant now);
  /// @param altered  not the bytes that were sent
  void datagram_arrives(EndId at, const DatagramMark& mark, bool altered);
  /// What the end knew of its flows is gone: those that were fast enough to be kept in order have
  /// to show it anew.
  void session_began(EndId end);
  /// An end lost its memory: sessions end, and what its counters said is gone.
  void end_restarted(EndId end);

  /// Server only: what an address has sent and was sent, to see that a spoofed source gains
  /// nothing.
  void server_received(const Address& from, std::size_t bytes, bool data);
  void server_sent(const Address& to, std::size_t bytes, bool data, Instant now);

  /// Datagrams of `from` on that link that came to `at` whole, for the first time and inside the
  /// replay window, since its last start.
  std::uint64_t timely_arrivals(EndId at, EndId from, std::uint8_t link) const;
  const DatagramStream& stream(const DatagramMark& mark) const { return streams_[mark.stream]; }

 private:
  struct SessionOut {
    int epoch = -1;
    Instant key_since{};
    std::array<std::size_t, links_max> streams{};
  };
  struct Account {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    bool asked = false;      // The server has sent it data, so perhaps a challenge.
    bool validated = false;  // It has sent data after that, so perhaps the answer.
  };
  using ArrivalKey = std::pair<std::pair<EndId, EndId>, std::uint8_t>;

  std::optional<Violation> violation_;
  std::vector<FlowRecord> flows_;
  std::map<std::pair<EndId, std::uint32_t>, SessionOut> sessions_;
  std::vector<DatagramStream> streams_;
  std::vector<EndId> stream_from_;
  std::map<ArrivalKey, std::uint64_t> timely_;
  std::map<Address, Account> accounts_;
};

}  // namespace mwtun::test
