#include "dataplane/io/send_messages.hpp"

#include <netinet/udp.h>

#include <algorithm>
#include <cstring>

#include "dataplane/io/socket_address.hpp"

namespace mwtun {

namespace {

/// What the kernel takes as one piece: also less than a UDP length can say, headers included.
constexpr std::size_t gso_bytes_max = 65'000;
constexpr std::size_t gso_datagrams_max = 64;

/// Writes the address to send from; gives the size of the control data.
std::size_t write_source(const Address& local, std::uint8_t* at) {
  cmsghdr& part = *reinterpret_cast<cmsghdr*>(at);
  if (local.family == Family::v4) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, local.ip.data(), 4);
    part.cmsg_level = IPPROTO_IP;
    part.cmsg_type = IP_PKTINFO;
    part.cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(&part), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
  }
  in6_pktinfo info{};
  std::memcpy(&info.ipi6_addr, local.ip.data(), 16);
  if (link_local(local)) info.ipi6_ifindex = local.scope;
  part.cmsg_level = IPPROTO_IPV6;
  part.cmsg_type = IPV6_PKTINFO;
  part.cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(&part), &info, sizeof info);
  return CMSG_SPACE(sizeof info);
}

std::size_t write_segment(std::size_t bytes, std::uint8_t* at) {
  cmsghdr& part = *reinterpret_cast<cmsghdr*>(at);
  const auto size = static_cast<std::uint16_t>(bytes);
  part.cmsg_level = SOL_UDP;
  part.cmsg_type = UDP_SEGMENT;
  part.cmsg_len = CMSG_LEN(sizeof size);
  std::memcpy(CMSG_DATA(&part), &size, sizeof size);
  return CMSG_SPACE(sizeof size);
}

/// How many of the items can leave as one: of one size, but for the last, which may be shorter, and
/// between the same addresses.
std::size_t alike(std::span<const SendItem> items) {
  const SendItem& head = items.front();
  const std::size_t size = head.bytes.size();
  if (size == 0 || !head.may_join) return 1;
  std::size_t count = 1, bytes = size;
  while (count < std::min(items.size(), gso_datagrams_max)) {
    const SendItem& item = items[count];
    if (!item.may_join || item.bytes.empty() || item.bytes.size() > size ||
        item.remote != head.remote || item.local != head.local ||
        bytes + item.bytes.size() > gso_bytes_max) {
      break;
    }
    bytes += item.bytes.size();
    ++count;
    if (item.bytes.size() < size) break;
  }
  return count;
}

}  // namespace

void SendMessages::add(std::span<const SendItem> items, std::size_t begin, std::size_t single,
                       Family source) {
  for (std::size_t at = begin; at < items.size(); ++count_) {
    const std::size_t joined = at >= single ? alike(items.subspan(at)) : 1;
    ranges_[count_] = {at, joined};
    headers_[count_] = {};
    msghdr& header = headers_[count_].msg_hdr;
    header.msg_iov = &pieces_[pieces_used_];
    header.msg_name = &names_[count_];
    header.msg_namelen = to_sockaddr(items[at].remote, names_[count_]);
    header.msg_control = controls_[count_].bytes;
    if (source != Family::none && items[at].local.family == source) {
      header.msg_controllen = write_source(items[at].local, controls_[count_].bytes);
    }
    if (joined > 1) {
      header.msg_controllen +=
          write_segment(items[at].bytes.size(), controls_[count_].bytes + header.msg_controllen);
    }
    if (header.msg_controllen == 0) header.msg_control = nullptr;
    const std::size_t pieces_before = pieces_used_;
    const std::uint8_t* behind = nullptr;
    for (const std::size_t end = at + joined; at < end; ++at) {
      const Bytes bytes = items[at].bytes;
      // What stands behind its neighbour in memory needs no piece of its own.
      if (pieces_used_ > pieces_before && bytes.data() == behind) {
        pieces_[pieces_used_ - 1].iov_len += bytes.size();
      } else {
        // sendmsg only reads the bytes; iovec has no const of its own.
        pieces_[pieces_used_++] = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
      }
      behind = bytes.data() + bytes.size();
    }
    header.msg_iovlen = pieces_used_ - pieces_before;
  }
}

}  // namespace mwtun
