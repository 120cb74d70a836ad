#include "dataplane/io/resolver.hpp"

#include <ares.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/assert.hpp"
#include "base/bytes.hpp"
#include "dataplane/io/socket_address.hpp"

namespace mwtun {

static constexpr int try_ms = 1500;
static constexpr int tries = 2;

void Resolver::Destroy::operator()(ares_channeldata* channel) const {
  ares_destroy(channel);
}

Resolver::Resolver() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  MWTUN_ASSERT(bool(epoll_));
  // Counted; does nothing on Unix but is asked for by the library's documentation.
  ares_library_init(ARES_LIB_INIT_ALL);
}

Resolver::~Resolver() {
  stop();
  ares_library_cleanup();
}

void Resolver::stop() {
  stopping_ = true;  // Destroying a channel answers what is under way.
  channel_.reset();
  stopping_ = false;
  busy_ = false;
}

void Resolver::finish(Resolution resolution) {
  busy_ = false;
  resolution_ = std::move(resolution);
}

/// A server on this machine cannot be reached through a line's interface, and forwards by itself.
static bool servers_are_local(ares_channel channel) {
  ares_addr_port_node* servers = nullptr;
  if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS) return false;
  bool local = servers != nullptr;
  for (const ares_addr_port_node* server = servers; server != nullptr; server = server->next) {
    const bool v4 = server->family == AF_INET;
    std::array<std::uint8_t, 16> ip{};
    std::memcpy(ip.data(), &server->addr, v4 ? 4 : 16);
    constexpr std::array<std::uint8_t, 16> loopback6 = {0, 0, 0, 0, 0, 0, 0, 0,
                                                        0, 0, 0, 0, 0, 0, 0, 1};
    if (v4 ? ip[0] != 127 : ip != loopback6) local = false;
  }
  ares_free_data(servers);
  return local;
}

void Resolver::start(const std::string& host, std::uint16_t port, Family want,
                     const Options& options) {
  stop();
  resolution_.reset();
  host_ = host;
  port_ = port;
  if (const Address numeric = parse_address(host); numeric.known() && numeric.port == 0) {
    if (want != Family::none && want != numeric.family) {
      return finish({{}, {}, "the address " + host + " is not of the family of the link's own"});
    }
    return finish({{numeric.with_port(port)}, ttl_max, {}});
  }

  ares_options settings{};
  settings.timeout = try_ms;
  settings.tries = tries;
  settings.sock_state_cb = on_socket;
  settings.sock_state_cb_data = this;
  ares_channel channel = nullptr;
  const int status = ares_init_options(
      &channel, &settings, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status != ARES_SUCCESS) {
    return finish({{}, {}, std::string("cannot start the resolver: ") + ares_strerror(status)});
  }
  channel_.reset(channel);
  if (!options.servers.empty() &&
      ares_set_servers_ports_csv(channel, options.servers.c_str()) != ARES_SUCCESS) {
    return finish({{}, {}, "not a list of DNS servers: " + options.servers});
  }
  if (!servers_are_local(channel)) {
    if (options.local.family == Family::v4) {
      ares_set_local_ip4(channel, load_be32(options.local.ip.data()));
    } else if (options.local.family == Family::v6) {
      ares_set_local_ip6(channel, options.local.ip.data());
    }
    if (!options.device.empty()) ares_set_local_dev(channel, options.device.c_str());
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = af_of(want);
  hints.ai_socktype = SOCK_DGRAM;
  busy_ = true;  // Before the call: it may answer at once.
  ares_getaddrinfo(channel, host.c_str(), nullptr, &hints, on_answer, this);
}

void Resolver::on_socket(void* self, int socket, int readable, int writable) {
  Resolver& resolver = *static_cast<Resolver*>(self);
  epoll_event event{};
  event.data.fd = socket;
  if (readable != 0) event.events |= EPOLLIN;
  if (writable != 0) event.events |= EPOLLOUT;
  if (event.events == 0) {
    epoll_ctl(resolver.epoll_.get(), EPOLL_CTL_DEL, socket, nullptr);
  } else if (epoll_ctl(resolver.epoll_.get(), EPOLL_CTL_MOD, socket, &event) != 0) {
    epoll_ctl(resolver.epoll_.get(), EPOLL_CTL_ADD, socket, &event);
  }
}

void Resolver::on_answer(void* self, int status, int, ares_addrinfo* answer) {
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(answer,
                                                                           &ares_freeaddrinfo);
  Resolver& resolver = *static_cast<Resolver*>(self);
  if (resolver.stopping_) return;
  Resolution resolution;
  if (status != ARES_SUCCESS) {
    resolution.error = "cannot find " + resolver.host_ + ": " + ares_strerror(status);
    return resolver.finish(std::move(resolution));
  }
  Duration ttl = ttl_max;
  for (const ares_addrinfo_node* node = answer->nodes; node != nullptr; node = node->ai_next) {
    sockaddr_storage name{};
    if (node->ai_addrlen > sizeof name) continue;
    std::memcpy(&name, node->ai_addr, node->ai_addrlen);
    const Address address = from_sockaddr(name).with_port(resolver.port_);
    const auto& known = resolution.addresses;
    if (!address.known() || std::find(known.begin(), known.end(), address) != known.end()) continue;
    resolution.addresses.push_back(address);
    ttl = std::min<Duration>(ttl, seconds(node->ai_ttl));
  }
  resolution.ttl = std::clamp<Duration>(ttl, ttl_min, ttl_max);
  if (resolution.addresses.empty()) {
    resolution.error = "cannot find " + resolver.host_ + ": it has no address";
  }
  resolver.finish(std::move(resolution));
}

std::optional<Resolution> Resolver::take() {
  return std::exchange(resolution_, std::nullopt);
}

void Resolver::process() {
  if (!busy_) return;
  std::array<epoll_event, 16> ready;
  const int count = epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), 0);
  for (int i = 0; i < count && busy_; ++i) {
    const epoll_event& event = ready[static_cast<std::size_t>(i)];
    const bool failed = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
    const bool in = failed || (event.events & EPOLLIN) != 0;
    const bool out = (event.events & EPOLLOUT) != 0;
    ares_process_fd(channel_.get(), in ? event.data.fd : ARES_SOCKET_BAD,
                    out ? event.data.fd : ARES_SOCKET_BAD);
  }
  if (busy_) ares_process_fd(channel_.get(), ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // Time alone.
  if (!busy_) stop();
}

std::optional<Duration> Resolver::timeout() const {
  if (!busy_) return std::nullopt;
  timeval left{};
  if (ares_timeout(channel_.get(), nullptr, &left) == nullptr) return seconds(1);
  return Duration(seconds(left.tv_sec) + microseconds(left.tv_usec));
}

}  // namespace mwtun
