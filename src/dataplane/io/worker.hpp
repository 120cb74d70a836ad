#pragma once
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "dataplane/carrier.hpp"
#include "dataplane/io/handover.hpp"
#include "dataplane/io/link_command.hpp"
#include "dataplane/io/mailbox.hpp"
#include "dataplane/io/open_event_loop.hpp"
#include "dataplane/io/os_entropy.hpp"
#include "dataplane/io/wake_moderator.hpp"
#include "dataplane/node.hpp"

namespace mwtun {

/// A snapshot of everything the dataplane counts. Instants are monotonic_now()'s.
struct WorkerReport {
  Instant taken{};
  std::vector<PeerReport> peers;
  DropCounters drops;  // Those of no peer.
  std::uint64_t strays = 0;  // Datagrams that came to this worker and were another's.
  LoopReport loop;
  std::string loop_why_not;  // It is not the one that was asked for; empty: it is.
  std::string nice_why_not;  // The same of WorkerOptions::nice.
  std::uint32_t slab_bytes = 0;
  std::size_t slabs_in_use = 0;
  std::size_t slabs_grown = 0;
  std::size_t slabs_max = 0;
};

/// Something the core reported.
struct NodeEvent {
  Event event;
  Instant at{};
};
/// An ICMP error came back; at most one a socket in 5 s is told.
struct IcmpNotice {
  SocketId socket{};
  IcmpError error;
};
/// Somebody deleted the peer's interface. Nothing of the peer is delivered any more.
struct InterfaceGone {
  PeerId peer{};
};
struct SocketGone {
  SocketId socket{};
  int os_error = 0;
};
/// What the worker tells the control thread.
using WorkerNotice = std::variant<NodeEvent, IcmpNotice, InterfaceGone, SocketGone>;

struct WorkerTap {
  PeerId peer{};
  Tap tap;
};

struct WorkerOptions {
  LoopKind loop = LoopKind::automatic;
  int nice = 0;  // Of the thread; see set_thread_nice().
  /// Bound on the memory of frames: read, queued, kept for repair and put together.
  std::size_t slab_memory_bytes_max = 128 << 20;
  /// The same for those longer than an ordinary frame.
  std::size_t super_frame_memory_bytes_max = 128 << 20;
};

/// A dataplane thread: the core, its sockets and interfaces, and the loop that feeds it. Made,
/// started, spoken to and stopped by the control thread; shares nothing else with it. Where there
/// are several (Crew), each has its own peers, and PeerIds here count those.
class Worker : private LoopHandler {
 public:
  /// @param sockets    numbered from 0
  /// @param handovers  where there are several workers: all have sockets of the same addresses,
  /// and what comes there may be another's
  static Result<std::unique_ptr<Worker>> create(NodeConfig config, std::vector<WorkerTap> taps,
                                                std::vector<NumberedSocket> sockets,
                                                const WorkerOptions& options,
                                                Handovers* handovers = nullptr);
  ~Worker() override;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// The thread blocks all signals, so they go to the others.
  void start();
  /// Says goodbye to all peers (CLOSE) and waits for the thread's end. Interfaces vanish with the
  /// object.
  void stop();
  bool running() const { return thread_.joinable(); }

  void post(LinkCommand command);
  /// Answered within the loop's next turn. Only while running.
  std::future<WorkerReport> request_report();

  /// Readable while notices wait.
  int notices_fd() const { return notices_.fd(); }
  void take_notices(std::vector<WorkerNotice>& into) { notices_.take(into); }

 private:
  struct ReportRequest {
    std::promise<WorkerReport> answer;
  };
  struct Stop {};
  using Command = std::variant<LinkCommand, ReportRequest, Stop>;

  Worker(NodeConfig config, std::uint32_t slab_bytes, const WorkerOptions& options);
  void run();
  Instant end_turn(Instant began, bool more);
  /// True when more datagrams wait than one turn sends.
  bool drain(Instant now);
  void deliver_frames();
  void take_event(const Event& event, Instant now);
  void follow_carrier(std::size_t peer);
  Instant deadline() const;
  void handle_timeout(Instant now);
  void obey(Instant now);
  void obey(LinkCommand& command, Instant now);
  void take_in(const Path& path, Bytes datagram, Instant received, Instant now);
  void hand_over(unsigned worker, Handover what);
  void take_handovers(Instant now);
  WorkerReport make_report(Instant now) const;

  void on_datagram(const Path& path, Bytes datagram, Instant received, Instant now) override;
  void on_frame(PeerId peer, Frame frame, Instant now) override;
  void on_writable(SocketId socket, Instant now) override;
  void on_send_error(const DatagramTag& tag, SendError error, Instant now) override;
  void on_watched() override { commands_wait_ = true; }
  void on_icmp_error(SocketId socket, const IcmpError& error) override;
  void on_interface_gone(PeerId peer) override;
  void on_socket_gone(SocketId socket, int os_error) override;

  OsEntropy entropy_;
  std::size_t slabs_max_;
  SlabPool super_slabs_;
  SlabPool medium_slabs_;
  SlabPool slabs_;
  std::unique_ptr<EventLoop> loop_;
  std::string loop_why_not_;
  int nice_;
  std::string nice_why_not_;
  std::optional<Node> node_;       // After the pool and the loop: its frames are given back first.
  std::vector<Carrier> carriers_;  // Index: PeerId.
  std::vector<Instant> icmp_told_at_;  // Index: SocketId.
  std::vector<Command> commands_taken_;
  WorkerSeat seat_;
  Handovers* handovers_ = nullptr;
  std::size_t shared_sockets_ = 0;  // Of the first numbers: other workers have them too.
  std::vector<Handover> handovers_taken_;
  DropCounters drops_;
  std::uint64_t strays_ = 0;
  WakeModerator moderator_;
  std::size_t bytes_in_ = 0;  // In this turn of the loop.
  unsigned undelivered_ = 0;  // Datagrams since frames were last written.
  bool send_failed_ = false;
  bool commands_wait_ = false;
  bool stopping_ = false;

  Mailbox<Command> commands_;
  Mailbox<WorkerNotice> notices_;
  std::thread thread_;
};

}  // namespace mwtun
