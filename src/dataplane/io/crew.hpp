#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/io/worker.hpp"

namespace mwtun {

/// The workers of a process, each with a core of its own and the peers that are dealt to it in
/// turn. Here PeerIds are the process's, and SocketIds are one worker's each but for the
/// listeners', which all have.
class Crew {
 public:
  /// @param config     of all peers; the seat is given here
  /// @param listeners  of each worker, as open_listeners() makes them: so many workers there are
  static Result<std::unique_ptr<Crew>> create(NodeConfig config, std::vector<WorkerTap> taps,
                                              std::vector<std::vector<NumberedSocket>> listeners,
                                              const WorkerOptions& options);

  void start();
  /// See Worker::stop().
  void stop();
  bool running() const { return workers_.front()->running(); }
  unsigned size() const { return static_cast<unsigned>(workers_.size()); }
  unsigned worker_of(PeerId peer) const { return WorkerSeat::of(peer, size()).number; }

  void post(LinkCommand command);
  /// All workers' as one. None when one of them does not answer in `patience`. Only while running.
  std::optional<WorkerReport> report(Duration patience);

  /// Each is readable while notices wait.
  std::vector<int> notices_fds() const;
  void take_notices(std::vector<WorkerNotice>& into);

 private:
  explicit Crew(unsigned workers) : handovers_(workers) {}
  WorkerSeat seat(std::size_t worker) const { return {static_cast<unsigned>(worker), size()}; }

  Handovers handovers_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace mwtun
