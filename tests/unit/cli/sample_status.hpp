#pragma once
#include "cli/status.hpp"

namespace mwtun {

/// A client with one link of each kind; every field has a value of its own.
inline StatusReport sample_status() {
  LinkStatus dsl;
  dsl.id = 0;
  dsl.name = "dsl";
  dsl.state = "up";
  dsl.state_age_ms = 360'000;
  dsl.suspect = true;
  dsl.held_ms = 12'000;
  dsl.weight = 2;
  dsl.local = "192.0.2.10:40001";
  dsl.remote = "198.51.100.7:4649";
  dsl.device = "ppp0";
  dsl.send_bps = 7'600'000;
  dsl.receive_bps = 36'900'000;
  dsl.capacity_bps = 18'300'000;
  dsl.pacing_bps = 19'000'000;
  dsl.queue_us = 2'400;
  dsl.contested = true;
  dsl.rtt_us = 18'250;
  dsl.rtt_min_us = 17'100;
  dsl.rtt_variation_us = 420;
  dsl.send_loss_ppm = 0;
  dsl.receive_loss_ppm = 50;
  dsl.datagram_bytes = 1464;
  dsl.in_flight_bytes = 20'000;
  dsl.times_up = 3;
  dsl.monthly_used_bytes = 12'300'000'000;
  dsl.monthly_max_bytes = 50'000'000'000;
  dsl.times_down = 2;
  dsl.last_down_reason = "silent";
  dsl.last_down_age_ms = 361'300;
  dsl.counters = {{"datagrams_sent", 1000}, {"datagrams_lost", 4}};

  LinkStatus lte;
  lte.id = 1;
  lte.name = "lte";
  lte.state = "lossy";
  lte.reason = "high-loss";
  lte.state_age_ms = 4'000;
  lte.role = "backup";
  lte.metered = true;
  lte.priority = 9;
  lte.remote = "198.51.100.7:4649";
  lte.device = "wwan0";
  lte.send_bps = 1'234'567;
  lte.receive_bps = 4'100'000;
  lte.rtt_us = 147'000;
  lte.rtt_min_us = 44'000;
  lte.rtt_variation_us = 9'000;
  lte.send_loss_ppm = 123'456;
  lte.datagram_bytes = 1252;

  LinkStatus wifi;
  wifi.id = 2;
  wifi.name = "wifi";
  wifi.state = "down";
  wifi.reason = "no-path";
  wifi.state_age_ms = 90'061'000;

  PeerStatus vps;
  vps.name = "vps";
  vps.state_age_ms = 273'600'000;
  vps.cipher = "aes-256-gcm";
  vps.session_age_ms = 273'600'000;
  vps.key_age_ms = 67'000;
  vps.rekeys = 2300;
  vps.interface = "mwt0";
  vps.carrier = true;
  vps.scheduler = "adaptive";
  vps.endpoint = "vps.example.net:4649";
  vps.worker = 3;
  vps.queued_frames = 5;
  vps.reordering_frames = 6;
  vps.totals = {1'000'000, 1'500'000'000, 2'000'000, 123'456'789'012, 77, 900, 30};
  vps.drops = {{"queue-full", 3}, {"replayed", 1}};
  vps.links = {dsl, lte, wifi};
  settle_shares(vps.links);
  settle_peer_state(vps, true);

  StatusReport report;
  report.version = "0.1.0";
  report.tunnel = "home";
  report.role = "client";
  report.pid = 4242;
  report.uptime_ms = 274'325'000;
  report.event_loop = "epoll";
  report.workers = 4;
  report.strays = 9;
  report.control = "/run/mwtun/home.sock";
  report.drops = {{"forged", 2}};
  report.peers = {vps};
  return report;
}

}  // namespace mwtun
