#include "dataplane/io/policy_routes.hpp"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>

#include <cerrno>
#include <limits>
#include <vector>

#include "dataplane/io/os_error.hpp"
#include "dataplane/io/socket_address.hpp"

namespace mwtun {

/// 464900000, 464900100, ...: easy to know again in "ip rule".
static std::uint32_t first_table_of(std::string_view instance) {
  std::uint32_t hash = 0x811c9dc5;  // FNV-1a
  for (const char letter : instance) hash = (hash ^ static_cast<std::uint8_t>(letter)) * 0x1000193;
  return 464'900'000 + hash % 10'000 * PolicyRoutes::block_tables;
}

Result<PolicyRoutes> PolicyRoutes::open(std::string_view instance) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  PolicyRoutes routes(netlink.take(), first_table_of(instance));
  routes.sweep();
  return routes;
}

PolicyRoutes::~PolicyRoutes() {
  while (!installed_.empty()) remove(installed_.begin()->first);
}

int PolicyRoutes::change_rule(std::uint16_t type, int flags, std::uint32_t table,
                              const PolicyRoute& route) {
  const Address& from = route.bind.known() ? route.bind : route.gateway;
  fib_rule_hdr header{};
  header.family = static_cast<std::uint8_t>(af_of(from.family));
  header.table = RT_TABLE_UNSPEC;
  header.action = FR_ACT_TO_TBL;
  if (route.bind.known()) header.src_len = static_cast<std::uint8_t>(8 * ip_bytes(from.family));
  NetlinkMessage message(type, flags);
  message.header(header)
      .put_u32(FRA_TABLE, table)
      .put_u32(FRA_PRIORITY, rule_priority)
      .put_u8(FRA_PROTOCOL, protocol);
  if (route.bind.known()) {
    message.put_ip(FRA_SRC, route.bind);
  } else {
    message.put_text(FRA_OIFNAME, route.device);
  }
  return netlink_.request(message);
}

static rtmsg route_header(Family family, std::uint8_t type) {
  rtmsg header{};
  header.rtm_family = static_cast<std::uint8_t>(af_of(family));
  header.rtm_table = RT_TABLE_UNSPEC;
  header.rtm_protocol = PolicyRoutes::protocol;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = type;
  return header;
}

int PolicyRoutes::change_default(std::uint16_t type, int flags, std::uint32_t table,
                                 const PolicyRoute& route) {
  rtmsg header = route_header(route.gateway.family, RTN_UNICAST);
  header.rtm_flags = RTNH_F_ONLINK;  // The table has no route to the gateway itself.
  NetlinkMessage message(type, flags);
  message.header(header)
      .put_u32(RTA_TABLE, table)
      .put_ip(RTA_GATEWAY, route.gateway)
      .put_u32(RTA_OIF, route.device_index)
      .put_u32(RTA_PRIORITY, 1);
  return netlink_.request(message);
}

int PolicyRoutes::change_unreachable(std::uint16_t type, int flags, std::uint32_t table,
                                     Family family) {
  NetlinkMessage message(type, flags);
  message.header(route_header(family, RTN_UNREACHABLE))
      .put_u32(RTA_TABLE, table)
      .put_u32(RTA_PRIORITY, std::numeric_limits<std::int32_t>::max());
  return netlink_.request(message);
}

Result<void> PolicyRoutes::install(std::size_t slot, const PolicyRoute& route) {
  MWTUN_ASSERT(slot < block_tables && route.gateway.known() && route.device_index != 0);
  const std::uint32_t table = table_of(slot);
  const auto failed = [&](int error, const char* what) {
    return os_error(error,
                    std::string("cannot make the ") + what + " for gateway " +
                        to_string(route.gateway) + " on " + route.device,
                    error == EPERM ? "run with CAP_NET_ADMIN, or set up policy routing yourself "
                                     "and leave \"gateway\" out"
                                   : "is the gateway in the network of this interface?");
  };
  if (const auto old = installed_.find(slot); old != installed_.end()) {
    const PolicyRoute& before = old->second;
    const bool same_rule = before.bind == route.bind && before.device == route.device &&
                           before.gateway.family == route.gateway.family;
    if (!same_rule) remove(slot);
  }
  // The table first: while it is empty, the rule would let traffic through to the main table.
  int error =
      change_unreachable(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, table, route.gateway.family);
  if (error != 0 && error != EEXIST) return failed(error, "routing table");
  error = change_default(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, table, route);
  if (error != 0 && error != EEXIST) return failed(error, "route");
  error = change_rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, table, route);
  if (error != 0 && error != EEXIST) return failed(error, "rule");
  installed_.insert_or_assign(slot, route);
  return {};
}

void PolicyRoutes::remove(std::size_t slot) {
  const auto found = installed_.find(slot);
  if (found == installed_.end()) return;
  const PolicyRoute route = found->second;
  installed_.erase(found);
  const std::uint32_t table = table_of(slot);
  // What the kernel has removed by itself (the interface is gone) is no error.
  change_rule(RTM_DELRULE, 0, table, route);
  change_default(RTM_DELROUTE, 0, table, route);
  change_unreachable(RTM_DELROUTE, 0, table, route.gateway.family);
}

/// Deletes the rules that bear our protocol number and point into our block of tables, by sending
/// the kernel its own description of them back, and our routes in those tables. Asks for the rules
/// alone: a router's routes may be a million.
void PolicyRoutes::sweep() {
  struct Leftover {
    std::uint32_t table;
    std::vector<std::uint8_t> rule;
  };
  for (const Family family : {Family::v4, Family::v6}) {
    std::vector<Leftover> leftovers;
    fib_rule_hdr header{};
    header.family = static_cast<std::uint8_t>(af_of(family));
    netlink_.request(NetlinkMessage(RTM_GETRULE, NLM_F_DUMP).header(header),
                     [&](const nlmsghdr& message) {
                       nlattr* found[FRA_MAX + 1];
                       if (nlmsg_parse(const_cast<nlmsghdr*>(&message), sizeof(fib_rule_hdr), found,
                                       FRA_MAX, nullptr) < 0 ||
                           found[FRA_TABLE] == nullptr || found[FRA_PROTOCOL] == nullptr) {
                         return;
                       }
                       const std::uint32_t table = nla_get_u32(found[FRA_TABLE]);
                       if (!ours(table) || nla_get_u8(found[FRA_PROTOCOL]) != protocol) return;
                       const auto* body = static_cast<const std::uint8_t*>(nlmsg_data(&message));
                       leftovers.push_back({table, {body, body + nlmsg_datalen(&message)}});
                     });
    for (const Leftover& leftover : leftovers) {
      netlink_.request(NetlinkMessage(RTM_DELRULE, 0).raw(leftover.rule));
      rtmsg any_default = route_header(family, RTN_UNSPEC);
      any_default.rtm_scope = RT_SCOPE_NOWHERE;
      const auto remove_one = [&] {
        return netlink_.request(NetlinkMessage(RTM_DELROUTE, 0)
                                    .header(any_default)
                                    .put_u32(RTA_TABLE, leftover.table)) == 0;
      };
      for (int i = 0; i < 8 && remove_one(); ++i) {
      }
    }
  }
}

}  // namespace mwtun
