#include "dataplane/io/link_monitor.hpp"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/io/interface_setup.hpp"
#include "dataplane/io/os_error.hpp"
#include "dataplane/io/socket_address.hpp"

namespace mwtun {

static constexpr std::size_t event_bytes_max = 64 * 1024;

Result<LinkMonitor> LinkMonitor::open() {
  auto questions = Netlink::open();
  if (!questions) return questions.error();
  LinkMonitor monitor(questions.take());
  if (auto subscribed = monitor.subscribe(); !subscribed) return subscribed.error();
  // Only now, so that what changes in between comes as an event.
  monitor.resynchronise();
  return monitor;
}

Result<void> LinkMonitor::subscribe() {
  buffer_.resize(event_bytes_max);
  events_.reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!events_) return os_error(errno, "cannot open a netlink socket");
  const int room = 1 << 20;
  if (setsockopt(events_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) {
    setsockopt(events_.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  }
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  for (const unsigned group :
       {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE}) {
    name.nl_groups |= 1u << (group - 1);
  }
  if (bind(events_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    return os_error(errno, "cannot listen to the kernel's network events");
  }
  return {};
}

void LinkMonitor::resynchronise() {
  interfaces_.clear();
  addresses_.clear();
  ifinfomsg links{};
  questions_.request(NetlinkMessage(RTM_GETLINK, NLM_F_DUMP).header(links),
                     [this](const nlmsghdr& message) { take(message); });
  ifaddrmsg addresses{};
  questions_.request(NetlinkMessage(RTM_GETADDR, NLM_F_DUMP).header(addresses),
                     [this](const nlmsghdr& message) { take(message); });
}

bool LinkMonitor::process() {
  bool changed = false;
  // Bounds, so that a router that learns a million routes does not hold us here. Where events were
  // lost the end of the queue has to be seen.
  for (int i = 0; i < (events_lost_ ? 16'384 : 256); ++i) {
    sockaddr_nl sender{};
    socklen_t sender_size = sizeof sender;
    const ssize_t got = recvfrom(events_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&sender), &sender_size);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == ENOBUFS) {
        events_lost_ = true;
        continue;
      }
      // What we know may be wrong. We ask when all older events are out of the way: read after the
      // answer, they would undo it.
      if (errno == EAGAIN && std::exchange(events_lost_, false)) {
        resynchronise();
        changed = true;
      }
      break;
    }
    if (sender.nl_pid != 0) continue;  // Not from the kernel.
    if (static_cast<std::size_t>(got) > buffer_.size()) {
      events_lost_ = true;
      continue;
    }
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer_.data()); nlmsg_ok(message, left);
         message = nlmsg_next(message, &left)) {
      changed |= take(*message);
    }
  }
  return changed;
}

bool LinkMonitor::take(const nlmsghdr& message) {
  switch (message.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return take_link(message, message.nlmsg_type == RTM_DELLINK);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return take_address(message, message.nlmsg_type == RTM_DELADDR);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
    case RTM_NEWRULE:
    case RTM_DELRULE:
      return true;  // Not kept: the kernel is asked about the few destinations we have.
    default:
      return false;
  }
}

bool LinkMonitor::take_link(const nlmsghdr& message, bool gone) {
  nlattr* found[IFLA_MAX + 1];
  if (nlmsg_parse(const_cast<nlmsghdr*>(&message), sizeof(ifinfomsg), found, IFLA_MAX, nullptr) <
      0) {
    return false;
  }
  const auto* header = static_cast<const ifinfomsg*>(nlmsg_data(&message));
  // Bridges announce their ports' bridge state in messages of their own; those are not about links.
  if (header->ifi_family == AF_BRIDGE) return false;
  const unsigned index = static_cast<unsigned>(header->ifi_index);
  if (gone) return interfaces_.erase(index) > 0;
  Interface now;
  now.flags = header->ifi_flags;
  if (found[IFLA_IFNAME] != nullptr) now.name = nla_get_string(found[IFLA_IFNAME]);
  if (found[IFLA_MTU] != nullptr) now.mtu = nla_get_u32(found[IFLA_MTU]);
  Interface& known = interfaces_[index];
  if (known == now) return false;
  known = std::move(now);
  return true;
}

bool LinkMonitor::take_address(const nlmsghdr& message, bool gone) {
  nlattr* found[IFA_MAX + 1];
  if (nlmsg_parse(const_cast<nlmsghdr*>(&message), sizeof(ifaddrmsg), found, IFA_MAX, nullptr) <
      0) {
    return false;
  }
  const auto* header = static_cast<const ifaddrmsg*>(nlmsg_data(&message));
  // On point-to-point interfaces IFA_ADDRESS is the other end.
  const nlattr* own = found[IFA_LOCAL] != nullptr ? found[IFA_LOCAL] : found[IFA_ADDRESS];
  OwnAddress key;
  if (header->ifa_family == AF_INET) key.ip.family = Family::v4;
  if (header->ifa_family == AF_INET6) key.ip.family = Family::v6;
  if (own == nullptr || !key.ip.known() ||
      nla_len(own) != static_cast<int>(ip_bytes(key.ip.family))) {
    return false;
  }
  std::memcpy(key.ip.ip.data(), nla_data(own), ip_bytes(key.ip.family));
  key.interface_index = header->ifa_index;
  if (gone) return addresses_.erase(key) > 0;
  const std::uint32_t flags =
      found[IFA_FLAGS] != nullptr ? nla_get_u32(found[IFA_FLAGS]) : header->ifa_flags;
  const auto [place, added] = addresses_.try_emplace(key, flags);
  if (!added && place->second == flags) return false;
  place->second = flags;
  return true;
}

WayOut LinkMonitor::judge(unsigned index) const {
  WayOut way;
  const auto found = interfaces_.find(index);
  if (found == interfaces_.end()) {
    way.reason = "the interface is gone";
    return way;
  }
  const Interface& interface = found->second;
  way.interface_index = index;
  way.interface_name = interface.name;
  way.mtu = interface.mtu;
  if ((interface.flags & IFF_UP) == 0) {
    way.reason = "interface " + interface.name + " is switched off (\"ip link set " +
                 interface.name + " up\")";
  } else if ((interface.flags & IFF_RUNNING) == 0) {
    way.reason = "interface " + interface.name + " has no carrier";
  } else {
    way.usable = true;
  }
  return way;
}

static WayOut no_way(std::string reason) {
  WayOut way;
  way.reason = std::move(reason);
  return way;
}

WayOut LinkMonitor::interface_for(const Address& bind, const std::string& device) const {
  unsigned index = 0;
  if (!device.empty()) {
    for (const auto& [number, interface] : interfaces_) {
      if (interface.name == device) index = number;
    }
    if (index == 0) return no_way("there is no interface " + device);
  }
  if (!bind.known()) {
    if (index != 0) return judge(index);
    WayOut any;
    any.usable = true;
    return any;
  }
  const Address ip = [&] {
    Address plain = bind.with_port(0);
    plain.scope = 0;
    return plain;
  }();
  WayOut best = no_way(device.empty()
                           ? "no interface has the address " + to_string(ip)
                           : "interface " + device + " does not have the address " + to_string(ip));
  for (const auto& [own, flags] : addresses_) {
    if (own.ip != ip || (index != 0 && own.interface_index != index)) continue;
    if ((flags & IFA_F_DADFAILED) != 0) {
      best = no_way("the address " + to_string(ip) + " is in use by another machine");
    } else if ((flags & IFA_F_TENTATIVE) != 0 && (flags & IFA_F_OPTIMISTIC) == 0) {
      best = no_way("the address " + to_string(ip) + " is being checked for duplicates");
    } else if (best = judge(own.interface_index); best.usable) {
      break;
    }
  }
  return best;
}

bool LinkMonitor::interface_has(const std::string& device, Family family) const {
  return std::any_of(addresses_.begin(), addresses_.end(), [&](const auto& entry) {
    if (entry.first.ip.family != family || link_local(entry.first.ip)) return false;
    const auto found = interfaces_.find(entry.first.interface_index);
    return found != interfaces_.end() && found->second.name == device;
  });
}

WayOut LinkMonitor::way_to(const Address& remote, const Address& bind, const std::string& device) {
  const WayOut interface = interface_for(bind, device);
  if (!interface.usable) return interface;
  if (bind.known() && bind.family != remote.family) {
    return no_way("the server's address " + to_string(remote) + " is not of the family of " +
                  to_string(bind.with_port(0)));
  }
  rtmsg header{};
  header.rtm_family = static_cast<std::uint8_t>(af_of(remote.family));
  header.rtm_dst_len = static_cast<std::uint8_t>(8 * ip_bytes(remote.family));
  NetlinkMessage question(RTM_GETROUTE, 0);
  if (bind.known()) header.rtm_src_len = header.rtm_dst_len;
  question.header(header).put_ip(RTA_DST, remote);
  if (bind.known()) question.put_ip(RTA_SRC, bind);
  // The socket is bound to the named interface only; an address alone leaves the choice to routing.
  if (!device.empty()) question.put_u32(RTA_OIF, interface.interface_index);

  unsigned index = 0;
  std::uint8_t type = RTN_UNSPEC;
  const int error = questions_.request(question, [&](const nlmsghdr& message) {
    nlattr* found[RTA_MAX + 1];
    if (message.nlmsg_type != RTM_NEWROUTE ||
        nlmsg_parse(const_cast<nlmsghdr*>(&message), sizeof(rtmsg), found, RTA_MAX, nullptr) < 0) {
      return;
    }
    type = static_cast<const rtmsg*>(nlmsg_data(&message))->rtm_type;
    if (found[RTA_OIF] != nullptr) index = nla_get_u32(found[RTA_OIF]);
    // Not RTAX_MTU: it may be what a forged ICMP message put into the kernel's cache.
  });
  const std::string from = bind.known()      ? " from " + to_string(bind.with_port(0))
                           : !device.empty() ? " through " + device
                                             : "";
  const bool refused = type == RTN_UNREACHABLE || type == RTN_BLACKHOLE || type == RTN_PROHIBIT;
  if (error != 0 || index == 0 || refused) {
    return no_way("no route to " + to_string(remote.with_port(0)) + from +
                  (error != 0 ? " (" + errno_text(error) + ")" : ""));
  }
  WayOut way = judge(index);
  if (way.usable && interface.interface_index != 0 && index != interface.interface_index &&
      type != RTN_LOCAL) {
    way.warning = "datagrams" + from + ", an address of " + interface.interface_name +
                  ", leave through " + way.interface_name +
                  ": set \"gateway\" or \"device\" if that is not meant";
  }
  return way;
}

}  // namespace mwtun
