#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

// What a running tunnel says of itself. Plain values: the tunnel fills a StatusReport, the control
// socket carries it as one line of JSON, and `mwtun status` prints it. The JSON names are an
// interface: names may be added under schema 1, never changed or taken away. Everywhere "send" is
// what this end sends and "receive" what it gets; integers are in base units, with the unit in the
// name; what is not known is null.
namespace mwtun {

inline constexpr int status_schema = 1;

enum class TunnelState : std::uint8_t { up, degraded, connecting, down };
const char* to_string(TunnelState state);

/// One counter with its name, as in {"queue-full": 3}.
struct NamedCount {
  std::string name;
  std::uint64_t count = 0;

  bool operator==(const NamedCount&) const = default;
};

struct TotalsStatus {
  std::uint64_t frames_sent = 0;  // Taken from the interface.
  std::uint64_t frame_bytes_sent = 0;
  std::uint64_t frames_received = 0;  // Given to the interface.
  std::uint64_t frame_bytes_received = 0;
  std::uint64_t frames_ecn_marked = 0;  // Of those sent, by our own queue.
  std::uint64_t frames_joined = 0;      // Of those received: given to the interface with others,
  std::uint64_t super_frames_made = 0;  // as so many super-frames.

  bool operator==(const TotalsStatus&) const = default;
};

struct LinkStatus {
  std::uint8_t id = 0;
  std::string name;
  std::string state;   // down, probing, up or lossy
  std::string reason;  // A word for link_reason_text(); empty: null.
  std::int64_t state_age_ms = 0;
  std::int64_t held_ms = 0;     // It failed too often to be relied on for so long.
  bool suspect = false;         // Answers are overdue; new frames go elsewhere till then.
  std::string role = "normal";  // normal, backup or never
  bool metered = false;
  std::uint16_t weight = 1;
  std::uint8_t priority = 0;
  std::string local;  // Address and port; empty: null.
  std::string remote;
  std::string device;
  std::uint64_t send_bps = 0;  // UDP payload that arrived at the far end, now.
  std::uint64_t receive_bps = 0;
  std::uint32_t send_share_percent = 0;  // Of what all links of the peer carry.
  std::uint32_t receive_share_percent = 0;
  std::optional<std::uint64_t> capacity_bps;  // What it can carry of ours; none: never seen full.
  std::uint64_t pacing_bps = 0;               // What it is sent on at most now.
  std::int64_t queue_us = 0;                  // Delay that queues in the line add.
  bool contested = false;  // Somebody else fills the line: its delay is not ours to keep short.
  std::optional<std::int64_t> rtt_us;
  std::optional<std::int64_t> rtt_min_us;
  std::optional<std::int64_t> rtt_variation_us;
  std::optional<std::uint32_t> send_loss_ppm;
  std::optional<std::uint32_t> receive_loss_ppm;
  std::uint32_t datagram_bytes = 0;
  std::uint64_t in_flight_bytes = 0;
  std::uint32_t times_up = 0;
  std::uint32_t times_down = 0;
  std::optional<std::uint64_t> monthly_used_bytes;  // Of the link's volume; none: it has no cap.
  std::optional<std::uint64_t> monthly_max_bytes;
  std::string last_down_reason;  // Why it was last left; empty: null.
  std::optional<std::int64_t> last_down_age_ms;
  std::vector<NamedCount> counters;  // Datagrams, bytes, losses, repairs, send errors.

  bool operator==(const LinkStatus&) const = default;
};

struct PeerStatus {
  std::string name;
  TunnelState state = TunnelState::down;
  std::string reason;  // In words a person understands; empty: null.
  std::int64_t state_age_ms = 0;
  std::string cipher;  // Empty while there is no session.
  std::optional<std::int64_t> session_age_ms;
  std::optional<std::int64_t> key_age_ms;
  std::uint32_t rekeys = 0;
  std::string interface;
  std::string interface_kind = "tap";
  bool carrier = false;
  std::uint32_t inner_mtu_bytes = 1500;
  std::string scheduler;
  std::string endpoint;  // As configured; empty: the peer connects to us.
  unsigned worker = 0;   // Whose it is, of StatusReport::workers.
  std::uint64_t queued_frames = 0;
  std::uint64_t reordering_frames = 0;
  TotalsStatus totals;
  std::vector<NamedCount> drops;  // Only those that happened.
  std::vector<LinkStatus> links;

  bool operator==(const PeerStatus&) const = default;
};

struct StatusReport {
  std::string version;
  std::string tunnel;
  std::string role;  // client or server
  std::int64_t pid = 0;
  std::int64_t uptime_ms = 0;
  std::string event_loop;  // epoll or io_uring
  unsigned workers = 1;    // Dataplane threads.
  std::uint64_t strays = 0;  // Datagrams that came to another worker than theirs.
  std::string control;     // Path of the socket that answers.
  std::vector<std::string> listen;
  std::vector<NamedCount> drops;  // Those that belong to no peer.
  std::vector<PeerStatus> peers;

  /// Of the whole: up when every peer is, down when none can carry anything, connecting when none
  /// can so far but one is being reached, degraded otherwise.
  TunnelState state() const;
  /// The first peer's reason that is to blame for state(), with the peer's name; empty when all is
  /// well.
  std::string reason() const;
  bool operator==(const StatusReport&) const = default;
};

/// What a reason word of a link means and what to do about it; the word itself when it is not
/// known.
std::string link_reason_text(std::string_view reason);
/// State of a peer from its links: up when every link in use carries frames, degraded when one does
/// not.
/// @param session  a handshake has finished
void settle_peer_state(PeerStatus& peer, bool session);
/// Fills the shares from the rates.
void settle_shares(std::vector<LinkStatus>& links);

/// One line without the newline; bytes that are not UTF-8 are replaced.
std::string status_to_json(const StatusReport& report);
/// Takes what status_to_json() made, also of a later version that knows more names.
Result<StatusReport> status_from_json(std::string_view text);

struct TableStyle {
  bool colour = false;
  bool utf8 = true;  // Else plain ASCII.
};
/// The table that people read; ends with a newline.
std::string status_table(const StatusReport& report, TableStyle style);
/// "home: degraded: vps: link lte is down: no answer", for monitoring.
std::string status_line(const StatusReport& report);
/// 0 up, 1 degraded, 2 down or still connecting.
int status_check_code(const StatusReport& report);

/// "3 d 04:12", "4:05:09", "1:07" or "12 s".
std::string format_age(std::int64_t age_ms);

}  // namespace mwtun
