#include "dataplane/io/crew.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/io/system_clock.hpp"

namespace mwtun {

/// Of the memory that all may take, but never so little that one busy peer runs out.
static constexpr std::size_t worker_memory_bytes_min = 32 << 20;

static std::size_t share(std::size_t bytes, unsigned workers) {
  return std::max(bytes / workers, std::min(bytes, worker_memory_bytes_min));
}

/// What one worker is told: its own peers and nobody else's keys.
static std::vector<NodeConfig> deal_out(NodeConfig all, unsigned workers) {
  std::vector<NodeConfig> dealt(workers);
  std::vector<ForeignPeer> foreign;
  for (std::size_t i = 0; i < all.peers.size(); ++i) {
    const unsigned worker = WorkerSeat::of(static_cast<PeerId>(i), workers).number;
    PeerConfig& peer = all.peers[i];
    if (worker != admitting_worker && !peer.initiator) foreign.push_back({peer.public_key, worker});
    dealt[worker].peers.push_back(std::move(peer));
  }
  for (unsigned worker = 0; worker < workers; ++worker) {
    NodeConfig& one = dealt[worker];
    one.private_key = all.private_key.clone();
    one.ciphers = all.ciphers;
    one.providers = all.providers;
    one.offload = all.offload;
    one.limits = all.limits;
    one.wall_clock_ns = all.wall_clock_ns;
    one.seat = {worker, workers};
  }
  dealt[admitting_worker].foreign = std::move(foreign);
  return dealt;
}

Result<std::unique_ptr<Crew>> Crew::create(NodeConfig config, std::vector<WorkerTap> taps,
                                           std::vector<std::vector<NumberedSocket>> listeners,
                                           const WorkerOptions& options) {
  const auto count = static_cast<unsigned>(listeners.size());
  MWTUN_ASSERT(count >= 1 && count <= workers_max);
  std::vector<std::vector<WorkerTap>> taps_dealt(count);
  for (WorkerTap& tap : taps) {
    const WorkerSeat seat = WorkerSeat::of(tap.peer, count);
    taps_dealt[seat.number].push_back({seat.own_number(tap.peer), std::move(tap.tap)});
  }
  std::vector<NodeConfig> configs = deal_out(std::move(config), count);
  WorkerOptions each = options;
  each.slab_memory_bytes_max = share(options.slab_memory_bytes_max, count);
  each.super_frame_memory_bytes_max = share(options.super_frame_memory_bytes_max, count);
  std::unique_ptr<Crew> crew(new Crew(count));
  for (unsigned i = 0; i < count; ++i) {
    auto worker =
        Worker::create(std::move(configs[i]), std::move(taps_dealt[i]), std::move(listeners[i]),
                       each, count > 1 ? &crew->handovers_ : nullptr);
    if (!worker) return worker.error();
    crew->workers_.push_back(worker.take());
  }
  return crew;
}

void Crew::start() {
  for (const auto& worker : workers_) worker->start();
}

void Crew::stop() {
  for (const auto& worker : workers_) worker->stop();
}

void Crew::post(LinkCommand command) {
  std::visit(
      [&](auto& one) {
        const WorkerSeat seat = WorkerSeat::of(one.peer, size());
        one.peer = seat.own_number(one.peer);
        workers_[seat.number]->post(std::move(one));
      },
      command);
}

/// Adds what is not in there yet.
static void join(std::string& all, const std::string& one, std::string_view between) {
  if (one.empty() || all.find(one) != std::string::npos) return;
  if (!all.empty()) all += between;
  all += one;
}

/// Adds what one worker reports, in its own numbers, to the whole.
static void add(WorkerReport& all, WorkerReport one, const WorkerSeat& seat) {
  all.taken = std::max(all.taken, one.taken);
  for (PeerReport& peer : one.peers) {
    peer.id = seat.process_number(peer.id);
    all.peers.push_back(std::move(peer));
  }
  all.drops += one.drops;
  all.strays += one.strays;
  join(all.loop.name, one.loop.name, ", ");
  join(all.loop_why_not, one.loop_why_not, "; ");
  join(all.nice_why_not, one.nice_why_not, "; ");
  all.loop.waits += one.loop.waits;
  std::ranges::move(one.loop.sockets, std::back_inserter(all.loop.sockets));
  for (InterfaceReport& interface : one.loop.interfaces) {
    interface.peer = seat.process_number(interface.peer);
    all.loop.interfaces.push_back(std::move(interface));
  }
  all.slab_bytes = std::max(all.slab_bytes, one.slab_bytes);
  all.slabs_in_use += one.slabs_in_use;
  all.slabs_grown += one.slabs_grown;
  all.slabs_max += one.slabs_max;
}

std::optional<WorkerReport> Crew::report(Duration patience) {
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::duration_cast<std::chrono::steady_clock::duration>(patience);
  std::vector<std::future<WorkerReport>> answers;
  for (const auto& worker : workers_) answers.push_back(worker->request_report());
  WorkerReport all;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].wait_until(until) != std::future_status::ready) return std::nullopt;
    add(all, answers[i].get(), seat(i));
  }
  std::ranges::sort(all.peers, {}, &PeerReport::id);
  std::ranges::sort(all.loop.interfaces, {}, &InterfaceReport::peer);
  return all;
}

std::vector<int> Crew::notices_fds() const {
  std::vector<int> fds;
  for (const auto& worker : workers_) fds.push_back(worker->notices_fd());
  return fds;
}

void Crew::take_notices(std::vector<WorkerNotice>& into) {
  into.clear();
  std::vector<WorkerNotice> taken;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->take_notices(taken);
    for (WorkerNotice& notice : taken) {
      if (auto* noted = std::get_if<NodeEvent>(&notice)) {
        noted->event.peer = seat(i).process_number(noted->event.peer);
      }
      if (auto* gone = std::get_if<InterfaceGone>(&notice)) {
        gone->peer = seat(i).process_number(gone->peer);
      }
      into.push_back(std::move(notice));
    }
  }
}

}  // namespace mwtun
