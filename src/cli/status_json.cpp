#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/exit_codes.hpp"
#include "cli/status.hpp"

namespace mwtun {

namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

template <typename T>
Json number_or_null(const std::optional<T>& number) {
  return number ? Json(*number) : Json(nullptr);
}

Json counts_to_json(const std::vector<NamedCount>& counts) {
  Json json = Json::object();
  for (const NamedCount& entry : counts) json[entry.name] = entry.count;
  return json;
}

Json link_to_json(const LinkStatus& link) {
  return {{"id", link.id},
          {"name", link.name},
          {"state", link.state},
          {"reason", text_or_null(link.reason)},
          {"state_age_ms", link.state_age_ms},
          {"held_ms", link.held_ms},
          {"suspect", link.suspect},
          {"role", link.role},
          {"metered", link.metered},
          {"weight", link.weight},
          {"priority", link.priority},
          {"local", text_or_null(link.local)},
          {"remote", text_or_null(link.remote)},
          {"device", text_or_null(link.device)},
          {"send_bps", link.send_bps},
          {"receive_bps", link.receive_bps},
          {"send_share_percent", link.send_share_percent},
          {"receive_share_percent", link.receive_share_percent},
          {"capacity_bps", number_or_null(link.capacity_bps)},
          {"pacing_bps", link.pacing_bps},
          {"queue_us", link.queue_us},
          {"contested", link.contested},
          {"rtt_us", number_or_null(link.rtt_us)},
          {"rtt_min_us", number_or_null(link.rtt_min_us)},
          {"rtt_variation_us", number_or_null(link.rtt_variation_us)},
          {"send_loss_ppm", number_or_null(link.send_loss_ppm)},
          {"receive_loss_ppm", number_or_null(link.receive_loss_ppm)},
          {"datagram_bytes", link.datagram_bytes},
          {"in_flight_bytes", link.in_flight_bytes},
          {"times_up", link.times_up},
          {"times_down", link.times_down},
          {"monthly_used_bytes", number_or_null(link.monthly_used_bytes)},
          {"monthly_max_bytes", number_or_null(link.monthly_max_bytes)},
          {"last_down_reason", text_or_null(link.last_down_reason)},
          {"last_down_age_ms", number_or_null(link.last_down_age_ms)},
          {"counters", counts_to_json(link.counters)}};
}

Json peer_to_json(const PeerStatus& peer) {
  Json links = Json::array();
  for (const LinkStatus& link : peer.links) links.push_back(link_to_json(link));
  return {{"name", peer.name},
          {"state", to_string(peer.state)},
          {"reason", text_or_null(peer.reason)},
          {"state_age_ms", peer.state_age_ms},
          {"cipher", text_or_null(peer.cipher)},
          {"session_age_ms", number_or_null(peer.session_age_ms)},
          {"key_age_ms", number_or_null(peer.key_age_ms)},
          {"rekeys", peer.rekeys},
          {"interface", peer.interface},
          {"interface_kind", peer.interface_kind},
          {"carrier", peer.carrier},
          {"inner_mtu_bytes", peer.inner_mtu_bytes},
          {"scheduler", peer.scheduler},
          {"endpoint", text_or_null(peer.endpoint)},
          {"worker", peer.worker},
          {"queued_frames", peer.queued_frames},
          {"reordering_frames", peer.reordering_frames},
          {"totals",
           {{"frames_sent", peer.totals.frames_sent},
            {"frame_bytes_sent", peer.totals.frame_bytes_sent},
            {"frames_received", peer.totals.frames_received},
            {"frame_bytes_received", peer.totals.frame_bytes_received},
            {"frames_ecn_marked", peer.totals.frames_ecn_marked},
            {"frames_joined", peer.totals.frames_joined},
            {"super_frames_made", peer.totals.super_frames_made}}},
          {"drops", counts_to_json(peer.drops)},
          {"links", std::move(links)}};
}

// Reading: a name that is missing or of another type leaves the value as it was, so that an older
// program can read a newer one's report.

void read(const Json& json, const char* name, std::string& out) {
  const auto at = json.find(name);
  if (at != json.end() && at->is_string()) out = at->get<std::string>();
}

void read(const Json& json, const char* name, bool& out) {
  const auto at = json.find(name);
  if (at != json.end() && at->is_boolean()) out = at->get<bool>();
}

template <typename T>
requires std::is_integral_v<T>
void read(const Json& json, const char* name, T& out) {
  const auto at = json.find(name);
  if (at != json.end() && at->is_number_integer()) out = at->get<T>();
}

template <typename T>
void read(const Json& json, const char* name, std::optional<T>& out) {
  const auto at = json.find(name);
  if (at != json.end() && at->is_number_integer()) out = at->get<T>();
}

void read(const Json& json, const char* name, std::vector<NamedCount>& out) {
  const auto at = json.find(name);
  if (at == json.end() || !at->is_object()) return;
  for (const auto& [key, value] : at->items()) {
    if (value.is_number_integer()) out.push_back({key, value.template get<std::uint64_t>()});
  }
}

TunnelState state_from_json(const Json& json) {
  std::string word;
  read(json, "state", word);
  for (const TunnelState state :
       {TunnelState::up, TunnelState::degraded, TunnelState::connecting}) {
    if (word == to_string(state)) return state;
  }
  return TunnelState::down;
}

LinkStatus link_from_json(const Json& json) {
  LinkStatus link;
  read(json, "id", link.id);
  read(json, "name", link.name);
  read(json, "state", link.state);
  read(json, "reason", link.reason);
  read(json, "state_age_ms", link.state_age_ms);
  read(json, "held_ms", link.held_ms);
  read(json, "suspect", link.suspect);
  read(json, "role", link.role);
  read(json, "metered", link.metered);
  read(json, "weight", link.weight);
  read(json, "priority", link.priority);
  read(json, "local", link.local);
  read(json, "remote", link.remote);
  read(json, "device", link.device);
  read(json, "send_bps", link.send_bps);
  read(json, "receive_bps", link.receive_bps);
  read(json, "send_share_percent", link.send_share_percent);
  read(json, "receive_share_percent", link.receive_share_percent);
  read(json, "capacity_bps", link.capacity_bps);
  read(json, "pacing_bps", link.pacing_bps);
  read(json, "queue_us", link.queue_us);
  read(json, "contested", link.contested);
  read(json, "rtt_us", link.rtt_us);
  read(json, "rtt_min_us", link.rtt_min_us);
  read(json, "rtt_variation_us", link.rtt_variation_us);
  read(json, "send_loss_ppm", link.send_loss_ppm);
  read(json, "receive_loss_ppm", link.receive_loss_ppm);
  read(json, "datagram_bytes", link.datagram_bytes);
  read(json, "in_flight_bytes", link.in_flight_bytes);
  read(json, "times_up", link.times_up);
  read(json, "times_down", link.times_down);
  read(json, "monthly_used_bytes", link.monthly_used_bytes);
  read(json, "monthly_max_bytes", link.monthly_max_bytes);
  read(json, "last_down_reason", link.last_down_reason);
  read(json, "last_down_age_ms", link.last_down_age_ms);
  read(json, "counters", link.counters);
  return link;
}

PeerStatus peer_from_json(const Json& json) {
  PeerStatus peer;
  read(json, "name", peer.name);
  peer.state = state_from_json(json);
  read(json, "reason", peer.reason);
  read(json, "state_age_ms", peer.state_age_ms);
  read(json, "cipher", peer.cipher);
  read(json, "session_age_ms", peer.session_age_ms);
  read(json, "key_age_ms", peer.key_age_ms);
  read(json, "rekeys", peer.rekeys);
  read(json, "interface", peer.interface);
  read(json, "interface_kind", peer.interface_kind);
  read(json, "carrier", peer.carrier);
  read(json, "inner_mtu_bytes", peer.inner_mtu_bytes);
  read(json, "scheduler", peer.scheduler);
  read(json, "endpoint", peer.endpoint);
  read(json, "worker", peer.worker);
  read(json, "queued_frames", peer.queued_frames);
  read(json, "reordering_frames", peer.reordering_frames);
  if (const auto totals = json.find("totals"); totals != json.end() && totals->is_object()) {
    read(*totals, "frames_sent", peer.totals.frames_sent);
    read(*totals, "frame_bytes_sent", peer.totals.frame_bytes_sent);
    read(*totals, "frames_received", peer.totals.frames_received);
    read(*totals, "frame_bytes_received", peer.totals.frame_bytes_received);
    read(*totals, "frames_ecn_marked", peer.totals.frames_ecn_marked);
    read(*totals, "frames_joined", peer.totals.frames_joined);
    read(*totals, "super_frames_made", peer.totals.super_frames_made);
  }
  read(json, "drops", peer.drops);
  if (const auto links = json.find("links"); links != json.end() && links->is_array()) {
    for (const Json& link : *links) {
      if (link.is_object()) peer.links.push_back(link_from_json(link));
    }
  }
  return peer;
}

Error not_understood(const std::string& why) {
  return Error{
      fmt::format("the tunnel's answer is not understood: {}; are both programs mwtun of the same "
                  "age?",
                  why),
      exit_unavailable};
}

}  // namespace

std::string status_to_json(const StatusReport& report) {
  Json peers = Json::array();
  for (const PeerStatus& peer : report.peers) peers.push_back(peer_to_json(peer));
  const Json json = {{"schema", status_schema},
                     {"program", "mwtun"},
                     {"version", report.version},
                     {"tunnel", report.tunnel},
                     {"role", report.role},
                     {"state", to_string(report.state())},
                     {"reason", text_or_null(report.reason())},
                     {"pid", report.pid},
                     {"uptime_ms", report.uptime_ms},
                     {"event_loop", report.event_loop},
                     {"workers", report.workers},
                     {"strays", report.strays},
                     {"control", text_or_null(report.control)},
                     {"listen", report.listen},
                     {"drops", counts_to_json(report.drops)},
                     {"peers", std::move(peers)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<StatusReport> status_from_json(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return not_understood("not a JSON object");
  if (const auto error = json.find("error"); error != json.end() && error->is_string()) {
    return Error{fmt::format("the tunnel refused: {}", error->get<std::string>()),
                 exit_unavailable};
  }
  int schema = 0;
  read(json, "schema", schema);
  if (schema != status_schema) {
    return not_understood(fmt::format("schema {} in place of {}", schema, status_schema));
  }
  StatusReport report;
  read(json, "version", report.version);
  read(json, "tunnel", report.tunnel);
  read(json, "role", report.role);
  read(json, "pid", report.pid);
  read(json, "uptime_ms", report.uptime_ms);
  read(json, "event_loop", report.event_loop);
  read(json, "workers", report.workers);
  read(json, "strays", report.strays);
  read(json, "control", report.control);
  if (const auto listen = json.find("listen"); listen != json.end() && listen->is_array()) {
    for (const Json& address : *listen) {
      if (address.is_string()) report.listen.push_back(address.get<std::string>());
    }
  }
  read(json, "drops", report.drops);
  if (const auto peers = json.find("peers"); peers != json.end() && peers->is_array()) {
    for (const Json& peer : *peers) {
      if (peer.is_object()) report.peers.push_back(peer_from_json(peer));
    }
  }
  return report;
}

}  // namespace mwtun
