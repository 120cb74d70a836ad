#include "cli/status_fill.hpp"

#include <algorithm>

namespace mwtun {

const char* reason_word(LinkReason reason) {
  switch (reason) {
    case LinkReason::none:
    case LinkReason::validated: return "";
    case LinkReason::starting: return "starting";
    case LinkReason::no_path: return "no-path";
    case LinkReason::no_session: return "no-session";
    case LinkReason::joining: return "joining";
    case LinkReason::silent: return "silent";
    case LinkReason::send_error: return "send-error";
    case LinkReason::peer_no_path: return "peer-no-path";
    case LinkReason::high_loss: return "high-loss";
    case LinkReason::peer_closed: return "peer-closed";
    case LinkReason::administrative: return "admin";
  }
  return "";
}

static const char* state_word(LinkState state) {
  switch (state) {
    case LinkState::down: return "down";
    case LinkState::probing: return "probing";
    case LinkState::up: return "up";
    case LinkState::lossy: return "lossy";
  }
  return "down";
}

static const char* role_word(LinkRole role) {
  switch (role) {
    case LinkRole::normal: return "normal";
    case LinkRole::backup: return "backup";
    case LinkRole::unused: return "never";
  }
  return "normal";
}

static std::int64_t age_ms(Instant since, Instant now) {
  return std::max<std::int64_t>(0, std::chrono::duration_cast<milliseconds>(now - since).count());
}

static std::int64_t whole_us(Duration time) {
  return std::chrono::duration_cast<microseconds>(time).count();
}

std::vector<NamedCount> drop_counts(const DropCounters& drops) {
  std::vector<NamedCount> counts;
  for (std::size_t i = 0; i < static_cast<std::size_t>(Drop::count_); ++i) {
    const auto reason = static_cast<Drop>(i);
    if (drops.of(reason) == 0) continue;
    std::string name = to_string(reason);
    for (char& c : name) {
      if (c == '_' || c == ' ') c = '-';
    }
    counts.push_back({std::move(name), drops.of(reason)});
  }
  return counts;
}

static LinkStatus link_status(const LinkReport& report, Instant now) {
  LinkStatus link;
  link.id = value_of(report.id);
  link.name = report.config.name;
  link.state = state_word(report.state);
  link.reason = reason_word(report.reason);
  link.state_age_ms = age_ms(report.since, now);
  link.held_ms = std::chrono::ceil<milliseconds>(report.held).count();
  link.suspect = report.suspect;
  link.role = role_word(report.config.role);
  link.metered = report.config.metered;
  link.weight = report.config.weight;
  link.priority = report.config.priority;
  if (report.path.local.known()) link.local = to_string(report.path.local);
  if (report.path.remote.known()) link.remote = to_string(report.path.remote);
  link.send_bps = report.delivered_bps;
  link.receive_bps = report.received_bps;
  if (report.capacity_bps > 0) link.capacity_bps = report.capacity_bps;
  link.pacing_bps = report.pacing_bps;
  link.queue_us = whole_us(report.queue);
  link.contested = report.contested;
  if (report.rtt > Duration::zero()) {
    link.rtt_us = whole_us(report.rtt);
    link.rtt_min_us = whole_us(report.rtt_min);
    link.rtt_variation_us = whole_us(report.rtt_var);
  }
  if (report.counters.datagrams_out > 0) link.send_loss_ppm = report.loss_ppm;
  link.datagram_bytes = report.datagram_bytes;
  link.in_flight_bytes = report.bytes_in_flight;
  link.times_up = report.times_up;
  link.times_down = report.times_down;
  const LinkCounters& counters = report.counters;
  link.counters = {{"datagrams_sent", counters.datagrams_out},
                   {"bytes_sent", counters.bytes_out},
                   {"datagrams_received", counters.datagrams_in},
                   {"bytes_received", counters.bytes_in},
                   {"datagrams_lost", counters.lost},
                   {"datagrams_lost_falsely", counters.lost_falsely},
                   {"chunks_repaired", counters.repaired},
                   {"send_errors", counters.send_errors}};
  return link;
}

PeerStatus peer_status(const PeerReport& report, const PeerEntry& entry, Instant now) {
  PeerStatus peer;
  peer.name = entry.name;
  if (report.cipher) peer.cipher = to_string(*report.cipher);
  if (report.session) {
    peer.session_age_ms = age_ms(report.session_since, now);
    peer.key_age_ms = age_ms(report.key_since, now);
  }
  peer.rekeys = report.rekeys;
  peer.interface = entry.interface;
  peer.interface_kind = to_string(entry.interface_kind);
  peer.inner_mtu_bytes = report.mtu != 0 ? report.mtu : entry.mtu;
  peer.scheduler = to_string(report.scheduler);
  if (entry.endpoint) peer.endpoint = to_string(*entry.endpoint);
  peer.queued_frames = report.frames_queued;
  peer.reordering_frames = report.frames_reordering;
  peer.totals = {report.frames.frames_in,        report.frames.bytes_in,   report.frames.frames_out,
                 report.frames.bytes_out,        report.frames.ecn_marked, report.frames.joined,
                 report.frames.super_frames_made};
  peer.drops = drop_counts(report.drops);
  for (const LinkReport& link : report.links) {
    peer.links.push_back(link_status(link, now));
    const std::size_t number = index_of(link.id);
    if (number < entry.links.size()) peer.links.back().device = entry.links[number].device;
  }
  settle_shares(peer.links);
  settle_peer_state(peer, report.session);
  return peer;
}

}  // namespace mwtun
