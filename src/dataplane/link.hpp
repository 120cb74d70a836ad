#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/address.hpp"
#include "base/entropy.hpp"
#include "crypto/replay.hpp"
#include "dataplane/config.hpp"
#include "dataplane/gso_check.hpp"
#include "dataplane/hold_down.hpp"
#include "dataplane/meters.hpp"
#include "dataplane/mtu_search.hpp"
#include "dataplane/received_log.hpp"
#include "dataplane/report.hpp"
#include "dataplane/rtt.hpp"
#include "dataplane/sent_log.hpp"
#include "dataplane/standing_wait.hpp"
#include "sched/link_view.hpp"
#include "sched/pacer.hpp"
#include "sched/rate_control.hpp"

namespace mwtun {

/// Numbers, window and acknowledgements belong to a link in one epoch.
struct LinkSpace {
  std::uint8_t epoch = 0;
  bool used = false;
  SentLog sent;
  ReplayWindow window;
  ReceivedLog received;
  std::uint32_t unacknowledged = 0;  // Ack-eliciting datagrams that came and were not acknowledged.
  Instant ack_deadline = never;
  bool ack_now = false;
  bool ack_own = false;  // On this link, as a PING asked.
  Instant gap_told{};    // When an acknowledgement was last hastened by a missing number.
};

/// An address that wants to be a link's path and has not proved that it hears us (PROTOCOL.md 4.4).
struct CandidatePath {
  Path path;
  std::array<std::uint8_t, 8> challenge{};
  Instant since{};
  Instant next_challenge{};
  bool want_challenge = false;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
};

/// One link of a session: where it goes, how it is, what is on its way. State only; the Tunnel
/// acts.
struct Link {
  LinkId id{};
  LinkConfig config;

  bool has_path = false;
  Path path;
  Instant path_since{};
  std::uint32_t interface_mtu = 1500;
  std::optional<CandidatePath> candidate;
  Instant candidate_made = Instant::min();
  /// Challenges to answer, each where it came from; more are dropped, as asking again is their job.
  struct Answer {
    Path path;
    std::array<std::uint8_t, 8> challenge{};
  };
  std::array<Answer, 4> answers{};
  std::size_t answer_count = 0;

  LinkState state = LinkState::down;
  LinkReason reason = LinkReason::starting;
  Instant since{};
  std::uint32_t times_up = 0, times_down = 0;
  HoldDown hold;

  // Joining (initiator), and our own challenge on the path.
  std::array<std::uint8_t, 8> challenge{};
  bool validated = false;
  Instant join_began{};
  Instant next_join = never;
  bool want_join = false;

  // Silence (design 5.6).
  bool suspect = false;
  Instant waiting_since = never;  // Oldest thing we wait for an acknowledgement of, since the last.
  Instant last_progress{};
  Instant next_probe = never;
  Instant probing_since{};
  bool want_ping = false;
  Instant last_eliciting{};

  Instant blocked_until{};        // The socket is full.
  std::uint32_t probe_bytes = 0;  // An MTU probe of this size is to be sent.

  std::array<LinkSpace, 2> spaces;  // Current epoch, the one before.
  RttEstimator rtt;
  RateControl rate;
  Pacer pacer;
  MtuSearch mtu;
  LossMeter loss;
  GsoCheck gso;
  Instant loss_from{};  // What was sent before the link came up says nothing of it now.
  DelayMeter delay;
  StandingWait standing_wait;
  RateMeter delivered_meter, received_meter;
  LinkCounters counters;
  std::uint64_t bytes_in_flight = 0;
  std::uint64_t sent_bytes = 0, starved_bytes = 0, delivered_bytes = 0;
  std::uint32_t reorder_threshold = 1;  // Numbers; raised when it proves wrong.
  Instant reorder_learnt{};
  Instant loss_deadline = never;
  std::uint32_t own_ack_turn = 0;

  LinkSpace& current() { return spaces[0]; }
  const LinkSpace& current() const { return spaces[0]; }
  LinkSpace* space(std::uint8_t epoch) {
    for (LinkSpace& s : spaces) {
      if (s.used && s.epoch == epoch) return &s;
    }
    return nullptr;
  }
  /// May carry frames.
  bool carries() const { return has_path && (state == LinkState::up || state == LinkState::lossy); }
  bool blocked(Instant now) const { return now < blocked_until; }
  LinkTier tier() const;
  /// Frames may go by it, and it answers.
  bool helps() const { return tier() < LinkTier::suspect; }
  /// Everything but `one_way`, which is relative to the other links.
  LinkView view(Instant now) const;

  /// How long an acknowledgement may take before the link is suspect.
  Duration suspect_after() const;
  Duration down_after() const;
};

}  // namespace mwtun
