#pragma once
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "dataplane/io/udp_socket.hpp"

namespace mwtun {

/// A socket with the number the core knows it by.
struct NumberedSocket {
  SocketId id{};
  UdpSocket socket;
};

/// A server's sockets, one an address, numbered from `first`. [::] is left out, with a line in
/// `warnings`, on a machine without IPv6 when there are other addresses.
Result<std::vector<NumberedSocket>> open_listeners(const std::vector<Address>& addresses,
                                                   std::uint32_t buffer_bytes, SocketId first,
                                                   std::vector<std::string>& warnings);

}  // namespace mwtun
