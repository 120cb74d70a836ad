#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "base/entropy.hpp"
#include "base/packet.hpp"
#include "base/prng.hpp"
#include "dataplane/node.hpp"
#include "support/seeded_entropy.hpp"
#include "support/sim_line.hpp"
#include "support/sim_oracle.hpp"

namespace mwtun::test {

/// One link of a client: what its file says of it and the line in both directions.
struct SimLinkOptions {
  LinkConfig config;
  LineOptions up;  ///< Towards the server.
  LineOptions down;
  bool v6 = false;
  std::uint32_t interface_mtu = 1500;
};

struct SimClientOptions {
  std::vector<SimLinkOptions> links;
  bool wrong_psk = false;
};

struct WorldOptions {
  std::uint64_t seed = 1;
  std::vector<SimClientOptions> clients;
  SchedulerKind scheduler = SchedulerKind::adaptive;
  std::uint16_t mtu = 1500;
  std::optional<Cipher> cipher;
  Limits limits;
  Duration wake_late_max{};      ///< How late an event loop may wake.
  double send_block_chance = 0;  ///< A socket answers ENOBUFS to a datagram, and for a while after.
  std::size_t slabs_max = 24 * 1024;
  unsigned verbose = 0;  ///< 1: events; 2: every datagram and frame, too.
};

/// How a traffic source fills its flow: bursts of frames, gap after gap, in spells of sending.
struct TrafficOptions {
  FlowKind kind = FlowKind::tcp4;
  std::size_t client = 0;
  bool up = true;
  Duration gap = milliseconds(10);
  bool random_gaps = true;
  std::uint32_t burst_max = 1;
  std::uint32_t bytes_min = 60;
  std::uint32_t bytes_max = 1514;
  Duration start{};
  Duration stop = seconds(1'000'000);
  Duration spell{};  ///< Sends for so long, then rests for `rest`; zero: never rests.
  Duration rest{};
  bool vlan = false;
  bool ecn_capable = false;
};

/// A datagram as a wiretap kept it.
struct Recording {
  std::vector<std::uint8_t> bytes;
  EndId to = 0;
  Path path;
  DatagramMark mark;  ///< To be cleared by who changes the bytes.
};

/// A datagram about to go on a line.
struct Sending {
  EndId from = 0;
  std::size_t client = 0;
  std::size_t link = 0;
  Bytes bytes;
  DatagramMark mark;

  bool data() const { return (bytes[0] & 0x0f) == 4; }
};

/// A server, its clients, the lines between them and an oracle, at virtual time. Everything that
/// happens follows from the options and the calls: the same ones give the same trace.
class World {
 public:
  explicit World(WorldOptions options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Time since the world began.
  Duration now() const { return now_ - begin_; }
  /// Runs until then, or to the first broken rule.
  void run_until(Duration time);
  void run_for(Duration time) { run_until(now() + time); }
  /// Calls `action` at that time.
  void at(Duration time, std::function<void()> action);

  std::size_t add_traffic(const TrafficOptions& options);
  /// No source sends any more; those that would have are gone for good.
  void stop_traffic();
  /// For sources added from now on.
  void resume_traffic() { traffic_on_ = true; }
  /// A flow without a source of its own, for send_frame().
  std::size_t add_flow(FlowKind kind, std::size_t client, bool up);
  void send_frame(std::size_t flow, std::uint32_t bytes);
  const FlowRecord& flow(std::size_t id) { return oracle.flow(id); }
  /// Breaks a rule of a case's own.
  void expect(bool holds, const char* rule, const std::string& detail = {}) {
    if (!holds) oracle.fail(now_, rule, detail);
  }

  // What can happen to an end.
  void restart(EndId end, Duration off = {});
  /// Says goodbye; the end stays there, closed.
  void close(EndId end);
  void pause(EndId end, Duration time);
  void jump_clock(EndId end, Duration forward);
  /// No news for the process; its next start begins with this much earlier real time.
  void set_wall_clock_back(EndId end, Duration back) { ends_[end]->wall_back += back; }

  // What can happen to a link of a client.
  SimLine& up(std::size_t client, std::size_t link) { return links_[client][link]->up; }
  SimLine& down(std::size_t client, std::size_t link) { return links_[client][link]->down; }
  void kill_link(std::size_t client, std::size_t link, bool dead = true);
  void rebind(std::size_t client, std::size_t link, bool new_ip);
  void take_interface(std::size_t client, std::size_t link);
  void give_interface(std::size_t client, std::size_t link);
  /// Sends on the link's socket fail so until cleared.
  void set_send_error(std::size_t client, std::size_t link, std::optional<SendError> error);
  void set_send_block_chance(double share) { options_.send_block_chance = share; }
  Address public_address(std::size_t client, std::size_t link) const;
  /// The path a datagram of that link has where it comes in, at either end.
  Path path_towards(EndId end, std::size_t client, std::size_t link) const;
  std::size_t link_count(std::size_t client) const { return links_[client].size(); }

  // A wiretap that can also send.
  const std::deque<Recording>& data_recordings() const { return data_recordings_; }
  const std::deque<Recording>& handshake_recordings() const { return handshake_recordings_; }
  void record_at_most(std::size_t datagrams) { data_recordings_max_ = datagrams; }
  /// @param from  another source than the recorded one
  void inject(const Recording& recording, std::optional<Address> from = std::nullopt);
  /// Called for each datagram about to go on a line; false drops it.
  std::function<bool(const Sending& sending)> on_datagram;
  /// Called when a frame came out.
  std::function<void(std::size_t flow, std::uint64_t sequence)> on_delivered;

  Oracle oracle;
  Prng chance;

  PeerReport report(EndId end, EndId peer) const;
  const DropCounters& stray_drops(EndId end) const { return ends_[end]->node->drops(); }
  std::size_t end_count() const { return ends_.size(); }
  std::uint64_t events(EndId end, Event::Kind kind) const {
    return ends_[end]->events[static_cast<std::size_t>(kind)];
  }
  bool running(EndId end) const { return ends_[end]->node != nullptr; }
  std::uint64_t restarts(EndId end) const { return ends_[end]->starts - 1; }
  std::size_t slabs_in_use(EndId end) const { return ends_[end]->slabs.in_use(); }
  std::uint64_t wakeups(EndId end) const { return ends_[end]->wakeups; }
  std::uint64_t bytes_sent(EndId end) const { return ends_[end]->bytes_sent; }
  std::uint64_t datagrams_sent(EndId end) const { return ends_[end]->datagrams_sent; }
  /// Of everything that was sent and delivered so far, and when.
  std::uint64_t trace_hash() const { return trace_hash_; }
  std::uint64_t steps() const { return steps_; }
  Instant instant(Duration time) const { return begin_ + time; }

  /// Frames handed to `from` for `to` since both ends started last, and those that came out there.
  struct Balance {
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    std::uint64_t drops = 0;  ///< Of frames, counted at both ends.
    bool exact = true;        ///< Neither end restarted.
  };
  Balance balance(EndId from, EndId to) const;
  /// Every reason that counted at `end`, for messages.
  std::string drops(EndId end, EndId peer) const;
  /// Says how every line is, when the world is verbose.
  void note_lines() const;
  /// To be called when nothing has been sent for so long that every frame must have come out or
  /// have been counted: breaks a rule where one has vanished.
  void expect_settled();

 private:
  struct Socket {
    Instant blocked_until{};
    std::optional<SendError> failing;
    bool told_writable = true;
  };
  struct End {
    End(EndId id_, std::uint32_t slab_bytes, std::size_t slab_count, std::uint64_t seed)
        : id(id_), slabs(slab_bytes, slab_count), entropy(seed) {}
    EndId id;
    SlabPool slabs;
    SeededEntropy entropy;
    std::unique_ptr<Node> node;
    Duration clock_offset{};
    Duration wall_back{};
    Instant due = never;
    Instant armed = never;  // What poll_timeout() said when `due` was drawn.
    Instant paused_until{};
    std::uint64_t starts = 0;
    std::vector<Socket> sockets;
    std::vector<std::uint64_t> frames_in, frames_out;  // By peer, since the last start.
    std::array<std::uint64_t, 16> events{};
    std::uint64_t wakeups = 0, bytes_sent = 0, datagrams_sent = 0;
    std::uint64_t second_wakeups = 0;
    Instant last_frame{};
    Instant last_error{};
    std::uint32_t errors_at_once = 0;
    std::size_t waiting_while_paused = 0;
  };
  struct Link {
    SimLinkOptions options;
    SimLine up, down;
    Address inside, outside, server;  // The client's own address, the same behind its NAT.
    bool there = true;
  };
  struct Flying {
    std::vector<std::uint8_t> bytes;
    EndId to = 0;
    Path path;
    DatagramMark mark;
    bool altered = false;
    std::size_t client = SIZE_MAX, link = 0;  // The line it is on.
  };
  struct Traffic {
    TrafficOptions options;
    std::size_t flow = 0;
    Instant spell_end{};
  };
  enum class What : std::uint8_t { datagram, traffic, action, writable, start };
  struct Happening {
    Instant at{};
    std::uint64_t order = 0;
    What what{};
    std::size_t index = 0;
    std::size_t detail = 0;
    bool operator>(const Happening& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  NodeConfig config_of(EndId end) const;
  void start(EndId end);
  Instant local(const End& end) const { return now_ + end.clock_offset; }
  void schedule(Instant at, What what, std::size_t index, std::size_t detail = 0);
  void happen(const Happening& happening);
  void arrive(std::size_t index);
  void wake(End& end);
  void drain(End& end);
  void rearm(End& end);
  void take_datagram(End& end, const OutgoingDatagram& out, Bytes bytes);
  std::optional<SendError> refuse(End& end, SocketId socket);
  void carry(EndId from, std::size_t client, std::size_t link, Bytes bytes,
             const DatagramMark& mark);
  void record(const Flying& datagram);
  void launch(Flying datagram, Instant at);
  void emit(std::size_t index);
  void watch();
  void watch_pair(EndId end, EndId peer);
  void trace(std::uint64_t word);
  void note(const std::string& text) const;

  WorldOptions options_;
  Instant begin_{};
  Instant now_{};
  Instant next_watch_{};
  Instant next_second_{};
  std::vector<std::unique_ptr<End>> ends_;
  std::vector<std::vector<std::unique_ptr<Link>>> links_;  // [client][link]
  std::deque<Traffic> traffic_;
  bool traffic_on_ = true;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> queue_;
  std::vector<Flying> flying_;
  std::vector<std::size_t> flying_free_;
  std::vector<std::function<void()>> actions_;
  std::vector<std::uint8_t> room_;
  std::deque<Recording> data_recordings_, handshake_recordings_;
  std::size_t data_recordings_max_ = 64;
  std::uint64_t order_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t trace_hash_ = 0xcbf29ce484222325;
  std::uint16_t next_port_ = 20000;
};

/// True for reasons that account for a whole frame taken from an interface.
bool drops_frame(Drop reason);

}  // namespace mwtun::test
