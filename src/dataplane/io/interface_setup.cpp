#include "dataplane/io/interface_setup.hpp"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>

#include "base/prng.hpp"
#include "dataplane/io/os_error.hpp"
#include "dataplane/io/socket_address.hpp"

namespace mwtun {

static constexpr const char* needs_admin = "run as root or with CAP_NET_ADMIN";

std::string to_string(const InterfaceAddress& address) {
  return to_string(address.ip.with_port(0)) + "/" + std::to_string(address.prefix_length);
}

unsigned interface_index(const std::string& name) {
  return if_nametoindex(name.c_str());
}

static NetlinkMessage change_link(unsigned index, unsigned flags, unsigned change) {
  ifinfomsg link{};
  link.ifi_family = AF_UNSPEC;
  link.ifi_index = static_cast<int>(index);
  link.ifi_flags = flags;
  link.ifi_change = change;
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.header(link);
  return message;
}

static Error link_error(int error, const std::string& what, const std::string& name,
                        const std::string& mend = {}) {
  return os_error(error, "cannot " + what + " of interface " + name,
                  error == EPERM ? needs_admin : mend);
}

static Result<void> join_bridge(Netlink& netlink, unsigned index, const std::string& name,
                                const std::string& bridge) {
  const unsigned bridge_index = interface_index(bridge);
  if (bridge_index == 0) {
    return Error{"cannot put interface " + name + " into bridge " + bridge +
                     ": there is no such interface; make it first (\"ip link add " + bridge +
                     " type bridge\", then \"ip link set " + bridge +
                     " up\") or leave \"bridge\" out",
                 exit_os};
  }
  const int error =
      netlink.request(std::move(change_link(index, 0, 0).put_u32(IFLA_MASTER, bridge_index)));
  if (error == 0) return {};
  return os_error(error, "cannot put interface " + name + " into bridge " + bridge,
                  error == EPERM        ? needs_admin
                  : error == EOPNOTSUPP ? bridge + " is an interface, but not a bridge"
                                        : "");
}

static Result<void> add_address(Netlink& netlink, unsigned index, const std::string& name,
                                const InterfaceAddress& address) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<std::uint8_t>(af_of(address.ip.family));
  header.ifa_prefixlen = address.prefix_length;
  header.ifa_index = index;
  NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  message.header(header).put_ip(IFA_LOCAL, address.ip).put_ip(IFA_ADDRESS, address.ip);
  if (address.ip.family == Family::v4 && address.prefix_length < 31) {
    Address broadcast = address.ip;
    for (unsigned bit = address.prefix_length; bit < 32; ++bit) {
      broadcast.ip[bit / 8] = static_cast<std::uint8_t>(broadcast.ip[bit / 8] | 0x80u >> bit % 8);
    }
    message.put_ip(IFA_BROADCAST, broadcast);
  }
  const int error = netlink.request(message);
  if (error == 0 || error == EEXIST) return {};
  return os_error(error, "cannot give interface " + name + " the address " + to_string(address),
                  error == EPERM ? needs_admin
                  : error == EACCES || error == EOPNOTSUPP
                      ? "IPv6 is switched off there (net.ipv6.conf.*.disable_ipv6)"
                      : "");
}

Result<void> set_up_interface(Netlink& netlink, const std::string& name,
                              const InterfaceSettings& settings) {
  const unsigned index = interface_index(name);
  if (index == 0) return os_error(ENODEV, "cannot set up interface " + name);
  if (settings.mac.has_value()) {
    const int error =
        netlink.request(std::move(change_link(index, 0, 0).put(IFLA_ADDRESS, *settings.mac)));
    if (error != 0) return link_error(error, "set the MAC address", name);
  }
  if (const int error =
          netlink.request(std::move(change_link(index, 0, 0).put_u32(IFLA_MTU, settings.mtu)));
      error != 0) {
    return link_error(error, "set the MTU " + std::to_string(settings.mtu), name,
                      "choose another \"mtu\"");
  }
  if (!settings.bridge.empty()) {
    if (auto joined = join_bridge(netlink, index, name, settings.bridge); !joined) return joined;
  }
  for (const InterfaceAddress& address : settings.addresses) {
    if (auto added = add_address(netlink, index, name, address); !added) return added;
  }
  const int error = netlink.request(change_link(index, IFF_UP, IFF_UP));
  if (error != 0) return link_error(error, "change the state", name);
  return {};
}

MacAddress stable_mac(Bytes identity, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3; };
  for (const std::uint8_t byte : identity) add(byte);
  add(0);
  for (const char letter : name) add(static_cast<std::uint8_t>(letter));
  const std::uint64_t mixed = Prng(hash).next();
  MacAddress mac;
  store_le(mac.data(), mixed, mac.size());
  mac[0] = static_cast<std::uint8_t>((mac[0] & 0xfc) | 0x02);  // Local, unicast.
  return mac;
}

}  // namespace mwtun
