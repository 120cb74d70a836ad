#include "dataplane/counters.hpp"

#include "dataplane/report.hpp"

namespace mwtun {

const char* to_string(Drop reason) {
  switch (reason) {
    case Drop::frame_too_short: return "frame_too_short";
    case Drop::frame_too_long: return "frame_too_long";
    case Drop::frame_offload_bad: return "frame_offload_bad";
    case Drop::no_session: return "no_session";
    case Drop::no_usable_link: return "no_usable_link";
    case Drop::queue_full: return "queue_full";
    case Drop::aqm: return "aqm";
    case Drop::repair_given_up: return "repair_given_up";
    case Drop::piece_given_up: return "piece_given_up";
    case Drop::session_ended_sending: return "session_ended_sending";
    case Drop::redundant_copy_late: return "redundant_copy_late";
    case Drop::datagram_malformed: return "datagram_malformed";
    case Drop::unknown_index: return "unknown_index";
    case Drop::unknown_epoch: return "unknown_epoch";
    case Drop::replayed: return "replayed";
    case Drop::forged: return "forged";
    case Drop::key_expired: return "key_expired";
    case Drop::unauthenticated_handshake: return "unauthenticated_handshake";
    case Drop::handshake_limited: return "handshake_limited";
    case Drop::handover_full: return "handover_full";
    case Drop::bad_link: return "bad_link";
    case Drop::bad_chunk: return "bad_chunk";
    case Drop::chunk_duplicate: return "chunk_duplicate";
    case Drop::chunk_too_old: return "chunk_too_old";
    case Drop::lane_overrun: return "lane_overrun";
    case Drop::hole_given_up: return "hole_given_up";
    case Drop::reassembly_broken: return "reassembly_broken";
    case Drop::reassembly_full: return "reassembly_full";
    case Drop::out_of_slabs: return "out_of_slabs";
    case Drop::session_ended_receiving: return "session_ended_receiving";
    case Drop::bad_frame_received: return "bad_frame_received";
    case Drop::send_failed: return "send_failed";
    case Drop::count_: break;
  }
  return "unknown";
}

const char* to_string(LinkState state) {
  switch (state) {
    case LinkState::down: return "down";
    case LinkState::probing: return "probing";
    case LinkState::up: return "up";
    case LinkState::lossy: return "lossy";
  }
  return "unknown";
}

const char* to_string(LinkReason reason) {
  switch (reason) {
    case LinkReason::none: return "none";
    case LinkReason::starting: return "starting";
    case LinkReason::no_path: return "no path";
    case LinkReason::no_session: return "no session";
    case LinkReason::joining: return "joining";
    case LinkReason::validated: return "validated";
    case LinkReason::silent: return "silent";
    case LinkReason::send_error: return "send error";
    case LinkReason::peer_no_path: return "no path at the far end";
    case LinkReason::high_loss: return "high loss";
    case LinkReason::peer_closed: return "peer closed";
    case LinkReason::administrative: return "administrative";
  }
  return "unknown";
}

}  // namespace mwtun
