#include "cli/run.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstring>
#include <deque>
#include <span>

#include "cli/config_file.hpp"
#include "cli/control_socket.hpp"
#include "cli/exit_codes.hpp"
#include "cli/history.hpp"
#include "cli/machine.hpp"
#include "cli/narrate.hpp"
#include "cli/profile.hpp"
#include "cli/status_fill.hpp"
#include "cli/volume_caps.hpp"
#include "crypto/aead.hpp"
#include "dataplane/io/aead_timing.hpp"
#include "dataplane/io/crew.hpp"
#include "dataplane/io/link_keeper.hpp"
#include "dataplane/io/system_clock.hpp"
#include "dataplane/io/thread_priority.hpp"

namespace mwtun {

namespace {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

/// Why a tunnel's life ended.
enum class Ending : std::uint8_t { stopped, reload };

/// The control thread of one running tunnel: owns the workers, watches names, routes and
/// interfaces, answers status, writes the log. Everything here happens on the io_context's one
/// thread.
class Runner {
 public:
  Runner(const Config& config, Role role, Log& log)
      : config_(config),
        role_(role),
        log_(log),
        timer_(context_),
        history_(config.peers.size()),
        volumes_(config) {}

  Result<void> set_up();
  Ending run();

 private:
  Result<std::vector<WorkerTap>> open_taps();
  Result<void> open_keeper(SocketId first_socket, std::uint32_t buffer_bytes);
  void say_how_it_runs(const WorkerReport& report);
  void watch(Descriptor& descriptor, void (Runner::*ready)());
  void take_notices();
  void take_notice(const WorkerNotice& notice);
  void take_socket_gone(const SocketGone& gone);
  void take_event(const NodeEvent& event);
  void tend_links();
  void load_volumes(NodeConfig& node);
  void mind_volumes(Instant now, bool last);
  void arm_timer();
  void answer(std::string_view request, const ControlServer::Reply& reply);
  StatusReport status();
  unsigned wanted_workers(Profile profile);
  std::optional<WorkerReport> worker_report() { return crew_->report(seconds(2)); }

  const Config& config_;
  const Role role_;
  Log& log_;
  asio::io_context context_{1};
  asio::steady_timer timer_;
  std::optional<asio::signal_set> signals_;
  std::unique_ptr<Crew> crew_;
  AeadTimings aeads_;
  std::unique_ptr<LinkKeeper> keeper_;
  std::deque<Descriptor> notices_fds_;
  std::optional<Descriptor> keeper_fd_;
  std::optional<ControlServer> control_;
  std::vector<Address> listeners_;  // Index: SocketId, for the first of each worker's.
  std::vector<WorkerNotice> notices_;
  History history_;
  VolumeCaps volumes_;
  Instant volumes_due_{};
  std::string volumes_trouble_;  // Why they could not be saved the last time.
  const Instant began_ = monotonic_now();
  Ending ending_ = Ending::stopped;
};

Result<std::vector<WorkerTap>> Runner::open_taps() {
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return netlink.error();
  std::vector<WorkerTap> taps;
  for (std::size_t i = 0; i < config_.peers.size(); ++i) {
    const PeerEntry& peer = config_.peers[i];
    TapOptions options;
    options.name = peer.interface;
    options.tun = peer.interface_kind == InterfaceKind::tun;
    options.settings.mtu = peer.mtu;
    options.settings.bridge = peer.bridge;
    if (!options.tun) options.settings.mac = stable_mac(config_.public_key.bytes, peer.interface);
    for (const Prefix& prefix : peer.addresses) {
      options.settings.addresses.push_back({prefix.address, prefix.length});
    }
    Result<Tap> tap = Tap::open(netlink.value(), options);
    if (!tap) return tap.error();
    taps.push_back({PeerId{static_cast<std::uint16_t>(i)}, tap.take()});
  }
  return taps;
}

Result<void> Runner::open_keeper(SocketId first_socket, std::uint32_t buffer_bytes) {
  LinkKeeperOptions options;
  options.instance = config_.name;
  options.first_socket = first_socket;
  options.buffer_bytes = buffer_bytes;
  for (std::size_t i = 0; i < config_.peers.size(); ++i) {
    const PeerEntry& peer = config_.peers[i];
    options.own_interfaces.push_back(peer.interface);
    if (!peer.endpoint) continue;
    for (std::size_t l = 0; l < peer.links.size(); ++l) {
      const LinkEntry& link = peer.links[l];
      const HostPort& endpoint = link.endpoint ? *link.endpoint : *peer.endpoint;
      options.links.push_back({.peer = PeerId{static_cast<std::uint16_t>(i)},
                               .link = LinkId{static_cast<std::uint8_t>(l)},
                               .label = peer.name + "/" + link.link.name,
                               .host = endpoint.host,
                               .port = endpoint.port,
                               .bind = link.bind,
                               .device = link.device,
                               .gateway = link.gateway});
    }
  }
  if (options.links.empty()) return {};
  Result<std::unique_ptr<LinkKeeper>> keeper = LinkKeeper::open(
      std::move(options), [this](LinkCommand command) { crew_->post(std::move(command)); },
      [this](const LinkNotice& notice) {
        const bool fine = notice.usable && !notice.warning;
        log_.line(fine ? LogLevel::info : LogLevel::warn, LogClass::network, notice.text);
      });
  if (!keeper) return keeper.error();
  keeper_ = keeper.take();
  return {};
}

unsigned Runner::wanted_workers(Profile profile) {
  const std::size_t peers = config_.peers.size();
  if (!config_.workers) return workers_for(profile, peers, usable_cores());
  if (*config_.workers <= peers) return *config_.workers;
  log_.warn(LogClass::program,
            fmt::format("workers = {}, but a peer is one worker's: {} for {} peer{}",
                        *config_.workers, peers, peers, peers == 1 ? "" : "s"));
  return static_cast<unsigned>(peers);
}

Result<void> Runner::set_up() {
  // First the control path: a second instance must touch nothing of the first.
  Result<ControlServer> control = ControlServer::open(
      context_, config_.control,
      [this](std::string_view request, ControlServer::Reply reply) { answer(request, reply); });
  if (!control) return control.error();
  control_.emplace(control.take());

  const Profile profile = config_.profile.value_or(profile_for(memory_bytes()));
  Sizes sizes = sizes_of(profile);
  sizes.worker.loop = config_.event_loop;
  // Each socket of io_uring has a megabyte of buffers, which is much there.
  if (profile == Profile::router && config_.event_loop == LoopKind::automatic) {
    sizes.worker.loop = LoopKind::epoll;
  }
  sizes.worker.nice = config_.nice.value_or(unasked_nice());
  log_.info(LogClass::program, fmt::format("sized for a {} ({})", to_string(profile),
                                           config_.profile ? "as configured" : "by its memory"));
  std::vector<std::string> warnings;
  Result<std::vector<std::vector<NumberedSocket>>> listeners =
      open_listeners(config_.listen, sizes.buffer_bytes, wanted_workers(profile), warnings);
  if (!listeners) return listeners.error();
  for (const std::string& warning : warnings) log_.warn(LogClass::network, warning);
  for (const NumberedSocket& one : listeners.value()[0]) listeners_.push_back(one.socket.bound());

  Result<std::vector<WorkerTap>> taps = open_taps();
  if (!taps) return taps.error();
  NodeConfig node = node_config(config_, available_ciphers(), wall_clock_ns());
  aeads_ = time_aeads();
  node.providers = aeads_.best();
  node.limits = sizes.limits;
  load_volumes(node);
  Result<std::unique_ptr<Crew>> crew =
      Crew::create(std::move(node), taps.take(), listeners.take(), sizes.worker);
  if (!crew) return crew.error();
  crew_ = crew.take();
  if (const Result<void> kept = open_keeper(SocketId(listeners_.size()), sizes.buffer_bytes); !kept)
    return kept.error();
  return {};
}

/// What the kernel does for us, told once: speed hangs on it.
static std::string_view to_text(const SocketReport& socket) {
  if (socket.gso) return socket.gro ? "GSO and GRO" : "GSO, no GRO in this kernel";
  return socket.gro ? "GRO, no GSO in this kernel" : "neither GSO nor GRO in this kernel";
}

static std::string_view to_text(TapOffload offload) {
  switch (offload) {
    case TapOffload::tcp_and_udp: return "super-frames of TCP and UDP";
    case TapOffload::tcp: return "super-frames of TCP (of UDP from Linux 6.2 on)";
    case TapOffload::none: break;
  }
  return "no super-frames in this kernel";
}

void Runner::say_how_it_runs(const WorkerReport& report) {
  std::string ciphers;
  for (const Cipher cipher : {Cipher::aes_256_gcm, Cipher::chacha20_poly1305}) {
    if ((available_ciphers() & cipher_bit(cipher)) == 0) continue;
    const AeadProvider provider = aeads_.best().of(cipher);
    ciphers += fmt::format("{}{} by {} ({:.1f} Gbit/s a core)", ciphers.empty() ? "" : ", ",
                           to_string(cipher), to_string(provider),
                           static_cast<double>(aeads_.bps(cipher, provider)) / 1e9);
  }
  log_.info(LogClass::program,
            fmt::format(
                "{} of {}: {} worker{}, {} loop, batches of {} in and {} out, ciphers {}, {} bytes "
                "a frame buffer, at most {} of them, our public key {}",
                to_string(role_), config_.file, crew_->size(), crew_->size() == 1 ? "" : "s",
                report.loop.name, receive_batch_max, send_batch_max, ciphers, report.slab_bytes,
                report.slabs_max, to_base64(config_.public_key.bytes)));
  if (!report.loop_why_not.empty()) {
    log_.line(config_.event_loop == LoopKind::automatic ? LogLevel::info : LogLevel::warn,
              LogClass::program,
              fmt::format("the event loop is {}: {}", report.loop.name, report.loop_why_not));
  }
  if (!report.nice_why_not.empty()) {
    log_.line(config_.nice ? LogLevel::warn : LogLevel::info, LogClass::program,
              fmt::format("beside busy programs delays will be longer: {}", report.nice_why_not));
  }
  // The first worker's; the others have the same.
  const std::size_t listeners = report.loop.sockets.size() / crew_->size();
  for (const SocketReport& socket : std::span(report.loop.sockets).first(listeners)) {
    log_.info(LogClass::network,
              fmt::format("listening on {}, socket buffers {} KiB in, {} KiB out, {}",
                          to_string(socket.bound), socket.receive_buffer_bytes / 1024,
                          socket.send_buffer_bytes / 1024, to_text(socket)));
  }
  for (const InterfaceReport& interface : report.loop.interfaces) {
    log_.info(LogClass::interface,
              fmt::format("{}: {}", interface.name, to_text(interface.offload)));
  }
  for (std::size_t i = 0; i < config_.peers.size(); ++i) {
    const PeerEntry& peer = config_.peers[i];
    log_.info(LogClass::interface, fmt::format("{}: {} {}, MTU {}, scheduler {}{}", peer.name,
                                               to_string(peer.interface_kind), peer.interface,
                                               peer.mtu, to_string(peer.scheduler),
                                               peer.has_preshared_key ? "" : ", no preshared key"));
  }
}

Ending Runner::run() {
  signals_.emplace(context_, SIGINT, SIGTERM, SIGHUP);
  signals_->async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    if (number == SIGHUP) ending_ = Ending::reload;
    context_.stop();
  });
  crew_->start();
  if (const std::optional<WorkerReport> report = worker_report()) say_how_it_runs(*report);
  for (const int fd : crew_->notices_fds()) {
    watch(notices_fds_.emplace_back(context_, ::dup(fd)), &Runner::take_notices);
  }
  if (keeper_) {
    keeper_->process(monotonic_now());
    keeper_fd_.emplace(context_, ::dup(keeper_->fd()));
    watch(*keeper_fd_, &Runner::tend_links);
  }
  arm_timer();
  context_.run();
  log_.info(LogClass::program, ending_ == Ending::reload ? "reloading" : "stopping");
  mind_volumes(monotonic_now(), true);
  crew_->stop();
  return ending_;
}

void Runner::watch(Descriptor& descriptor, void (Runner::*ready)()) {
  descriptor.async_wait(Descriptor::wait_read,
                        [this, &descriptor, ready](const boost::system::error_code& error) {
                          if (error) return;
                          (this->*ready)();
                          watch(descriptor, ready);
                        });
}

void Runner::tend_links() {
  keeper_->process(monotonic_now());
  arm_timer();
}

void Runner::load_volumes(NodeConfig& node) {
  if (!volumes_.any()) return;
  if (const Result<void> loaded = volumes_.load(); !loaded) {
    log_.warn(LogClass::program, loaded.error().message);
  }
  for (std::size_t p = 0; p < node.peers.size(); ++p) {
    for (std::size_t l = 0; l < node.peers[p].links.size(); ++l) {
      LinkRole& role = node.peers[p].links[l].role;
      role = volumes_.role(PeerId{static_cast<std::uint16_t>(p)},
                           LinkId{static_cast<std::uint8_t>(l)}, role);
    }
  }
  for (const std::string& text : volumes_.reached_texts()) log_.warn(LogClass::link, text);
}

/// Once a second, so that a fast line does not run far beyond its volume; and at the end.
void Runner::mind_volumes(Instant now, bool last) {
  if (!volumes_.any() || (now < volumes_due_ && !last)) return;
  volumes_due_ = now + seconds(1);
  if (const std::optional<WorkerReport> report = worker_report()) {
    std::vector<RoleChange> changes;
    volumes_.count(report->peers, local_date(), now, changes);
    for (const RoleChange& change : changes) {
      crew_->post(SetLinkRole{change.peer, change.link, change.role});
      if (change.text.empty()) continue;
      log_.line(change.worse ? LogLevel::warn : LogLevel::info, LogClass::link, change.text);
    }
  }
  if (!volumes_.save_due(now) && !(last && volumes_.unsaved())) return;
  const Result<void> saved = volumes_.save(now);
  const std::string trouble = saved ? "" : saved.error().message;
  if (!trouble.empty() && trouble != volumes_trouble_) log_.warn(LogClass::program, trouble);
  volumes_trouble_ = trouble;
}

void Runner::arm_timer() {
  const Instant now = monotonic_now();
  Duration wait = seconds(1);
  if (keeper_) wait = std::clamp<Duration>(keeper_->next_timeout(now) - now, Duration{0}, wait);
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(wait));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    log_.flush();
    if (keeper_ && keeper_->next_timeout(monotonic_now()) <= monotonic_now()) {
      keeper_->process(monotonic_now());
    }
    mind_volumes(monotonic_now(), false);
    arm_timer();
  });
}

void Runner::take_notices() {
  crew_->take_notices(notices_);
  for (const WorkerNotice& notice : notices_) take_notice(notice);
}

void Runner::take_notice(const WorkerNotice& notice) {
  if (const auto* event = std::get_if<NodeEvent>(&notice)) take_event(*event);
  if (const auto* icmp = std::get_if<IcmpNotice>(&notice)) {
    log_.warn(
        LogClass::network,
        fmt::format("an ICMP error came back from {} for datagrams to {}: {}",
                    icmp->error.reporter.known() ? to_string(icmp->error.reporter) : "a router",
                    to_string(icmp->error.remote), std::strerror(icmp->error.os_error)));
  }
  if (const auto* gone = std::get_if<InterfaceGone>(&notice)) {
    log_.error(
        LogClass::interface,
        fmt::format("{}: somebody deleted {}; nothing of this peer is delivered until SIGHUP "
                    "or a restart makes it again",
                    config_.peers[index_of(gone->peer)].name,
                    config_.peers[index_of(gone->peer)].interface));
  }
  if (const auto* gone = std::get_if<SocketGone>(&notice)) take_socket_gone(*gone);
}

void Runner::take_socket_gone(const SocketGone& gone) {
  if (index_of(gone.socket) < listeners_.size()) {
    log_.error(LogClass::network,
               fmt::format("the socket that listens on {} failed for good: {}; what comes to it is "
                           "lost until SIGHUP or a restart makes it again",
                           to_string(listeners_[index_of(gone.socket)]),
                           std::strerror(gone.os_error)));
  } else if (keeper_) {
    keeper_->socket_gone(gone.socket, monotonic_now());
    arm_timer();
  }
}

void Runner::take_event(const NodeEvent& noted) {
  const Event& event = noted.event;
  if (const std::optional<Narration> line = narrate(event, config_)) {
    log_.line(line->level, line->about, line->text);
  }
  if (event.kind != Event::Kind::link_changed) return;
  const auto carries = [](LinkState s) { return s == LinkState::up || s == LinkState::lossy; };
  if (carries(event.state_before) && !carries(event.state)) {
    history_.link_left(event.peer, event.link, event.reason, noted.at);
  }
  if (keeper_ && config_.peers[index_of(event.peer)].endpoint) {
    keeper_->link_state_changed(event.peer, event.link, carries(event.state), noted.at);
    arm_timer();
  }
}

void Runner::answer(std::string_view request, const ControlServer::Reply& reply) {
  if (request != "status") {
    reply(control_error("the only request is \"status\""));
  } else if (!crew_ || !crew_->running()) {
    reply(control_error("the tunnel is starting"));
  } else {
    reply(status_to_json(status()));
  }
}

StatusReport Runner::status() {
  StatusReport status;
  const Instant now = monotonic_now();
  status.version = MWTUN_VERSION;
  status.tunnel = config_.name;
  status.role = to_string(role_);
  status.pid = ::getpid();
  status.uptime_ms = std::chrono::duration_cast<milliseconds>(now - began_).count();
  status.control = config_.control;
  for (const Address& address : config_.listen) status.listen.push_back(to_string(address));
  const std::optional<WorkerReport> report = worker_report();
  if (!report) return status;
  status.event_loop = report->loop.name;
  status.workers = crew_->size();
  status.strays = report->strays;
  status.drops = drop_counts(report->drops);
  for (std::size_t i = 0; i < report->peers.size(); ++i) {
    PeerStatus peer = peer_status(report->peers[i], config_.peers[i], report->taken);
    volumes_.fill(i, peer.links);
    settle_peer_state(peer, report->peers[i].session);
    for (const InterfaceReport& interface : report->loop.interfaces) {
      if (index_of(interface.peer) == i) peer.carrier = interface.carrier;
    }
    peer.worker = crew_->worker_of(report->peers[i].id);
    history_.fill(report->peers[i].id, peer, now);
    status.peers.push_back(std::move(peer));
  }
  return status;
}

}  // namespace

int run_tunnel(Config config, Role role) {
  Log log(STDERR_FILENO, config.log, log_format_for(STDERR_FILENO));
  while (true) {
    Ending ending;
    {
      Runner runner(config, role, log);
      if (const Result<void> ready = runner.set_up(); !ready) {
        log.error(LogClass::program, ready.error().message);
        return ready.error().exit_code;
      }
      ending = runner.run();
    }
    if (ending == Ending::stopped) return 0;
    Result<Config> fresh = load_config(config.file);
    const Result<void> fits = fresh ? check_role(fresh.value(), role) : Result<void>(fresh.error());
    if (fits) {
      config = fresh.take();
      log.set_most(config.log);
    } else {
      log.error(LogClass::program, fits.error().message + "\nkeeping the configuration as it was");
    }
  }
}

}  // namespace mwtun
