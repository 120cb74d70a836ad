#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "dataplane/io/link_command.hpp"
#include "dataplane/io/link_monitor.hpp"
#include "dataplane/io/policy_routes.hpp"
#include "dataplane/io/resolver.hpp"

namespace mwtun {

/// One link as the file has it: where it goes out and where to.
struct KeptLink {
  PeerId peer{};
  LinkId link{};
  std::string label;  // For messages: "vps/fibre".
  std::string host;   // Name or number.
  std::uint16_t port = 0;
  Address bind;        // Family none: the kernel's choice.
  std::string device;  // Empty: any.
  Address gateway;     // Family none: no rule and table of our own.
};

struct LinkKeeperOptions {
  std::string instance;  // Name of the running file: finds leftovers again.
  std::vector<KeptLink> links;
  std::vector<std::string> own_interfaces;  // Our TAPs: no datagram of ours may go into them.
  SocketId first_socket{};                  // Link n of `links` gets this plus n.
  std::uint32_t buffer_bytes = 4 << 20;
  std::string dns_servers;  // Instead of resolv.conf's, as c-ares takes them.
};

/// What became of a link's way out; one for every change.
struct LinkNotice {
  PeerId peer{};
  LinkId link{};
  bool usable = false;
  bool warning = false;
  std::string text;  // A whole line for the log.
};

/// For status: how a link stands as far as the kernel and DNS go.
struct LinkSituation {
  PeerId peer{};
  LinkId link{};
  bool usable = false;
  std::string reason;     // Why not usable.
  std::string interface;  // Where it goes out, where known.
  std::uint32_t mtu = 0;
  Address remote;
};

/// The initiator's control logic: finds each link's endpoint, watches interfaces, addresses and
/// routes, makes sockets, and tells the worker when a link has a way out and when not. All in one
/// thread, driven by any loop: when fd() is readable or next_timeout() has come, call process().
///
/// A name is asked for again when its link has been down for a while and the answer's time is over,
/// and, without regard to that, when every link of the peer is down; then the next of several
/// addresses is tried. A link that is up keeps its endpoint.
class LinkKeeper {
 public:
  using Post = std::function<void(LinkCommand)>;
  using Tell = std::function<void(const LinkNotice&)>;

  /// Both functions are called from within process() and link_state_changed() alone.
  static Result<std::unique_ptr<LinkKeeper>> open(LinkKeeperOptions options, Post post, Tell tell);
  ~LinkKeeper();
  LinkKeeper(const LinkKeeper&) = delete;
  LinkKeeper& operator=(const LinkKeeper&) = delete;

  int fd() const { return epoll_.get(); }
  Instant next_timeout(Instant now) const;
  void process(Instant now);

  /// The core says that the link answers (up or lossy), or no longer.
  void link_state_changed(PeerId peer, LinkId link, bool up, Instant now);
  /// The worker let go of the link's socket: make another.
  void socket_gone(SocketId socket, Instant now);

  std::vector<LinkSituation> situations() const;

 private:
  struct Link {
    KeptLink config;
    SocketId socket{};
    std::unique_ptr<Resolver> resolver;
    bool numeric = false;
    std::vector<Address> addresses;
    std::size_t chosen = 0;  // Of `addresses`.
    std::string resolve_error;
    unsigned resolve_failures = 0;
    Instant resolve_at{};  // When to ask next; never while up or asking.
    Instant addresses_expire = never;
    bool rotate = false;  // The next answer shall not give the address in use again.

    bool socket_open = false;
    unsigned socket_interface = 0;
    Family socket_family = Family::none;
    Address socket_local;
    Instant open_at{};  // Not before, after a failure.
    unsigned open_failures = 0;

    unsigned gateway_interface = 0;  // Where rule and route stand; 0: not made.
    Instant gateway_at{};            // Not before.
    Instant retry_at = never;        // When to evaluate again though nothing changed.
    bool interface_usable = false;

    bool path_set = false;
    SetLinkPath path;
    bool up = false;
    Instant down_since{};
    bool told = false;  // A first notice has been given.
    std::string reason;
    std::string warning;
    std::string interface_name;
    std::uint32_t mtu = 0;
  };
  struct Peer {
    PeerId id{};
    Instant all_down_since{};
    unsigned rounds = 0;  // Of asking again, since then.
    Instant ask_at = never;
    bool any_up = false;
  };

  LinkKeeper(LinkKeeperOptions options, Post post, Tell tell, LinkMonitor monitor);
  Result<void> begin();
  Peer& peer_of(PeerId id);
  void start_resolving(Link& link, Instant now);
  void take_resolution(Link& link, Resolution resolution, Instant now);
  void evaluate(Link& link, std::size_t slot, Instant now);
  bool open_gateway(Link& link, std::size_t slot, Instant now, std::string& reason);
  bool open_socket(Link& link, const WayOut& way, const Address& remote, Instant now,
                   std::string& reason);
  std::optional<WayOut> find_way(Link& link, std::string& reason);
  void set_unusable(Link& link, std::string reason, Instant now);
  bool leads_into_tunnel(const WayOut& way) const;

  LinkKeeperOptions options_;
  Post post_;
  Tell tell_;
  LinkMonitor monitor_;
  std::optional<PolicyRoutes> routes_;
  Fd epoll_;
  std::vector<Link> links_;
  std::vector<Peer> peers_;
  Instant evaluate_at_{};  // Due when it is not after now.
  Instant evaluated_at_{};
  bool told_buffers_ = false;
};

}  // namespace mwtun
