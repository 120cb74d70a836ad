#pragma once
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/address.hpp"
#include "base/entropy.hpp"
#include "base/packet.hpp"
#include "base/ring.hpp"
#include "dataplane/datagram_builder.hpp"
#include "dataplane/flow_table.hpp"
#include "dataplane/frame_joiner.hpp"
#include "dataplane/frame_queue.hpp"
#include "dataplane/in_lanes.hpp"
#include "dataplane/link.hpp"
#include "dataplane/node.hpp"
#include "dataplane/out_lanes.hpp"
#include "dataplane/proof.hpp"
#include "dataplane/repair_queue.hpp"
#include "dataplane/report.hpp"
#include "dataplane/session.hpp"
#include "dataplane/traffic_class.hpp"
#include "sched/link_choice.hpp"
#include "sched/priority_tiers.hpp"
#include "sched/scheduler.hpp"

namespace mwtun {

/// One peer: its links and, while there is one, the session that frames travel in. Handshakes are
/// made outside (HandshakeInitiator, HandshakeResponder) and come in as keys. Same face as the
/// Node, for one peer. The implementation stands in eight files: tunnel.cpp (sessions, frames in,
/// report), tunnel_send.cpp (queue to datagram), tunnel_copies.cpp (frames that go twice),
/// tunnel_control.cpp (control chunks), tunnel_receive.cpp (datagram to frames),
/// tunnel_feedback.cpp (acknowledgements, loss, repair), tunnel_links.cpp (link states and timers)
/// and tunnel_policy.cpp (priorities, classes, roles).
class Tunnel {
 public:
  /// So long the last link may be silent and still be only late.
  static constexpr Duration standstill_max = seconds(3);

  Tunnel(PeerId id, const PeerConfig& config, const NodeConfig& node, Entropy& entropy,
         SlabPool& slabs, Instant now);

  // Sessions.
  bool has_session() const { return session_.has_value(); }
  /// What we can do, to offer or to choose from.
  std::uint64_t features() const { return offload_ ? wire::feature_offload : 0; }
  const Session& session() const { return *session_; }
  /// Replaces the session there is, with all it had in flight.
  void begin_session(SessionIndex local, SessionIndex remote, std::uint64_t features,
                     EpochKeys keys, Instant now);
  void rotate_keys(EpochKeys keys, Instant now);
  void end_session(LinkReason reason, Instant now);
  /// The peer has not been heard on any link for some time: its end may have restarted.
  bool unheard(Instant now) const;
  /// When unheard() or rekey_due() may turn true by time alone.
  Instant next_handshake() const;
  /// Time for a rekey, by age or use.
  bool rekey_due(Instant now) const;
  void set_observed(const Address& observed) { observed_ = observed; }
  void set_rekey_at(Instant at) { rekey_at_ = at; }

  // Inputs.
  void handle_frame(Frame frame, Instant now);
  /// A data datagram with our session's index. False when it is of an epoch we have no keys for.
  bool handle_data(const Path& path, const wire::DataHeader& header, Bytes datagram,
                   Instant received, Instant now);
  void handle_timeout(Instant now);
  void handle_send_error(const DatagramTag& tag, SendError error, Instant now);
  void handle_writable(SocketId socket, Instant now);
  void set_link_path(LinkId link, const Path& path, std::uint32_t mtu, Instant now);
  void clear_link_path(LinkId link, Instant now);
  void set_link_role(LinkId link, LinkRole role, Instant now);  // tunnel_policy.cpp
  void close(Instant now);

  // Outputs.
  std::optional<OutgoingDatagram> poll_datagram(MutableBytes room, Instant now);
  std::optional<Frame> poll_frame();
  bool event_ready() const { return !events_.empty(); }
  Event take_event() { return events_.pop_front(); }
  void push_event(Event event);
  Instant poll_timeout() const;

  PeerReport report(Instant now) const;
  const PeerConfig& config() const { return config_; }
  DropCounters& drops() { return drops_; }
  /// Links a handshake can use, in order: those with a path.
  std::vector<const Link*> links_with_path() const;

 private:
  /// A chunk that goes a second time on its link, in the datagram after the one it went in.
  struct Again {
    ChunkIndex chunk = no_chunk;
    LinkId link{};
  };
  /// What a session has in flight; made and thrown away with it.
  struct Flow {
    Flow(const Limits& limits, SlabPool& slabs, DropCounters& drops, std::uint64_t seed)
        : out(limits),
          flows(limits, out, seed),
          queue(limits),
          in(limits, slabs, drops),
          class_of(limits.flows) {}
    OutLanes out;
    FlowTable flows;
    FrameQueue queue;  // By the flow table's entries.
    InLanes in;
    ProofTracker proof;
    ContentPool contents;
    RepairQueue repair;
    Ring<Again> again;
    std::array<DatagramBuilder, links_max> builders;
    std::uint64_t peer_stamp = 0;  // Largest seen, rebuilt to 64 bits.
    Instant peer_stamp_at{};
    std::uint64_t last_stamp = 0;
    std::uint64_t arrival_units = 0;  // The peer's clock at the newest arrival it told of,
    Instant arrival_told{};           // and when it told.
    bool settings_acknowledged = false;
    std::uint32_t classes_to_send = 0;  // A bit a rule; initiator only.
    LinkSet gone_to_send;               // Links that have just lost their way out.
    std::vector<ClassNumber> class_of;  // By the flow table's entries, as of their last frame.
    std::int64_t repair_budget_bytes = 64 * 1024;
    Instant repair_budget_at{};
    std::uint32_t datagrams_since_heads = 0;
    Instant heads_deadline = never;
    Instant last_heads{};
    bool want_heads = false;
    bool revived = false;  // A link answers again, after a time in which none did.
  };
  /// The frame being cut into chunks.
  struct Cutting {
    bool active = false;
    Frame frame;
    std::uint32_t offset = 0;
    FlowTable::Assignment lane;
    std::optional<LinkId> link;   // Where the rest must go.
    std::optional<LinkId> begun;  // Where the last piece went.
    bool urgent = false;          // Does not wait for pacing.
    bool whole_on_one_link = false;
    bool again = false;  // Twice on its link.
  };

  // tunnel.cpp
  Link* link(LinkId id) { return links_[index_of(id)].get(); }
  const Link* link(LinkId id) const { return links_[index_of(id)].get(); }
  Link& make_link(LinkId id, Instant now);
  /// Up to the last one there is; some may be missing.
  std::span<std::unique_ptr<Link>> all_links() { return {links_.data(), links_end_}; }
  template <typename Visit>
  void each_link(Visit&& visit) {
    for (std::unique_ptr<Link>& l : all_links()) {
      if (l) visit(*l);
    }
  }
  template <typename Visit>
  void each_link(Visit&& visit) const {
    for (std::size_t i = 0; i < links_end_; ++i) {
      if (links_[i]) visit(static_cast<const Link&>(*links_[i]));
    }
  }
  bool any_link_alive() const;  // It answers, even if it carries no frames (LinkRole::unused).
  bool any_link_helps() const;
  Instant unheard_from() const;
  void refresh_views(Instant now);
  void follow_links(Instant now);
  bool joining(Instant now) const;
  bool standing_still(Instant now) const;
  void drop_queue(Drop reason);
  bool frame_acceptable(Frame& frame);
  bool frame_deliverable(Frame& frame);
  /// Frames may go, and come, with offload data.
  bool takes_offload() const { return (session_->features & wire::feature_offload) != 0; }
  std::uint32_t train_bytes_max() const;
  void queue_frame(FlowIndex index, Frame frame, Instant now);
  void queue_in_parts(FlowIndex index, const Frame& frame, std::uint32_t bytes_max, Instant now);

  // tunnel_control.cpp
  std::optional<OutgoingDatagram> poll_control(MutableBytes room, Instant now);
  std::optional<OutgoingDatagram> send_answer(Link& l, MutableBytes room, Instant now);
  std::optional<OutgoingDatagram> send_challenge(Link& l, MutableBytes room, Instant now);
  std::optional<OutgoingDatagram> send_join(Link& l, MutableBytes room, Instant now);
  std::optional<OutgoingDatagram> send_mtu_probe(Link& l, MutableBytes room, Instant now);
  std::optional<OutgoingDatagram> send_close(MutableBytes room, Instant now);
  bool add_session_control(Instant now);
  bool add_acks(Instant now);
  bool add_ack(Link& about, LinkSpace& space, Instant now);
  bool add_floors(Instant now);
  bool add_classes(Instant now);
  bool add_gone(Instant now);
  bool add_pings(Instant now);
  bool add_quiet_heads(Instant now);
  void add_heads(DatagramBuilder& builder, Instant now);

  // tunnel_send.cpp
  bool elsewhere_is_near(const Link& lost_on) const;
  bool append_repair(Instant now);
  bool append_frame(Instant now);
  bool begin_frame(Instant now);
  bool may_begin(FlowIndex flow, const Frame& head, bool sparse, Instant now) const;
  bool others_could_begin(Instant now);
  std::optional<LinkId> choose_link(const FlowTable::Assignment& lane, std::uint32_t bytes,
                                    bool urgent, Instant now) const;
  bool any_link_ready(Duration wait_max, Instant now) const;
  bool urgent(const FlowTable::Assignment& lane, bool sparse) const;
  bool append_piece(LinkSet links, Instant now);
  void write_chunk(Link& l, ChunkIndex index, Instant now);
  void charge(Link& l, std::size_t bytes, Instant now);
  Instant next_send() const;
  void stop_pacers(Instant now);
  DatagramBuilder& builder_for(Link& l, Instant now);
  bool can_send(const Link& l, Instant now) const;
  Link* best_link(Instant now);
  LinkSet blocked_links(Instant now) const;
  std::optional<OutgoingDatagram> emit(Link& l, DatagramBuilder& builder, const Path& path,
                                       MutableBytes room, Instant now);
  DatagramBuilder& direct_builder(std::size_t bytes, Instant now);
  std::uint64_t next_stamp(Instant now);
  std::size_t chunk_bytes_max() const;
  bool repair_worth_it(const OutChunk& chunk, Instant now) const;

  // tunnel_copies.cpp
  LinkSet copy_links(const Scheduler& scheduler, bool urgent, Instant now) const;
  std::optional<LinkId> second_link(LinkId chosen, Instant now);
  bool loss_would_show(const Link& l) const;
  bool goes_again(LinkId chosen, std::optional<LinkId> second) const;
  void write_again(Link& l, Instant now);
  bool flush_again(Instant now);
  std::optional<LinkId> idle_link(LinkId not_this, Instant now) const;
  std::optional<LinkId> held_link(Instant now) const;

  // tunnel_receive.cpp
  void refill_spare();
  void note_path(Link& l, const Path& path, std::size_t bytes, bool newest, Instant now);
  void read_content(Link& l, const Path& path, const SlabRef& slab, Bytes content,
                    std::uint8_t epoch, std::uint64_t number, Instant received, Instant now);
  bool read_hole(Bytes body, const SlabRef& slab, std::uint64_t stamp, Instant now);
  bool read_control(Link& l, const Path& path, const wire::ParsedChunk& chunk, std::uint64_t stamp,
                    Instant received, Instant now);
  bool read_join(Link& l, Bytes body, Instant now);
  void read_response(Link& l, const Path& path, Bytes body, Instant now);
  void queue_answer(Link& l, const Path& path, Bytes body);
  bool read_heads(Bytes body, std::uint64_t stamp, Instant now);
  bool read_floors(Bytes body);
  bool read_settings(Bytes body);
  bool read_class(Bytes body);
  // tunnel_policy.cpp
  void make_class_schedulers();
  void update_schedulers(Instant now);
  const Scheduler& scheduler_for(FlowIndex flow) const;
  Scheduler& scheduler_for(FlowIndex flow) {
    return const_cast<Scheduler&>(std::as_const(*this).scheduler_for(flow));
  }
  void ask_for_repair(Instant now);

  // tunnel_feedback.cpp
  bool handle_ack(Link& came_on, Bytes body, Instant received, Instant now);
  void acknowledge(Link& l, LinkSpace& space, std::uint64_t number, Instant now);
  void prefetch_contents(const SentLog& sent, std::uint64_t number) const;
  void steer_rate(Link& l, const SentLog& sent, const wire::Ack& ack, Instant now);
  void detect_losses(Link& l, Instant now);
  void detect_loss(Link& l, LinkSpace& space, Instant now);
  void lose(Link& l, LinkSpace& space, std::uint64_t number, bool counts, Instant now);
  void queue_repair(ChunkIndex index);
  enum class Requeue : std::uint8_t { all, what_is_worth_it };
  void requeue_unacknowledged(Link& l, Requeue what);
  bool left_to_suspects(const OutChunk& chunk, const Link& lost_on) const;
  void forget_contents(SentDatagram& sent);
  void give_up(ChunkIndex index);
  void give_up_piece(ChunkIndex index);
  static std::size_t bytes_of(const OutChunk& chunk);
  static wire::Hole hole_of(const OutChunk& chunk);
  Duration backstop(Instant now) const;
  void judge_loss(Link& l, Instant now);
  void judge_gso(Link& l, std::uint64_t number, bool lost);
  void wait_for_oldest(Link& l);
  void trim_logs(Link& l, LinkSpace& space, Instant now);

  // tunnel_links.cpp
  void set_state(Link& l, LinkState state, LinkReason reason, Instant now);
  void begin_join(Link& l, Instant now);
  void join_again(Link& l, Instant now);
  void link_answered(Link& l, Instant now);
  void link_silent(Link& l, LinkReason reason, Instant now);
  void note_silence(Instant now);
  Instant lane_clock(Instant now) const;
  void lose_in_flight(Link& l, Instant now);
  bool read_gone(const Link& l, Bytes body, Instant now);
  void link_timers(Link& l, Instant now);
  void silence_timers(Link& l, Instant now);
  void make_candidate(Link& l, const Path& path, Instant now);
  void reset_link_spaces(Link& l);
  void datagram_size_changed(Link& l);
  Instant link_deadline(const Link& l) const;
  void after_input(Instant now);
  void notice_lateness(Instant now);

  const PeerId id_;
  const PeerConfig& config_;
  const Limits limits_;
  const bool offload_;
  Entropy& entropy_;
  SlabPool& slabs_;
  SlabRef spare_;  // To open in when there is no other: nothing is given up for a forgery.
  std::optional<Session> session_;
  std::unique_ptr<Flow> flow_;
  std::array<std::unique_ptr<Link>, links_max> links_;
  std::size_t links_end_ = 0;
  std::vector<LinkView> views_;
  bool views_stale_ = true;
  bool any_carries_ = false;
  bool bulk_ready_ = false;     // Some link has room without running ahead of its pacing.
  std::uint64_t rate_bps_ = 0;  // Of the eligible links together, as far as is known.
  Scheduler scheduler_;
  PriorityTiers tiers_;
  Instant tiers_due_ = never;  // For another look at them; never: all links are of one.
  Duration queue_delay_{};     // Of the last frame taken that was not a sparse flow's.
  TrafficClasses classes_;
  std::vector<Scheduler> class_schedulers_;  // Of class n: the one before n.
  std::vector<LinkView> scheduled_;          // Room for update_schedulers().
  LinkSet eligible_;                         // For any of the schedulers.
  HashFields hash_fields_;
  Cutting cutting_;
  DatagramBuilder direct_;
  std::uint64_t batch_stamp_ = 0;
  std::uint32_t open_builders_ = 0;
  FrameJoiner joiner_;  // Empty whenever poll_frame() has given none.
  Ring<Event> events_;
  FrameCounters frames_;
  DropCounters drops_;
  Address observed_;
  Instant rekey_at_ = never;
  Instant last_heard_{};
  Instant last_alive_{};  // When some link was neither down nor suspect.
  Instant resumed_{};     // When the last standstill of all links ended.
  Instant session_began_{};
  mutable Instant deadline_ = never;  // What poll_timeout() last said.
  Instant now_{};                     // Of the last input.
  Instant quiet_at_ = never;          // No control wants to go then; never: not known.
  Instant rtt_valid_from_{};          // Datagrams sent before are no measure of the round trip.
  LinkSet closing_;
  std::uint16_t mtu_;
};

}  // namespace mwtun
