#include <catch2/catch.hpp>
#include <string>

#include "support/sim_cases.hpp"

using namespace mwtun::test;

namespace {

/// The case holds for seeds 1 to `seeds`.
void holds(std::string_view name, std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto violation = run_case(name, seed);
    if (!violation) continue;
    FAIL("breaks the rule: " << violation->rule << ": " << violation->detail
                             << "\nreplay: ./dev sim --case " << name << " --seed " << seed);
  }
  SUCCEED();
}

}  // namespace

TEST_CASE("a session and its links are up within 400 ms on healthy lines") {
  holds("session_up_at_once", 4);
}
TEST_CASE("the handshake completes under 30 % loss") {
  holds("handshake_under_loss", 20);
}
TEST_CASE("a wrong pre-shared key gives no session and is answered sparingly") {
  holds("wrong_psk", 2);
}
TEST_CASE("a replayed handshake changes nothing") {
  holds("replayed_initiations", 2);
}
TEST_CASE("a rekey loses, delays and reorders nothing") {
  holds("rekey_is_not_noticed", 2);
}
TEST_CASE("no key is used past 180 s, and a session comes back after that") {
  holds("keys_end_at_180_s", 2);
}
TEST_CASE("traffic is back 3 s after the server's restart") {
  holds("server_restarts", 6);
}
TEST_CASE("traffic is back 2 s after the client's restart, whatever its clock says") {
  holds("client_restarts", 6);
}
TEST_CASE("a goodbye ends the session at the other end at once") {
  holds("goodbye", 2);
}
TEST_CASE("a suspend of an hour is survived") {
  holds("suspend", 4);
}
TEST_CASE(
    "a link's silent death stops traffic for less than 1 s, and its return is used within 5 s") {
  holds("silent_death", 6);
}
TEST_CASE("the last frame on a dying link arrives by another within 250 ms") {
  holds("last_frame_on_a_dying_link", 4);
}
TEST_CASE("a link that dies in one direction stops traffic for less than 1 s") {
  holds("one_way_death", 6);
}
TEST_CASE("traffic flows 3 s after the first of all dead links is back") {
  holds("all_links_dead_for_a_while", 4);
}
TEST_CASE("the redundant scheduler hides 5 % loss on both links") {
  holds("redundancy", 2);
}
TEST_CASE("random loss is repaired without a trace in the inner flows") {
  holds("loss_is_repaired", 4);
}
TEST_CASE("an MTU black hole of 1300 bytes stops nothing") {
  holds("mtu_black_hole", 4);
}
TEST_CASE("datagrams grow to what the lines take") {
  holds("datagrams_grow_to_the_line", 2);
}
TEST_CASE("a rebound link is followed once its new address has answered") {
  holds("nat_rebinding", 4);
}
TEST_CASE("a spoofed source address moves nothing") {
  holds("spoofed_rebinding", 2);
}
TEST_CASE("what a socket refuses is sent another way and no number comes twice") {
  holds("send_errors", 8);
}
TEST_CASE("an interface that goes and comes back costs no frame") {
  holds("interface_goes_and_comes", 4);
}
TEST_CASE("one flow keeps its order over links of 5 and 80 ms") {
  holds("order_over_unequal_links", 4);
}
TEST_CASE("nothing goes by a far link that has just come up") {
  holds("far_link_joins_late", 4);
}
TEST_CASE("a hole in one flow delays no other") {
  holds("one_hole_holds_one_flow", 2);
}
TEST_CASE("a young stream's frames go twice where a line loses some") {
  holds("young_streams_have_no_holes", 2);
}
TEST_CASE("what a full queue drops leaves no hole in the order") {
  holds("full_queue_leaves_no_holes", 2);
}
TEST_CASE("a new flow in a used lane waits for nothing of the old one") {
  holds("lanes_are_reused_late", 2);
}
TEST_CASE("the replay window takes exactly the datagrams inside it, once") {
  holds("window_edges", 1);
}
TEST_CASE("forged packet numbers move nothing") {
  holds("forged_numbers_move_nothing", 2);
}
TEST_CASE("an idle tunnel sleeps and keeps its links up") {
  holds("idle_is_quiet", 2);
}
TEST_CASE("calm lines lose, delay and drop nothing") {
  holds("calm_lines_lose_nothing", 2);
}
TEST_CASE("one client's trouble is no other client's") {
  holds("hub_of_two", 2);
}
TEST_CASE("jumbo frames pass ordinary lines") {
  holds("jumbo_frames", 2);
}
