#include <catch2/catch.hpp>

#include "cli/control_socket.hpp"
#include "sample_status.hpp"

using namespace mwtun;

// The names below are an interface: programs of other people read them. Add, never change.
static const char* const golden =
    R"({"schema":1,"program":"mwtun","version":"0.1.0","tunnel":"home","role":"client","state":"degraded",)"
    R"("reason":"vps: link wifi is down: no address or interface to send from; the log says which",)"
    R"("pid":4242,"uptime_ms":274325000,"event_loop":"epoll","workers":4,"strays":9,"control":"/run/mwtun/home.sock","listen":[],)"
    R"("drops":{"forged":2},"peers":[{"name":"vps","state":"degraded",)"
    R"("reason":"link wifi is down: no address or interface to send from; the log says which",)"
    R"("state_age_ms":273600000,"cipher":"aes-256-gcm","session_age_ms":273600000,"key_age_ms":67000,)"
    R"("rekeys":2300,"interface":"mwt0","interface_kind":"tap","carrier":true,"inner_mtu_bytes":1500,)"
    R"("scheduler":"adaptive","endpoint":"vps.example.net:4649","worker":3,"queued_frames":5,"reordering_frames":6,)"
    R"("totals":{"frames_sent":1000000,"frame_bytes_sent":1500000000,"frames_received":2000000,)"
    R"("frame_bytes_received":123456789012,"frames_ecn_marked":77,"frames_joined":900,"super_frames_made":30},)"
    R"("drops":{"queue-full":3,"replayed":1},"links":[)"
    R"({"id":0,"name":"dsl","state":"up","reason":null,"state_age_ms":360000,"held_ms":12000,"suspect":true,"role":"normal",)"
    R"("metered":false,"weight":2,"priority":0,"local":"192.0.2.10:40001","remote":"198.51.100.7:4649",)"
    R"("device":"ppp0","send_bps":7600000,"receive_bps":36900000,"send_share_percent":86,)"
    R"("receive_share_percent":90,"capacity_bps":18300000,"pacing_bps":19000000,"queue_us":2400,"contested":true,)"
    R"("rtt_us":18250,"rtt_min_us":17100,"rtt_variation_us":420,)"
    R"("send_loss_ppm":0,"receive_loss_ppm":50,"datagram_bytes":1464,"in_flight_bytes":20000,"times_up":3,)"
    R"("times_down":2,"monthly_used_bytes":12300000000,"monthly_max_bytes":50000000000,)"
    R"("last_down_reason":"silent","last_down_age_ms":361300,)"
    R"("counters":{"datagrams_sent":1000,"datagrams_lost":4}},)"
    R"({"id":1,"name":"lte","state":"lossy","reason":"high-loss","state_age_ms":4000,"held_ms":0,"suspect":false,)"
    R"("role":"backup","metered":true,"weight":1,"priority":9,"local":null,"remote":"198.51.100.7:4649",)"
    R"("device":"wwan0","send_bps":1234567,"receive_bps":4100000,"send_share_percent":14,)"
    R"("receive_share_percent":10,"capacity_bps":null,"pacing_bps":0,"queue_us":0,"contested":false,)"
    R"("rtt_us":147000,"rtt_min_us":44000,"rtt_variation_us":9000,)"
    R"("send_loss_ppm":123456,"receive_loss_ppm":null,"datagram_bytes":1252,"in_flight_bytes":0,"times_up":0,)"
    R"("times_down":0,"monthly_used_bytes":null,"monthly_max_bytes":null,)"
    R"("last_down_reason":null,"last_down_age_ms":null,"counters":{}},)"
    R"({"id":2,"name":"wifi","state":"down","reason":"no-path","state_age_ms":90061000,"held_ms":0,"suspect":false,)"
    R"("role":"normal","metered":false,"weight":1,"priority":0,"local":null,"remote":null,"device":null,)"
    R"("send_bps":0,"receive_bps":0,"send_share_percent":0,"receive_share_percent":0,)"
    R"("capacity_bps":null,"pacing_bps":0,"queue_us":0,"contested":false,)"
    R"("rtt_us":null,)"
    R"("rtt_min_us":null,"rtt_variation_us":null,"send_loss_ppm":null,"receive_loss_ppm":null,)"
    R"("datagram_bytes":0,"in_flight_bytes":0,"times_up":0,"times_down":0,"monthly_used_bytes":null,"monthly_max_bytes":null,)"
    R"("last_down_reason":null,"last_down_age_ms":null,"counters":{}}]}]})";

TEST_CASE("the names and units of the JSON status are these, for ever") {
  CHECK(status_to_json(sample_status()) == golden);
}

TEST_CASE("a status read back from JSON is the status that was written") {
  const Result<StatusReport> back = status_from_json(golden);
  REQUIRE(back.ok());
  CHECK(back.value() == sample_status());
  CHECK(status_to_json(back.value()) == golden);
}

TEST_CASE("names that a later version adds do not disturb, and missing ones keep their defaults") {
  const auto report = status_from_json(
      R"({"schema":1,"future":{"a":[1]},"tunnel":"t","peers":[{"name":"p","state":"dreaming","links":[)"
      R"({"name":"l","rtt_us":"slow","weight":null,"new":true}, 7]}]})");
  REQUIRE(report.ok());
  REQUIRE(report.value().peers.size() == 1);
  CHECK(report.value().peers[0].state == TunnelState::down);
  REQUIRE(report.value().peers[0].links.size() == 1);
  CHECK_FALSE(report.value().peers[0].links[0].rtt_us.has_value());
  CHECK(report.value().peers[0].links[0].weight == 1);
}

TEST_CASE("an answer that is no status is an error that says so") {
  for (const char* text : {"", "x", "[]", "7", "{", "{}", "{\"schema\":2}", "{\"schema\":\"1\"}"}) {
    INFO(text);
    const auto report = status_from_json(text);
    REQUIRE_FALSE(report.ok());
    CHECK(report.error().exit_code == 69);
    CHECK(report.error().message.find("not understood") != std::string::npos);
  }
  const auto refused = status_from_json(control_error("too many \"clients\""));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message == "the tunnel refused: too many \"clients\"");
  CHECK_FALSE(status_from_json(std::string(100'000, '[')).ok());
}

TEST_CASE("a name that is not UTF-8 does not break the JSON") {
  StatusReport report = sample_status();
  report.peers[0].links[0].name = "d\xff\xfel\n";
  const std::string json = status_to_json(report);
  CHECK(json.find('\n') == std::string::npos);
  CHECK(json.find("\"d\xef\xbf\xbd\xef\xbf\xbdl\\n\"") != std::string::npos);
  CHECK(status_from_json(json).ok());
}
