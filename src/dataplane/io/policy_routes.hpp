#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/address.hpp"
#include "base/result.hpp"
#include "dataplane/io/netlink.hpp"

namespace mwtun {

/// One link's own way out.
struct PolicyRoute {
  Address bind;  // Rule "from BIND"; family none: "oif DEVICE".
  Address gateway;
  std::string device;  // Name of the interface the gateway is behind.
  unsigned device_index = 0;
};

/// The rules and tables behind a link's `gateway`: `from BIND lookup TABLE` and, in that table, a
/// default route through the gateway with an `unreachable` one behind it, so that while the
/// interface is down nothing leaves through another line with the wrong source. The main table is
/// never touched.
///
/// Each running file has a block of 100 tables, found by a hash of its name, and marks all it makes
/// with its own protocol number: what a killed process left is found and taken over by the next,
/// and nobody else's rules are ever removed.
class PolicyRoutes {
 public:
  static constexpr std::uint8_t protocol = 164;         // Free in iproute2's rt_protos.
  static constexpr std::uint32_t rule_priority = 4649;  // Before the main table's 32766.
  static constexpr std::uint32_t block_tables = 100;

  /// Removes what an earlier process of this name left.
  /// @param instance  name of the running file
  static Result<PolicyRoutes> open(std::string_view instance);
  PolicyRoutes(PolicyRoutes&&) = default;
  PolicyRoutes& operator=(PolicyRoutes&&) = delete;
  ~PolicyRoutes();

  /// Makes or renews rule and table number `slot` (0 to 99). Renewing is needed when the interface
  /// has been down, since the kernel then forgets its routes.
  Result<void> install(std::size_t slot, const PolicyRoute& route);
  void remove(std::size_t slot);

  std::uint32_t table_of(std::size_t slot) const {
    return first_table_ + static_cast<std::uint32_t>(slot);
  }

 private:
  PolicyRoutes(Netlink netlink, std::uint32_t first_table)
      : netlink_(std::move(netlink)), first_table_(first_table) {}
  bool ours(std::uint32_t table) const {
    return table >= first_table_ && table < first_table_ + block_tables;
  }
  void sweep();
  int change_rule(std::uint16_t type, int flags, std::uint32_t table, const PolicyRoute& route);
  int change_default(std::uint16_t type, int flags, std::uint32_t table, const PolicyRoute& route);
  int change_unreachable(std::uint16_t type, int flags, std::uint32_t table, Family family);

  Netlink netlink_;
  std::uint32_t first_table_;
  std::map<std::size_t, PolicyRoute> installed_;
};

}  // namespace mwtun
