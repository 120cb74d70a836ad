#include "dataplane/io/listeners.hpp"

#include <sys/socket.h>

#include <utility>

#include "dataplane/io/fd.hpp"
#include "dataplane/io/steering_program.hpp"

namespace mwtun {

using Sockets = std::vector<NumberedSocket>;

static bool have_ipv6() {
  return bool(Fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
}

static UdpSocketOptions options_for(const Address& address, std::uint32_t buffer_bytes) {
  UdpSocketOptions options;
  options.bind = address;
  options.server = true;
  options.receive_buffer_bytes = buffer_bytes;
  options.send_buffer_bytes = buffer_bytes;
  return options;
}

static Result<Sockets> open_first(const std::vector<Address>& addresses, std::uint32_t buffer_bytes,
                                  std::vector<std::string>& warnings) {
  Sockets sockets;
  for (const Address& address : addresses) {
    if (address.family == Family::v6 && address.any() && addresses.size() > 1 && !have_ipv6()) {
      warnings.push_back("not listening on " + to_string(address) + ": this kernel has no IPv6");
      continue;
    }
    auto socket = UdpSocket::open(options_for(address, buffer_bytes));
    if (!socket) return socket.error();
    if (auto warning = buffer_warning(socket.value(), buffer_bytes); !warning.empty()) {
      warnings.push_back(std::move(warning));
    }
    sockets.push_back({static_cast<SocketId>(sockets.size()), socket.take()});
  }
  return sockets;
}

static Result<void> open_others(std::vector<Sockets>& sets, std::uint32_t buffer_bytes,
                                unsigned workers) {
  for (NumberedSocket& first : sets[0]) {
    if (const Result<void> shared = first.socket.share_port(); !shared) return shared.error();
  }
  while (sets.size() < workers) {
    Sockets sockets;
    for (const NumberedSocket& first : sets[0]) {
      UdpSocketOptions options = options_for(first.socket.bound(), buffer_bytes);
      options.join_port = true;
      auto socket = UdpSocket::open(options);
      if (!socket) return socket.error();
      sockets.push_back({first.id, socket.take()});
    }
    sets.push_back(std::move(sockets));
  }
  for (const NumberedSocket& first : sets[0]) {
    if (const Result<void> steered = attach_steering(first.socket.fd(), workers); !steered) {
      return steered.error();
    }
  }
  return {};
}

Result<std::vector<Sockets>> open_listeners(const std::vector<Address>& addresses,
                                            std::uint32_t buffer_bytes, unsigned workers,
                                            std::vector<std::string>& warnings) {
  const std::size_t warnings_before = warnings.size();
  std::vector<Sockets> sets;
  Result<Sockets> first = open_first(addresses, buffer_bytes, warnings);
  if (!first) return first.error();
  sets.push_back(first.take());
  if (workers == 1) return sets;
  const Result<void> others = open_others(sets, buffer_bytes, workers);
  if (others) return sets;
  // Anew, so that nobody can join a port that we do not share.
  sets.clear();
  warnings.resize(warnings_before);
  warnings.push_back(others.error().message + "; one worker does all");
  return open_listeners(addresses, buffer_bytes, 1, warnings);
}

}  // namespace mwtun
