#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/time.hpp"
#include "crypto/aead.hpp"
#include "dataplane/config.hpp"
#include "dataplane/counters.hpp"

namespace mwtun {

/// down: no path or no answer; probing: being joined; up: carries frames; lossy: answers, but loses
/// so much that schedulers leave it while a better one is there.
enum class LinkState : std::uint8_t { down, probing, up, lossy };
/// Why a link is in its state.
enum class LinkReason : std::uint8_t {
  none,
  starting,      // Nothing tried so far.
  no_path,       // No address or no interface: see the event loop's log.
  no_session,    // The handshake has not finished.
  joining,       // JOIN sent, no answer so far.
  validated,     // Both directions answered.
  silent,        // Nothing acknowledged for 300 ms under load, or three probes idle.
  send_error,    // The kernel refused to send.
  peer_no_path,  // The far end says that it has lost its address or interface there.
  high_loss,
  peer_closed,
  administrative,
};
const char* to_string(LinkState state);
const char* to_string(LinkReason reason);

struct LinkReport {
  LinkId id{};
  LinkConfig config;
  LinkState state = LinkState::down;
  LinkReason reason = LinkReason::starting;
  Duration held{};       // For so long it is not relied on, as it failed often; zero: it is.
  bool suspect = false;  // Nothing acknowledged lately; new frames avoid it. Soft, not a state.
  Instant since{};       // Of `state`.
  Path path;
  Duration rtt{};  // Smoothed; zero: never measured.
  Duration rtt_min{};
  Duration rtt_var{};
  std::uint32_t loss_ppm = 0;       // Of what we sent, over the last second or so.
  std::uint64_t delivered_bps = 0;  // UDP payload we sent that arrived, now.
  std::uint64_t received_bps = 0;   // UDP payload that came in, now.
  std::uint64_t capacity_bps = 0;   // What it can carry of ours; 0: it was never seen full.
  std::uint64_t pacing_bps = 0;     // How fast it may be sent on now.
  Duration queue{};                 // Delay that queues in the line add.
  bool contested = false;  // Somebody else fills the line: its delay is not ours to keep short.
  std::uint32_t datagram_bytes = 0;  // Largest datagram in use.
  std::uint64_t bytes_in_flight = 0;
  std::uint32_t times_up = 0;
  std::uint32_t times_down = 0;
  LinkCounters counters;
};

struct PeerReport {
  PeerId id{};
  std::string name;
  bool session = false;
  Instant session_since{};
  Instant key_since{};
  std::uint32_t rekeys = 0;
  std::optional<Cipher> cipher;
  std::uint8_t epoch = 0;
  SchedulerKind scheduler = SchedulerKind::adaptive;
  std::uint16_t mtu = 0;
  Address observed;                 // Our address as the peer saw it in the handshake (initiator).
  std::uint64_t frames_queued = 0;  // Waiting to be sent.
  std::uint64_t frames_reordering = 0;  // Held for order or for missing pieces.
  std::uint64_t bytes_held = 0;
  std::uint64_t chunks_unacknowledged = 0;  // Sent; frames and pieces of frames.
  FrameCounters frames;
  DropCounters drops;
  std::vector<LinkReport> links;
};

/// Things worth a line in the log or a hook.
struct Event {
  enum class Kind : std::uint8_t {
    session_up,
    session_down,
    session_rekeyed,
    handshake_unanswered,  // Several initiations without any answer.
    handshake_mismatch,    // An answer came that our keys do not open: check public and preshared
                           // key.
    link_changed,
    link_held,   // It is back, but fails too often to be relied on for `value` seconds.
    link_moved,  // Path changed after validation.
    datagram_size_changed,
    gso_given_up,  // Datagrams that left several as one vanished; they leave alone now.
  };
  Kind kind{};
  PeerId peer{};
  LinkId link{};
  LinkState state{};
  LinkState state_before{};
  LinkReason reason{};
  Path path{};
  std::uint32_t value = 0;  // Datagram size, initiations sent so far, or seconds.
};

}  // namespace mwtun
