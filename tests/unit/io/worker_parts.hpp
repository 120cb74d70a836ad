#pragma once
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "crypto/init.hpp"
#include "dataplane/io/crew.hpp"
#include "support.hpp"

namespace mwtun::testing {

inline constexpr std::uint16_t test_type = 0x88b5;  // IEEE 802: local experiments.

inline PrivateKey key_of(std::uint8_t seed) {
  struct Fixed : Entropy {
    std::uint8_t seed;
    explicit Fixed(std::uint8_t s) : seed(s) {}
    void fill(MutableBytes out) override {
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<std::uint8_t>(seed * 31 + i);
    }
  };
  Fixed entropy(seed);
  return generate_private_key(entropy);
}

inline WorkerTap make_tap(Lab& lab, PeerId peer, const std::string& name) {
  TapOptions options;
  options.name = name;
  auto tap = Tap::open(lab.netlink, options);
  if (!tap.ok()) FAIL(tap.error().message);
  return {peer, tap.take()};
}

inline int fd_of(const Worker& worker) {
  return worker.notices_fd();
}
inline int fd_of(const Crew& crew) {
  return crew.notices_fds().front();
}

/// Of a worker or a crew: takes notices until `enough` says so.
template <typename Notices, typename Enough>
bool wait_for_events(Notices& from, std::vector<Event>& events, Enough enough) {
  const Instant limit = monotonic_now() + seconds(5);
  std::vector<WorkerNotice> notices;
  while (!enough()) {
    if (monotonic_now() > limit) return false;
    readable(fd_of(from), milliseconds(50));
    from.take_notices(notices);
    for (const WorkerNotice& notice : notices) {
      if (const auto* event = std::get_if<NodeEvent>(&notice)) events.push_back(event->event);
    }
  }
  return true;
}

inline bool has(const std::vector<Event>& events, Event::Kind kind) {
  for (const Event& event : events) {
    if (event.kind == kind) return true;
  }
  return false;
}

inline std::size_t links_up(const std::vector<Event>& events) {
  std::set<std::pair<PeerId, LinkId>> up;
  for (const Event& event : events) {
    if (event.kind != Event::Kind::link_changed) continue;
    if (event.state == LinkState::up) {
      up.insert({event.peer, event.link});
    } else {
      up.erase({event.peer, event.link});
    }
  }
  return up.size();
}

/// A socket for whole frames of `test_type`.
inline Fd frames_of(const std::string& interface) {
  Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(test_type)));
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(test_type);
  name.sll_ifindex = static_cast<int>(interface_index(interface));
  REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
  return fd;
}

/// Frames go from one interface to the other; the first may meet one that only begins to send.
inline bool carries(const Fd& from, const Fd& to, std::size_t bytes = 1514) {
  std::vector<std::uint8_t> sent(bytes), got(2048);
  std::fill_n(sent.begin(), 6, 0xff);
  store_be16(sent.data() + 12, test_type);
  return eventually(to.get(), [&] {
    ++sent.back();
    if (send(from.get(), sent.data(), sent.size(), 0) < 0) return false;
    // One that was sent before may come late.
    while (readable(to.get(), milliseconds(100))) {
      const ssize_t size = recv(to.get(), got.data(), got.size(), 0);
      if (size == static_cast<ssize_t>(sent.size()) &&
          std::equal(sent.begin(), sent.end(), got.begin())) {
        return true;
      }
    }
    return false;
  });
}

}  // namespace mwtun::testing
