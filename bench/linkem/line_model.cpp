#include "linkem/line_model.hpp"

#include <algorithm>
#include <cmath>

namespace mwtun::linkem {
namespace {

/// For std heaps, which keep the largest first.
bool leaves_later(const Release& a, const Release& b) {
  return a.due != b.due ? a.due > b.due : a.order > b.order;
}

std::uint64_t stream_seed(std::uint64_t seed, int stream) {
  Prng root(seed);
  for (int i = 0; i < stream; ++i) root.next();
  return root.next();
}

Instant next_multiple(Instant time, Duration step) {
  const Duration rest = time.time_since_epoch() % step;
  return rest == Duration{0} ? time : time + (step - rest);
}

}  // namespace

std::string_view name_of(Drop reason) {
  constexpr std::string_view names[drop_reasons] = {"mtu",  "policer",   "loss",         "queue",
                                                    "down", "no_buffer", "undeliverable"};
  return names[static_cast<std::size_t>(reason)];
}

LineDirection::LineDirection(DirectionOptions options, std::uint64_t seed, Instant start,
                             std::shared_ptr<Bottleneck> shared)
    : options_(std::move(options)),
      bottleneck_(shared ? std::move(shared) : std::make_shared<Bottleneck>(options_.own, start)),
      shared_(!options_.shared.empty()),
      loss_prng_(stream_seed(seed, 0)),
      burst_loss_prng_(stream_seed(seed, 1)),
      jitter_prng_(stream_seed(seed, 2)),
      duplicate_prng_(stream_seed(seed, 3)),
      corrupt_prng_(stream_seed(seed, 4)),
      policer_tokens_(static_cast<double>(options_.policer_burst())),
      policer_filled_(start) {
  bottleneck_->attach(*this);
  releases_.reserve(1024);
}

LineDirection::~LineDirection() {
  bottleneck_->left(queue_bytes_);
  bottleneck_->detach(*this);
}

unsigned LineDirection::offer(std::uint32_t ip_bytes, Instant now, Token token) {
  ++counters_.in_frames;
  counters_.in_bytes += ip_bytes;
  if (down_) return drop(Drop::down), 0;
  if (options_.mtu > 0 && ip_bytes > options_.mtu) return drop(Drop::mtu), 0;
  if (options_.policer_bps > 0 && policed(ip_bytes, now)) return drop(Drop::policer), 0;
  if (lost()) return drop(Drop::loss), 0;
  const bool twice = options_.duplicate > 0 && duplicate_prng_.chance(options_.duplicate);
  bottleneck_->advance(now);
  unsigned taken = enqueue(ip_bytes, now, token);
  if (twice) {
    ++counters_.duplicates;
    taken += enqueue(ip_bytes, now, token);
  }
  // What is already over must not wait for a timer: without a rate that is every frame.
  bottleneck_->advance(now);
  return taken;
}

bool LineDirection::policed(std::uint32_t ip_bytes, Instant now) {
  const double elapsed = std::chrono::duration<double>(now - policer_filled_).count();
  policer_filled_ = now;
  policer_tokens_ =
      std::min(policer_tokens_ + elapsed * static_cast<double>(options_.policer_bps) / 8,
               static_cast<double>(options_.policer_burst()));
  if (policer_tokens_ < ip_bytes) return true;
  policer_tokens_ -= ip_bytes;
  return false;
}

bool LineDirection::lost() {
  bool is_lost = options_.loss > 0 && loss_prng_.chance(options_.loss);
  const BurstLoss& burst = options_.burst_loss;
  if (!burst.on()) return is_lost;
  is_lost |= burst_loss_prng_.chance(bad_state_ ? burst.loss_bad : burst.loss_good);
  if (burst_loss_prng_.chance(bad_state_ ? burst.leave_bad : burst.enter_bad)) {
    bad_state_ = !bad_state_;
  }
  return is_lost;
}

bool LineDirection::enqueue(std::uint32_t ip_bytes, Instant now, Token token) {
  Waiting frame{now, 0, now, 0, token, ip_bytes};
  if (options_.corrupt > 0 && corrupt_prng_.chance(options_.corrupt)) {
    frame.corrupt_seed = corrupt_prng_.next() | 1;
  }
  if (!bottleneck_->has_room(ip_bytes)) return drop(Drop::queue), false;
  if (frame.corrupt_seed != 0) ++counters_.corrupted;
  // release = max(now + delay + j, last) + size/rate: the constant delay commutes with the wire, so
  // the jitter alone goes before it and `ready` may even lie in the past.
  if (options_.jitter_mode == JitterMode::fifo) frame.ready += draw_jitter();
  frame.order = bottleneck_->next_order();
  waiting_.push(frame);
  queue_bytes_ += ip_bytes;
  bottleneck_->queued(ip_bytes);
  counters_.queue_bytes_max = std::max(counters_.queue_bytes_max, queue_bytes_);
  return true;
}

Duration LineDirection::draw_jitter() {
  if (options_.jitter == Duration{0}) return Duration{0};
  double normal = 0;
  if (spare_normal_) {
    normal = *spare_normal_;
    spare_normal_.reset();
  } else {  // Box and Muller, 1958
    const double radius = std::sqrt(-2 * std::log(1 - jitter_prng_.unit()));
    const double angle = 2 * 3.14159265358979323846 * jitter_prng_.unit();
    normal = radius * std::cos(angle);
    spare_normal_ = radius * std::sin(angle);
  }
  const double jitter_ns = normal * static_cast<double>(options_.jitter.count());
  return std::max(Duration{std::llround(jitter_ns)}, -options_.delay);
}

void LineDirection::finished_head(Instant end) {
  const Waiting frame = waiting_.pop();
  queue_bytes_ -= frame.ip_bytes;
  bottleneck_->left(frame.ip_bytes);
  Instant due = end + options_.delay;
  if (options_.jitter_mode == JitterMode::fifo) {
    due = std::max(due, last_due_);  // also when the delay has just become shorter
  } else {
    due += draw_jitter();
  }
  if (options_.burst > Duration{0}) due = next_multiple(due, options_.burst);
  last_due_ = std::max(last_due_, due);
  releases_.push_back(
      {due, release_order_++, frame.arrival, frame.corrupt_seed, frame.token, frame.ip_bytes});
  std::push_heap(releases_.begin(), releases_.end(), leaves_later);
}

Instant LineDirection::next_release() const {
  const Instant first = releases_.empty() ? never : releases_.front().due;
  if (waiting_.empty()) return first;
  Instant end = bottleneck_->next_end();
  if (options_.jitter_mode == JitterMode::fifo) {
    // Nothing in the queue can leave before what is already behind the wire.
    if (!releases_.empty()) return first;
    end = std::max(end + options_.delay, last_due_);
    if (options_.burst > Duration{0}) end = next_multiple(end, options_.burst);
  }
  return std::min(first, end);
}

std::optional<Release> LineDirection::pop_released(Instant now) {
  bottleneck_->advance(now);
  if (releases_.empty() || releases_.front().due > now) return std::nullopt;
  std::pop_heap(releases_.begin(), releases_.end(), leaves_later);
  const Release release = releases_.back();
  releases_.pop_back();
  ++counters_.out_frames;
  counters_.out_bytes += release.ip_bytes;
  counters_.last_delay = release.due - release.arrival;
  return release;
}

void LineDirection::configure(DirectionOptions options, Instant now,
                              std::shared_ptr<Bottleneck> shared) {
  bottleneck_->advance(now);
  const bool new_policer = options.policer_bps != options_.policer_bps ||
                           options.policer_burst() != options_.policer_burst();
  if (new_policer) {
    policer_tokens_ = static_cast<double>(options.policer_burst());
    policer_filled_ = now;
  }
  if (!options.burst_loss.on()) bad_state_ = false;
  const bool was_shared = shared_;
  options_ = std::move(options);
  shared_ = shared != nullptr;
  if (shared_) {
    if (shared != bottleneck_) use_bottleneck(std::move(shared), now);
  } else if (was_shared) {
    use_bottleneck(std::make_shared<Bottleneck>(options_.own, now), now);
  } else {
    bottleneck_->configure(options_.own, now);
  }
}

void LineDirection::use_bottleneck(std::shared_ptr<Bottleneck> bottleneck, Instant now) {
  bottleneck_->left(queue_bytes_);
  bottleneck_->detach(*this);
  bottleneck_ = std::move(bottleneck);
  bottleneck_->advance(now);
  for (std::size_t frames = waiting_.size(); frames > 0; --frames) {
    Waiting frame = waiting_.pop();
    frame.ready = std::max(frame.ready, now);
    frame.order = bottleneck_->next_order();
    waiting_.push(frame);
  }
  bottleneck_->attach(*this);
  bottleneck_->queued(queue_bytes_);
  bottleneck_->advance(now);
}

std::vector<Token> LineDirection::take_down(Instant now) {
  bottleneck_->advance(now);
  down_ = true;
  std::vector<Token> cut;
  cut.reserve(frames_inside());
  for (const Release& release : releases_) cut.push_back(release.token);
  releases_.clear();
  if (!waiting_.empty() && bottleneck_->first_in_line() == this) bottleneck_->forget_head();
  while (!waiting_.empty()) cut.push_back(waiting_.pop().token);
  bottleneck_->left(queue_bytes_);
  queue_bytes_ = 0;
  for (std::size_t i = 0; i < cut.size(); ++i) drop(Drop::down);
  return cut;
}

void LineDirection::count_refused(std::uint32_t ip_bytes) {
  ++counters_.in_frames;
  counters_.in_bytes += ip_bytes;
  drop(Drop::no_buffer);
}

void LineDirection::count_undeliverable(const Release& release) {
  --counters_.out_frames;
  counters_.out_bytes -= release.ip_bytes;
  drop(Drop::undeliverable);
}

}  // namespace mwtun::linkem
