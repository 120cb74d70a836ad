#pragma once
#include <poll.h>

#include <functional>
#include <string>

#include "base/time.hpp"
#include "dataplane/io/interface_setup.hpp"
#include "dataplane/io/netlink.hpp"
#include "dataplane/io/system_clock.hpp"

namespace mwtun::testing {

/// Runs `body` in a thread of its own inside a new network namespace, with lo up. Says so and does
/// nothing where that is not permitted.
void in_namespace(const std::function<void()>& body);

/// True when the descriptor becomes readable within two seconds.
bool readable(int fd, Duration within = seconds(2));

/// Calls `step` until it says true; gives up after two seconds. Waits for `fd` between calls.
bool eventually(int fd, const std::function<bool()>& step);

/// From now on this thread's system call fails so, with this second argument or (-1) any. False:
/// not permitted.
bool forbid(unsigned call, int second_argument, int error);

/// Things to do with interfaces of the namespace one is in. All REQUIRE success.
class Lab {
 public:
  Lab();
  void add_veth(const std::string& name, const std::string& other);
  void add_bridge(const std::string& name);
  void remove(const std::string& name);
  void up(const std::string& name);
  void down(const std::string& name);
  void set_mtu(const std::string& name, std::uint32_t mtu);
  void add_address(const std::string& name, const std::string& ip, std::uint8_t prefix_length);
  void remove_address(const std::string& name, const std::string& ip, std::uint8_t prefix_length);
  void add_default_route(const std::string& gateway, const std::string& name);
  /// A neighbour that nobody has to be asked for.
  void add_neighbour(const std::string& name, const std::string& ip);
  /// A token bucket as the interface's queue: rate in bytes/s, and room in bytes for what waits.
  void throttle(const std::string& name, std::uint32_t rate, std::uint32_t room);
  /// The interface's bridge; 0: none.
  unsigned master_of(const std::string& name);
  std::uint32_t mtu_of(const std::string& name);
  MacAddress mac_of(const std::string& name);
  bool carrier_of(const std::string& name);
  /// Policy rules for IPv4; a fresh namespace has 3.
  std::size_t rule_count();

  Netlink netlink;
};

}  // namespace mwtun::testing
