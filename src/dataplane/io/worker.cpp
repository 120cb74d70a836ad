#include "dataplane/io/worker.hpp"

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <utility>

#include "dataplane/io/system_clock.hpp"
#include "dataplane/io/thread_priority.hpp"
#include "dataplane/super_frame.hpp"

namespace mwtun {

/// For saying goodbye: what cannot be sent by then is not waited for.
static constexpr int close_batches_max = 8;
/// Datagrams written with one reading of the clock; their send stamps have units of 16 µs.
static constexpr unsigned datagrams_per_clock = 8;
/// Of datagrams that came in as a batch, between which frames are written.
static constexpr unsigned datagrams_per_delivery = 64;
static constexpr Duration icmp_pause = seconds(5);
/// Super-frames of slower flows are much shorter than the longest.
static constexpr std::uint32_t medium_slab_bytes = 16 * 1024;
static constexpr std::uint32_t large_slab_bytes = super_frame_bytes_max + 1;

Worker::Worker(NodeConfig config, std::uint32_t slab_bytes, const WorkerOptions& options)
    : slabs_max_(std::max<std::size_t>(options.slab_memory_bytes_max / slab_bytes, 1024)),
      super_slabs_(large_slab_bytes, options.super_frame_memory_bytes_max / 2 / large_slab_bytes),
      medium_slabs_(medium_slab_bytes,
                    options.super_frame_memory_bytes_max / 2 / medium_slab_bytes),
      slabs_(slab_bytes, slabs_max_),
      nice_(options.nice),
      carriers_(config.peers.size()),
      seat_(config.seat) {
  medium_slabs_.set_larger(super_slabs_);
  slabs_.set_larger(medium_slabs_);
  node_.emplace(std::move(config), entropy_, slabs_, monotonic_now());
}

Result<std::unique_ptr<Worker>> Worker::create(NodeConfig config, std::vector<WorkerTap> taps,
                                               std::vector<NumberedSocket> sockets,
                                               const WorkerOptions& options,
                                               Handovers* handovers) {
  std::uint32_t slab_bytes = slab_bytes_for(0);
  for (const PeerConfig& peer : config.peers) {
    slab_bytes = std::max(slab_bytes, slab_bytes_for(peer.mtu));
  }
  for (const WorkerTap& tap : taps) {
    config.peers[index_of(tap.peer)].joins_frames = tap.tap.offload() != TapOffload::none;
  }
  std::unique_ptr<Worker> worker(new Worker(std::move(config), slab_bytes, options));
  Result<OpenedLoop> opened = open_event_loop(options.loop, worker->slabs_);
  if (!opened) return opened.error();
  worker->loop_ = std::move(opened.value().loop);
  worker->loop_why_not_ = std::move(opened.value().why_not);
  worker->loop_->watch(worker->commands_.fd());
  if (handovers != nullptr) {
    worker->handovers_ = handovers;
    worker->shared_sockets_ = sockets.size();
    worker->loop_->watch(handovers->box(worker->seat_.number).fd());
  }
  for (NumberedSocket& socket : sockets) worker->loop_->put_socket(std::move(socket));
  for (WorkerTap& tap : taps) worker->loop_->put_interface(tap.peer, std::move(tap.tap));
  return worker;
}

Worker::~Worker() {
  stop();
}

void Worker::start() {
  MWTUN_ASSERT(!thread_.joinable());
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  commands_.post(Stop{});
  thread_.join();
}

void Worker::post(LinkCommand command) {
  commands_.post(std::move(command));
}

std::future<WorkerReport> Worker::request_report() {
  ReportRequest request;
  auto answer = request.answer.get_future();
  commands_.post(std::move(request));
  return answer;
}

void Worker::run() {
  pthread_setname_np(pthread_self(), "mwtun-data");
  // The default of 50 µs would blur pacing.
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  if (const Result<void> set = set_thread_nice(nice_); !set) nice_why_not_ = set.error().message;
  bool more = drain(monotonic_now());
  Instant began = monotonic_now();
  while (!stopping_) {
    const Instant now = loop_->run(more ? Instant{} : deadline(), *this);
    if (deadline() <= now) handle_timeout(now);
    if (std::exchange(commands_wait_, false)) {
      obey(now);
      take_handovers(now);
    }
    more = drain(now);
    began = end_turn(began, more);
  }
  const Instant now = monotonic_now();
  node_->close(now);
  for (int batch = 0; batch < close_batches_max && drain(now); ++batch) {
  }
  loop_->leave();
}

/// Gives the time at which the next turn begins.
Instant Worker::end_turn(Instant began, bool more) {
  const Instant now = monotonic_now();
  const bool rest = moderator_.should_rest(now - began, std::exchange(bytes_in_, 0));
  if (!rest || more || deadline() <= now + WakeModerator::rest_time) return now;
  timespec time{0, WakeModerator::rest_time.count()};
  nanosleep(&time, nullptr);  // The thread blocks all signals.
  return monotonic_now();
}

bool Worker::drain(Instant now) {
  // One full batch, then a look at what came in meanwhile: with four a round trip beside a flow of
  // 6 Gbit/s took 2.4 ms in place of 1.0.
  bool more = false;
  send_failed_ = false;
  unsigned written = 0;
  for (;;) {
    const MutableBytes room = loop_->send_room();
    if (room.empty()) {
      more = true;
      break;
    }
    const auto datagram = node_->poll_datagram(room, now);
    if (!datagram.has_value()) break;
    loop_->queue(*datagram);
    if (++written % datagrams_per_clock == 0) now = monotonic_now();
  }
  if (written > 0) loop_->flush(*this);
  // What a refused datagram carried may go out by another link.
  more = more || send_failed_;
  if (more) now = monotonic_now();
  deliver_frames();
  while (const auto event = node_->poll_event()) take_event(*event, now);
  while (const auto initiation = node_->poll_forward()) {
    hand_over(initiation->worker, *initiation);
  }
  return more;
}

void Worker::deliver_frames() {
  undelivered_ = 0;
  while (const auto delivered = node_->poll_frame()) {
    loop_->write_frame(delivered->peer, delivered->frame, *this);
  }
}

void Worker::take_event(const Event& event, Instant now) {
  const std::size_t peer = index_of(event.peer);
  if (event.kind == Event::Kind::link_changed && index_of(event.link) < links_max) {
    const bool up = event.state == LinkState::up || event.state == LinkState::lossy;
    carriers_[peer].link_changed(event.link, up, now);
    follow_carrier(peer);
  } else if (event.kind == Event::Kind::session_down) {
    carriers_[peer].session_ended();
    follow_carrier(peer);
  }
  notices_.post(NodeEvent{event, now});
}

void Worker::follow_carrier(std::size_t peer) {
  loop_->set_carrier(static_cast<PeerId>(peer), carriers_[peer].on());
}

Instant Worker::deadline() const {
  Instant first = node_->poll_timeout();
  for (const Carrier& carrier : carriers_) first = std::min(first, carrier.deadline());
  return first;
}

void Worker::handle_timeout(Instant now) {
  if (node_->poll_timeout() <= now) node_->handle_timeout(now);
  for (std::size_t peer = 0; peer < carriers_.size(); ++peer) {
    if (carriers_[peer].deadline() > now) continue;
    carriers_[peer].handle_timeout(now);
    follow_carrier(peer);
  }
}

void Worker::obey(Instant now) {
  commands_.take(commands_taken_);
  for (Command& command : commands_taken_) {
    if (auto* link = std::get_if<LinkCommand>(&command)) obey(*link, now);
    if (auto* report = std::get_if<ReportRequest>(&command)) {
      report->answer.set_value(make_report(now));
    }
    if (std::holds_alternative<Stop>(command)) stopping_ = true;
  }
}

void Worker::obey(LinkCommand& command, Instant now) {
  if (auto* put = std::get_if<PutSocket>(&command)) loop_->put_socket(std::move(put->socket));
  if (const auto* set = std::get_if<SetLinkPath>(&command)) {
    node_->set_link_path(set->peer, set->link, set->path, set->mtu, now);
  }
  if (const auto* clear = std::get_if<ClearLinkPath>(&command)) {
    node_->clear_link_path(clear->peer, clear->link, now);
  }
  if (const auto* set = std::get_if<SetLinkRole>(&command)) {
    node_->set_link_role(set->peer, set->link, set->role, now);
  }
}

WorkerReport Worker::make_report(Instant now) const {
  WorkerReport report;
  report.taken = now;
  for (std::size_t peer = 0; peer < node_->peer_count(); ++peer) {
    report.peers.push_back(node_->report(static_cast<PeerId>(peer), now));
  }
  report.drops = node_->drops();
  report.drops += drops_;
  report.strays = strays_;
  report.loop = loop_->report();
  report.loop_why_not = loop_why_not_;
  report.nice_why_not = nice_why_not_;
  report.slab_bytes = slabs_.slab_bytes();
  report.slabs_in_use = slabs_.in_use();
  report.slabs_grown = slabs_.grown();
  report.slabs_max = slabs_max_;
  return report;
}

void Worker::on_datagram(const Path& path, Bytes datagram, Instant received, Instant now) {
  if (index_of(path.socket) < shared_sockets_) {
    const unsigned worker = worker_of(datagram, seat_.count);
    if (worker != seat_.number) {
      ++strays_;
      hand_over(worker, StrayDatagram{path, {datagram.begin(), datagram.end()}, received});
      return;
    }
  } else if (handovers_ != nullptr && is_initiation(datagram)) {
    // Nobody begins a session with a link's own socket, and only one worker's limiter bounds those
    // who try.
    drops_.add(Drop::unauthenticated_handshake);
    return;
  }
  take_in(path, datagram, received, now);
}

void Worker::take_in(const Path& path, Bytes datagram, Instant received, Instant now) {
  bytes_in_ += datagram.size();
  node_->handle_datagram(path, datagram, received, now);
  // Each frame holds a slab until it is written.
  if (++undelivered_ >= datagrams_per_delivery) deliver_frames();
}

void Worker::hand_over(unsigned worker, Handover what) {
  MWTUN_ASSERT(handovers_ != nullptr);
  if (!handovers_->post(worker, std::move(what))) drops_.add(Drop::handover_full);
}

void Worker::take_handovers(Instant now) {
  if (handovers_ == nullptr) return;
  handovers_->box(seat_.number).take(handovers_taken_);
  for (const Handover& what : handovers_taken_) {
    if (const auto* initiation = std::get_if<ForwardedInitiation>(&what)) {
      node_->handle_forwarded(*initiation, now);
    }
    if (const auto* stray = std::get_if<StrayDatagram>(&what)) {
      take_in(stray->path, stray->bytes, stray->received, now);
    }
  }
}

void Worker::on_frame(PeerId peer, Frame frame, Instant now) {
  bytes_in_ += frame.size;
  node_->handle_frame(peer, std::move(frame), now);
}
void Worker::on_writable(SocketId socket, Instant now) {
  node_->handle_writable(socket, now);
}
void Worker::on_send_error(const DatagramTag& tag, SendError error, Instant now) {
  send_failed_ = true;
  node_->handle_send_error(tag, error, now);
}

void Worker::on_icmp_error(SocketId socket, const IcmpError& error) {
  const Instant now = monotonic_now();
  if (icmp_told_at_.size() <= index_of(socket)) icmp_told_at_.resize(index_of(socket) + 1);
  Instant& told = icmp_told_at_[index_of(socket)];
  if (told != Instant{} && now - told < icmp_pause) return;
  told = now;
  notices_.post(IcmpNotice{socket, error});
}
void Worker::on_interface_gone(PeerId peer) {
  notices_.post(InterfaceGone{peer});
}
void Worker::on_socket_gone(SocketId socket, int os_error) {
  notices_.post(SocketGone{socket, os_error});
}

}  // namespace mwtun
