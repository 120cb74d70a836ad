#pragma once
#include <sys/socket.h>

#include "base/address.hpp"

namespace mwtun {

/// Fills `out` and gives the length the kernel wants; 0 for an address of no family.
socklen_t to_sockaddr(const Address& address, sockaddr_storage& out);
/// Family none for anything but IPv4 and IPv6.
Address from_sockaddr(const sockaddr_storage& from);

constexpr int af_of(Family family) {
  return family == Family::v6 ? AF_INET6 : family == Family::v4 ? AF_INET : AF_UNSPEC;
}
constexpr std::size_t ip_bytes(Family family) {
  return family == Family::v6 ? 16 : 4;
}
/// fe80::/10, which means nothing without an interface.
bool link_local(const Address& address);

}  // namespace mwtun
