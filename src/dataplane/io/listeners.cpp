#include "dataplane/io/listeners.hpp"

#include <sys/socket.h>

#include <utility>

#include "dataplane/io/fd.hpp"

namespace mwtun {

static bool have_ipv6() {
  return bool(Fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
}

Result<std::vector<NumberedSocket>> open_listeners(const std::vector<Address>& addresses,
                                                   std::uint32_t buffer_bytes, SocketId first,
                                                   std::vector<std::string>& warnings) {
  std::vector<NumberedSocket> sockets;
  std::size_t id = index_of(first);
  for (const Address& address : addresses) {
    if (address.family == Family::v6 && address.any() && addresses.size() > 1 && !have_ipv6()) {
      warnings.push_back("not listening on " + to_string(address) + ": this kernel has no IPv6");
      continue;
    }
    UdpSocketOptions options;
    options.bind = address;
    options.server = true;
    options.receive_buffer_bytes = buffer_bytes;
    options.send_buffer_bytes = buffer_bytes;
    auto socket = UdpSocket::open(options);
    if (!socket) return socket.error();
    if (auto warning = buffer_warning(socket.value(), buffer_bytes); !warning.empty()) {
      warnings.push_back(std::move(warning));
    }
    sockets.push_back({static_cast<SocketId>(id++), socket.take()});
  }
  return sockets;
}

}  // namespace mwtun
