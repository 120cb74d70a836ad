#include "support.hpp"

#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/prctl.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstring>
#include <exception>
#include <thread>

#include "dataplane/io/socket_address.hpp"
#include "loop_rig.hpp"

namespace mwtun::testing {

void in_namespace(const std::function<void()>& body) {
  bool permitted = true;
  std::exception_ptr failure;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      permitted = false;
      return;
    }
    try {
      Lab().up("lo");
      body();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (!permitted) WARN("skipped: needs root for a network namespace");
  if (failure) std::rethrow_exception(failure);
}

bool readable(int fd, Duration within) {
  pollfd wanted{fd, POLLIN, 0};
  return poll(&wanted, 1, static_cast<int>(within / milliseconds(1))) == 1;
}

bool eventually(int fd, const std::function<bool()>& step) {
  const Instant deadline = monotonic_now() + seconds(2);
  while (!step()) {
    if (monotonic_now() > deadline) return false;
    readable(fd, milliseconds(5));
  }
  return true;
}

bool forbid(unsigned call, int second_argument, int error) {
  const unsigned refuse = SECCOMP_RET_ERRNO | static_cast<unsigned>(error);
  const auto wanted = static_cast<unsigned>(second_argument);
  const std::uint8_t otherwise = second_argument < 0 ? 0 : 1;
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, wanted, 0, otherwise),
      BPF_STMT(BPF_RET | BPF_K, refuse),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

std::vector<LoopKind> loops_here() {
  static const std::string missing = [] {
    SlabPool slabs(2048, 4);
    auto opened = open_event_loop(LoopKind::io_uring, slabs);
    return opened.ok() ? opened.value().why_not : opened.error().message;
  }();
  if (missing.empty()) return {LoopKind::epoll, LoopKind::io_uring};
  WARN("not with io_uring: " << missing);
  return {LoopKind::epoll};
}

static Netlink open_netlink() {
  auto netlink = Netlink::open();
  REQUIRE(netlink.ok());
  return netlink.take();
}

Lab::Lab() : netlink(open_netlink()) {}

static ifinfomsg link_header(const std::string& name) {
  ifinfomsg link{};
  link.ifi_index = static_cast<int>(interface_index(name));
  REQUIRE(link.ifi_index != 0);
  return link;
}

void Lab::add_veth(const std::string& name, const std::string& other) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.header(ifinfomsg{}).put_text(IFLA_IFNAME, name).begin(IFLA_LINKINFO);
  message.put_text(IFLA_INFO_KIND, "veth").begin(IFLA_INFO_DATA).begin(VETH_INFO_PEER);
  message.header(ifinfomsg{}).put_text(IFLA_IFNAME, other).end().end().end();
  REQUIRE(netlink.request(message) == 0);
}

void Lab::add_bridge(const std::string& name) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.header(ifinfomsg{}).put_text(IFLA_IFNAME, name).begin(IFLA_LINKINFO);
  message.put_text(IFLA_INFO_KIND, "bridge").end();
  REQUIRE(netlink.request(message) == 0);
}

void Lab::remove(const std::string& name) {
  REQUIRE(netlink.request(NetlinkMessage(RTM_DELLINK, 0).header(link_header(name))) == 0);
}

static void switch_link(Netlink& netlink, const std::string& name, bool on) {
  ifinfomsg link = link_header(name);
  link.ifi_change = IFF_UP;
  link.ifi_flags = on ? IFF_UP : 0;
  REQUIRE(netlink.request(NetlinkMessage(RTM_NEWLINK, 0).header(link)) == 0);
}
void Lab::up(const std::string& name) {
  switch_link(netlink, name, true);
}
void Lab::down(const std::string& name) {
  switch_link(netlink, name, false);
}

void Lab::set_mtu(const std::string& name, std::uint32_t mtu) {
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.header(link_header(name)).put_u32(IFLA_MTU, mtu);
  REQUIRE(netlink.request(message) == 0);
}

static int change_address(Netlink& netlink, std::uint16_t type, int flags, const std::string& name,
                          const std::string& text, std::uint8_t prefix_length) {
  const Address ip = parse_address(text);
  ifaddrmsg header{};
  header.ifa_family = static_cast<std::uint8_t>(af_of(ip.family));
  header.ifa_prefixlen = prefix_length;
  header.ifa_index = interface_index(name);
  NetlinkMessage message(type, flags);
  message.header(header).put_ip(IFA_LOCAL, ip).put_ip(IFA_ADDRESS, ip);
  message.put_u32(IFA_FLAGS, IFA_F_NODAD);
  return netlink.request(message);
}
void Lab::add_address(const std::string& name, const std::string& ip, std::uint8_t prefix_length) {
  REQUIRE(change_address(netlink, RTM_NEWADDR, NLM_F_CREATE, name, ip, prefix_length) == 0);
}
void Lab::remove_address(const std::string& name, const std::string& ip,
                         std::uint8_t prefix_length) {
  REQUIRE(change_address(netlink, RTM_DELADDR, 0, name, ip, prefix_length) == 0);
}

void Lab::add_default_route(const std::string& gateway, const std::string& name) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_type = RTN_UNICAST;
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE);
  message.header(header).put_ip(RTA_GATEWAY, parse_address(gateway));
  message.put_u32(RTA_OIF, interface_index(name));
  REQUIRE(netlink.request(message) == 0);
}

void Lab::add_neighbour(const std::string& name, const std::string& text) {
  const Address ip = parse_address(text);
  ndmsg header{};
  header.ndm_family = static_cast<std::uint8_t>(af_of(ip.family));
  header.ndm_ifindex = static_cast<int>(interface_index(name));
  header.ndm_state = NUD_PERMANENT;
  const MacAddress mac = {2, 0, 0, 0, 0, 9};
  NetlinkMessage message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  REQUIRE(netlink.request(message.header(header).put_ip(NDA_DST, ip).put(NDA_LLADDR, mac)) == 0);
}

void Lab::throttle(const std::string& name, std::uint32_t rate, std::uint32_t room) {
  tcmsg header{};
  header.tcm_ifindex = static_cast<int>(interface_index(name));
  header.tcm_parent = TC_H_ROOT;
  header.tcm_handle = 1u << 16;
  tc_tbf_qopt bucket{};
  bucket.rate.linklayer = TC_LINKLAYER_ETHERNET;
  bucket.rate.rate = rate;
  bucket.limit = room;
  bucket.buffer = 1;
  std::uint8_t bytes[sizeof bucket];
  std::memcpy(bytes, &bucket, sizeof bucket);
  NetlinkMessage message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
  message.header(header).put_text(TCA_KIND, "tbf").begin(TCA_OPTIONS);
  message.put(TCA_TBF_PARMS, bytes).put_u32(TCA_TBF_BURST, 2000).end();
  REQUIRE(netlink.request(message) == 0);
}

template <typename Value>
static Value link_attribute(Netlink& netlink, const std::string& name, std::uint16_t attribute,
                            Value otherwise) {
  Value value = otherwise;
  REQUIRE(netlink.request(NetlinkMessage(RTM_GETLINK, 0).header(link_header(name)),
                          [&](const nlmsghdr& message) {
                            const auto* at = reinterpret_cast<const std::uint8_t*>(&message);
                            const std::uint8_t* end = at + message.nlmsg_len;
                            at += NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(ifinfomsg));
                            while (at + sizeof(rtattr) <= end) {
                              rtattr header;
                              std::memcpy(&header, at, sizeof header);
                              if (header.rta_type == attribute) {
                                std::memcpy(&value, at + sizeof header, sizeof value);
                              }
                              at += RTA_ALIGN(header.rta_len);
                            }
                          }) == 0);
  return value;
}

unsigned Lab::master_of(const std::string& name) {
  return link_attribute<unsigned>(netlink, name, IFLA_MASTER, 0);
}
std::uint32_t Lab::mtu_of(const std::string& name) {
  return link_attribute<std::uint32_t>(netlink, name, IFLA_MTU, 0);
}
MacAddress Lab::mac_of(const std::string& name) {
  return link_attribute<MacAddress>(netlink, name, IFLA_ADDRESS, {});
}
bool Lab::carrier_of(const std::string& name) {
  return link_attribute<std::uint8_t>(netlink, name, IFLA_CARRIER, 2) == 1;
}

std::size_t Lab::rule_count() {
  std::size_t count = 0;
  fib_rule_hdr header{};
  header.family = AF_INET;
  REQUIRE(netlink.request(NetlinkMessage(RTM_GETRULE, NLM_F_DUMP).header(header),
                          [&](const nlmsghdr&) { ++count; }) == 0);
  return count;
}

}  // namespace mwtun::testing
