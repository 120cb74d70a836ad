#include "dataplane/io/link_keeper.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dataplane/io/os_error.hpp"

namespace mwtun {

/// Events come in bursts; the first is acted on at once, the rest together after this.
static constexpr Duration evaluate_pause = milliseconds(20);
/// A link or peer must be down this long before its name is asked for again.
static constexpr Duration down_before_asking = seconds(5);
static constexpr Duration backoff_max = seconds(60);
static constexpr Duration gateway_pause = seconds(1);

/// 1, 2, 4, ... times `first`, at most a minute.
static Duration backoff(Duration first, unsigned failures) {
  return std::min(first * (1 << std::min(failures, 6u)), backoff_max);
}

Result<std::unique_ptr<LinkKeeper>> LinkKeeper::open(LinkKeeperOptions options, Post post,
                                                     Tell tell) {
  auto monitor = LinkMonitor::open();
  if (!monitor) return monitor.error();
  std::unique_ptr<LinkKeeper> keeper(
      new LinkKeeper(std::move(options), std::move(post), std::move(tell), monitor.take()));
  if (auto begun = keeper->begin(); !begun) return begun.error();
  return keeper;
}

LinkKeeper::LinkKeeper(LinkKeeperOptions options, Post post, Tell tell, LinkMonitor monitor)
    : options_(std::move(options)),
      post_(std::move(post)),
      tell_(std::move(tell)),
      monitor_(std::move(monitor)) {}

LinkKeeper::~LinkKeeper() = default;

Result<void> LinkKeeper::begin() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return os_error(errno, "cannot make an event loop");
  const auto watch = [this](int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  if (!watch(monitor_.fd())) return os_error(errno, "cannot watch the kernel's network events");
  bool any_gateway = false;
  std::size_t socket = index_of(options_.first_socket);
  for (const KeptLink& config : options_.links) {
    Link link;
    link.config = config;
    link.socket = static_cast<SocketId>(socket++);
    link.resolver = std::make_unique<Resolver>();
    link.numeric = parse_address(config.host).known();
    if (!watch(link.resolver->fd())) return os_error(errno, "cannot watch a resolver");
    any_gateway |= config.gateway.known();
    peer_of(config.peer);
    links_.push_back(std::move(link));
  }
  // Also without any gateway: a killed process may have left some that the file had then. Only a
  // file that has gateways now needs the right to do so.
  auto routes = PolicyRoutes::open(options_.instance);
  if (routes.ok()) routes_.emplace(routes.take());
  if (!routes.ok() && any_gateway) return routes.error();
  return {};
}

LinkKeeper::Peer& LinkKeeper::peer_of(PeerId id) {
  for (Peer& peer : peers_) {
    if (peer.id == id) return peer;
  }
  Peer peer;
  peer.id = id;
  peers_.push_back(peer);
  return peers_.back();
}

void LinkKeeper::start_resolving(Link& link, Instant now) {
  Resolver::Options from;
  // Every second attempt goes wherever routing takes it, in case the line's own way to a name
  // server is barred (a resolver of another provider, say).
  if (link.resolve_failures % 2 == 0) {
    from.local = link.config.bind;
    from.device = link.config.device;
  }
  from.servers = options_.dns_servers;
  link.resolve_at = never;
  link.resolver->start(link.config.host, link.config.port, link.config.bind.family, from);
  if (auto at_once = link.resolver->take()) take_resolution(link, std::move(*at_once), now);
}

void LinkKeeper::take_resolution(Link& link, Resolution resolution, Instant now) {
  if (resolution.addresses.empty()) {
    link.resolve_error = std::move(resolution.error);
    // A number of the wrong family stays wrong.
    link.resolve_at = link.numeric ? never : now + backoff(seconds(1), link.resolve_failures++);
    evaluate_at_ = std::min(evaluate_at_, now);
    return;
  }
  const Address before = link.addresses.empty() ? Address{} : link.addresses[link.chosen];
  link.addresses = std::move(resolution.addresses);
  link.resolve_error.clear();
  link.resolve_failures = 0;
  link.addresses_expire = now + resolution.ttl;
  const auto same = std::find(link.addresses.begin(), link.addresses.end(), before);
  link.chosen = 0;
  if (same != link.addresses.end()) {
    link.chosen = static_cast<std::size_t>(same - link.addresses.begin());
    if (link.rotate) link.chosen = (link.chosen + 1) % link.addresses.size();
  }
  link.rotate = false;
  evaluate_at_ = std::min(evaluate_at_, now);
}

bool LinkKeeper::leads_into_tunnel(const WayOut& way) const {
  const auto& own = options_.own_interfaces;
  return std::find(own.begin(), own.end(), way.interface_name) != own.end();
}

/// The rule and table of a link with a gateway. They are made again after the interface was away,
/// since the kernel forgets an interface's routes.
bool LinkKeeper::open_gateway(Link& link, std::size_t slot, Instant now, std::string& reason) {
  const KeptLink& config = link.config;
  const WayOut interface = monitor_.interface_for(config.bind, config.device);
  if (!config.gateway.known()) return true;
  if (link.gateway_interface == interface.interface_index) return true;
  if (now < link.gateway_at) return false;  // The reason is known.
  if (interface.interface_index == 0) {
    reason = "\"gateway\" needs \"bind\" or \"device\"";
    return false;
  }
  if (slot >= PolicyRoutes::block_tables) {
    reason = "more than 100 links with a \"gateway\"";
    return false;
  }
  const auto installed = routes_->install(
      slot, {config.bind, config.gateway, interface.interface_name, interface.interface_index});
  if (!installed.ok()) {
    reason = installed.error().message;
    link.retry_at = link.gateway_at = now + gateway_pause;
    return false;
  }
  link.gateway_interface = interface.interface_index;
  return true;
}

/// The first address, from the chosen one on, to which there is a way.
std::optional<WayOut> LinkKeeper::find_way(Link& link, std::string& reason) {
  for (std::size_t i = 0; i < link.addresses.size(); ++i) {
    const std::size_t candidate = (link.chosen + i) % link.addresses.size();
    WayOut way = monitor_.way_to(link.addresses[candidate], link.config.bind, link.config.device);
    if (way.usable && leads_into_tunnel(way)) {
      way.usable = false;
      way.reason = "the route to " + to_string(link.addresses[candidate].with_port(0)) +
                   " leads into the tunnel itself (" + way.interface_name +
                   "): set \"gateway\" or \"device\", or add a route to it";
    }
    if (way.usable) {
      link.chosen = candidate;
      return way;
    }
    if (reason.empty()) reason = way.reason;
  }
  return std::nullopt;
}

bool LinkKeeper::open_socket(Link& link, const WayOut& way, const Address& remote, Instant now,
                             std::string& reason) {
  // A socket bound to a device is bound to its index, which a device that was away has lost.
  const bool stale = link.socket_family != remote.family ||
                     (!link.config.device.empty() && link.socket_interface != way.interface_index);
  if (link.socket_open && !stale) return true;
  if (now < link.open_at) return false;
  UdpSocketOptions options;
  options.bind = link.config.bind;
  options.bind.family = remote.family;
  options.device = link.config.device;
  options.receive_buffer_bytes = options.send_buffer_bytes = options_.buffer_bytes;
  auto socket = UdpSocket::open(options);
  if (!socket.ok()) {
    reason = socket.error().message;
    link.retry_at = link.open_at = now + backoff(seconds(1), link.open_failures++);
    return false;
  }
  const std::string warning = buffer_warning(socket.value(), options_.buffer_bytes);
  if (!warning.empty() && !std::exchange(told_buffers_, true)) {
    tell_({link.config.peer, link.config.link, true, true, warning});
  }
  link.open_failures = 0;
  link.socket_open = true;
  link.socket_family = remote.family;
  link.socket_interface = way.interface_index;
  link.socket_local = socket.value().local();
  link.path_set = false;
  post_(PutSocket{link.config.peer, {link.socket, socket.take()}});
  return true;
}

void LinkKeeper::set_unusable(Link& link, std::string reason, Instant now) {
  if (std::exchange(link.path_set, false)) post_(ClearLinkPath{link.config.peer, link.config.link});
  if (reason.empty() || (link.told && reason == link.reason)) return;
  link.told = true;
  link.reason = std::move(reason);
  link.warning.clear();
  link.down_since = now;
  tell_({link.config.peer, link.config.link, false, true,
         "link " + link.config.label + " has no way out: " + link.reason});
}

void LinkKeeper::evaluate(Link& link, std::size_t slot, Instant now) {
  const WayOut interface = monitor_.interface_for(link.config.bind, link.config.device);
  link.interface_name = interface.interface_name;
  link.mtu = interface.mtu;
  const bool came_up = interface.usable && !link.interface_usable;
  link.interface_usable = interface.usable;
  if (came_up && link.addresses.empty() && !link.numeric && link.resolve_failures > 0) {
    // What failed without the interface may succeed with it: do not sit the pause out.
    link.resolve_failures = 0;
    start_resolving(link, now);
  }
  if (!interface.usable) {
    link.gateway_interface = 0;
    return set_unusable(link, interface.reason, now);
  }
  std::string reason;
  if (!open_gateway(link, slot, now, reason)) return set_unusable(link, std::move(reason), now);
  if (link.addresses.empty()) {
    // While the first answer is under way there is nothing to say.
    return set_unusable(link, link.resolve_error, now);
  }
  auto way = find_way(link, reason);
  if (!way.has_value()) {
    // Somebody may have removed our route; make it again, but not in a circle with its own events.
    if (link.gateway_interface != 0 && now >= link.gateway_at) {
      link.gateway_interface = 0;
      link.retry_at = link.gateway_at = now + gateway_pause;
    }
    return set_unusable(link, std::move(reason), now);
  }
  const Address remote = link.addresses[link.chosen];
  if (!open_socket(link, *way, remote, now, reason)) {
    return set_unusable(link, std::move(reason), now);
  }
  link.interface_name = way->interface_name;
  link.mtu = way->mtu;
  const SetLinkPath path{
      link.config.peer, link.config.link, {link.socket, link.socket_local, remote}, way->mtu};
  const bool moved = !link.path_set || link.path.path != path.path || link.path.mtu != path.mtu;
  if (moved) {
    link.path = path;
    link.path_set = true;
    link.reason.clear();
    link.told = true;
    if (!link.up) link.down_since = now;
    post_(path);
    std::string from = link.socket_local.known() ? to_string(link.socket_local.with_port(0)) : "";
    if (!from.empty()) from = " from " + from;
    tell_({link.config.peer, link.config.link, true, false,
           "link " + link.config.label + " goes to " + to_string(remote) + from + " through " +
               way->interface_name + " (MTU " + std::to_string(way->mtu) + ")"});
  }
  if (way->warning != link.warning) {
    link.warning = way->warning;
    if (!link.warning.empty()) {
      tell_({link.config.peer, link.config.link, true, true,
             "link " + link.config.label + ": " + link.warning});
    }
  }
}

void LinkKeeper::process(Instant now) {
  if (monitor_.process()) {
    evaluate_at_ = std::min(evaluate_at_, std::max(now, evaluated_at_ + evaluate_pause));
  }
  for (Link& link : links_) {
    if (link.resolve_at <= now) start_resolving(link, now);
    link.resolver->process();
    if (auto resolution = link.resolver->take()) take_resolution(link, std::move(*resolution), now);
    // Down for long, on an answer that is no longer good.
    if (!link.numeric && !link.up && link.path_set && !link.resolver->busy() &&
        link.resolve_at == never && now >= link.addresses_expire &&
        now - link.down_since >= down_before_asking) {
      start_resolving(link, now);
    }
    if (link.retry_at <= now) {
      link.retry_at = never;
      evaluate_at_ = std::min(evaluate_at_, now);
    }
  }
  for (Peer& peer : peers_) {
    if (peer.any_up) continue;
    if (peer.ask_at == never) peer.ask_at = now + down_before_asking;
    if (now < peer.ask_at) continue;
    peer.ask_at = now + backoff(down_before_asking, ++peer.rounds);
    for (Link& link : links_) {
      if (link.config.peer != peer.id || link.numeric || link.resolver->busy() ||
          link.addresses.empty()) {
        continue;
      }
      link.rotate = true;
      start_resolving(link, now);
    }
  }
  if (evaluate_at_ <= now) {
    evaluate_at_ = never;
    evaluated_at_ = now;
    for (std::size_t slot = 0; slot < links_.size(); ++slot) evaluate(links_[slot], slot, now);
  }
}

Instant LinkKeeper::next_timeout(Instant now) const {
  Instant next = evaluate_at_;
  for (const Link& link : links_) {
    next = std::min({next, link.resolve_at, link.retry_at});
    if (const auto wait = link.resolver->timeout()) next = std::min(next, now + *wait);
    if (!link.numeric && !link.up && link.path_set && link.resolve_at == never &&
        !link.resolver->busy()) {
      next = std::min(next, std::max(link.addresses_expire, link.down_since + down_before_asking));
    }
  }
  for (const Peer& peer : peers_) {
    if (!peer.any_up) next = std::min(next, peer.ask_at);
  }
  return next;
}

void LinkKeeper::link_state_changed(PeerId id, LinkId number, bool up, Instant now) {
  bool any_up = false;
  for (Link& link : links_) {
    if (link.config.peer != id) continue;
    if (link.config.link == number && link.up != up) {
      link.up = up;
      if (!up) link.down_since = now;
    }
    any_up |= link.up;
  }
  Peer& peer = peer_of(id);
  if (any_up != peer.any_up) {
    peer.any_up = any_up;
    peer.rounds = 0;
    peer.ask_at = any_up ? never : now + down_before_asking;
  }
}

void LinkKeeper::socket_gone(SocketId socket, Instant now) {
  for (Link& link : links_) {
    if (link.socket != socket) continue;
    link.socket_open = false;
    link.retry_at = link.open_at = now + backoff(seconds(1), link.open_failures++);
    set_unusable(link, "its socket failed", now);
  }
}

std::vector<LinkSituation> LinkKeeper::situations() const {
  std::vector<LinkSituation> all;
  for (const Link& link : links_) {
    LinkSituation one;
    one.peer = link.config.peer;
    one.link = link.config.link;
    one.usable = link.path_set;
    if (!link.path_set) one.reason = link.reason.empty() ? "looking up the endpoint" : link.reason;
    one.interface = link.interface_name;
    one.mtu = link.mtu;
    if (link.path_set) one.remote = link.path.path.remote;
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace mwtun
