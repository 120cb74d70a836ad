#include "dataplane/carrier.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;
using namespace std::chrono_literals;

static constexpr LinkId first{0}, second{1};
static constexpr Instant start{100s};

TEST_CASE("an interface has carrier from the first link on that is up", "[carrier]") {
  Carrier carrier;
  CHECK_FALSE(carrier.on());
  carrier.link_changed(second, true, start);
  CHECK(carrier.on());
  CHECK(carrier.deadline() == never);
}

TEST_CASE("carrier stays while any link is up, and through a standstill of all", "[carrier]") {
  Carrier carrier;
  carrier.link_changed(first, true, start);
  carrier.link_changed(second, true, start);
  carrier.link_changed(first, false, start);
  CHECK(carrier.deadline() == never);
  carrier.link_changed(second, false, start + 1s);
  CHECK(carrier.deadline() == start + 1s + Carrier::patience);
  carrier.handle_timeout(start + 2s);
  CHECK(carrier.on());
  carrier.link_changed(first, true, start + 3s);
  CHECK(carrier.deadline() == never);
  carrier.handle_timeout(start + 1min);
  CHECK(carrier.on());
}

TEST_CASE("carrier goes when no link was up for a while, counted from the last", "[carrier]") {
  Carrier carrier;
  carrier.link_changed(first, true, start);
  carrier.link_changed(first, false, start + 1s);
  // That another one is down, too, is no news.
  carrier.link_changed(second, false, start + 2s);
  carrier.handle_timeout(start + 1s + Carrier::patience - 1ns);
  CHECK(carrier.on());
  carrier.handle_timeout(start + 1s + Carrier::patience);
  CHECK_FALSE(carrier.on());
  CHECK(carrier.deadline() == never);
}

TEST_CASE("carrier goes at once when the peer leaves", "[carrier]") {
  Carrier carrier;
  carrier.link_changed(first, true, start);
  carrier.session_ended();
  CHECK_FALSE(carrier.on());
  CHECK(carrier.deadline() == never);
}
