// Which links may be used for what: roles that change, priorities, traffic classes.
#include "dataplane/tunnel.hpp"
#include "dataplane/wire_classes.hpp"

namespace mwtun {

static constexpr Duration tiers_interval = milliseconds(5);

void Tunnel::set_link_role(LinkId id, LinkRole role, Instant now) {
  Link* l = index_of(id) < links_max ? link(id) : nullptr;
  if (l == nullptr || !config_.initiator) return;
  if (l->config.role != role) {
    l->config.role = role;
    views_stale_ = true;
  }
  // A link that is still being joined tells it anyway.
  if (session_ && l->has_path && l->validated) l->want_join = true;
  after_input(now);
}

/// Active-backup has its own way with priorities, and redundant means all links.
static bool follows_priority(SchedulerKind kind) {
  return kind != SchedulerKind::active_backup && kind != SchedulerKind::redundant;
}

void Tunnel::make_class_schedulers() {
  class_schedulers_.clear();
  for (std::size_t n = 1; n <= classes_.size(); ++n) {
    const TrafficRule& rule = classes_.rule(static_cast<ClassNumber>(n));
    class_schedulers_.emplace_back(rule.scheduler.value_or(scheduler_.kind()));
  }
  views_stale_ = true;
}

const Scheduler& Tunnel::scheduler_for(FlowIndex flow) const {
  const ClassNumber number = flow_->class_of[flow];
  return number == 0 ? scheduler_ : class_schedulers_[number - 1u];
}

void Tunnel::update_schedulers(Instant now) {
  const bool queued = flow_ && !flow_->queue.empty();
  const LinkSet allowed = tiers_.update(views_, queued ? queue_delay_ : Duration{0}, now);
  bool one_priority = true;
  for (const LinkView& view : views_) one_priority &= view.priority == views_.front().priority;
  tiers_due_ = one_priority ? never : now + tiers_interval;

  const auto update = [&](Scheduler& scheduler, LinkSet wanted) {
    scheduled_ = views_;
    if (const LinkSet own = answering_of(views_, wanted); !own.empty()) {
      restrict_to(scheduled_, own);
    } else if (follows_priority(scheduler.kind())) {
      restrict_to(scheduled_, allowed);
    }
    scheduler.update(scheduled_, now);
    for (const LinkView& view : views_) {
      if (scheduler.eligible().has(view.id)) eligible_.add(view.id);
    }
  };
  eligible_ = {};
  update(scheduler_, {});
  for (std::size_t i = 0; i < class_schedulers_.size(); ++i) {
    update(class_schedulers_[i], classes_.rule(static_cast<ClassNumber>(i + 1)).links);
  }
}

/// Initiator: the rules that the peer has not acknowledged.
bool Tunnel::add_classes(Instant now) {
  Link* best = flow_->classes_to_send == 0 ? nullptr : best_link(now);
  if (best == nullptr) return false;
  for (std::uint8_t i = 0; i < classes_.size(); ++i) {
    const std::uint32_t bit = std::uint32_t{1} << i;
    if ((flow_->classes_to_send & bit) == 0) continue;
    const TrafficRule& rule = classes_.rule(static_cast<ClassNumber>(i + 1));
    DatagramBuilder& builder = builder_for(*best, now);
    if (builder.room() < wire::control_header_bytes + wire::class_body_bytes(rule)) {
      builder.set_full();
      return true;
    }
    builder.write([&](Writer& out) {
      wire::write_class(out, {i, static_cast<std::uint8_t>(classes_.size()), rule});
    });
    builder.set_eliciting();
    builder.add_content(flow_->contents, {.kind = Content::Kind::traffic_class, .value = i});
    flow_->classes_to_send &= ~bit;
  }
  return false;
}

bool Tunnel::read_class(Bytes body) {
  std::optional<wire::ClassChunk> chunk = wire::read_class(body);
  if (!chunk) return false;
  if (config_.initiator) return true;
  const bool waiting = classes_.empty();
  // One that contradicts those before is ignored.
  if (classes_.put(chunk->index, chunk->count, std::move(chunk->rule)) && waiting) {
    make_class_schedulers();
  }
  return true;
}

}  // namespace mwtun
