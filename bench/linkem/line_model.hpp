#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/prng.hpp"
#include "base/time.hpp"
#include "linkem/bottleneck.hpp"
#include "linkem/line_options.hpp"
#include "linkem/ring.hpp"

namespace mwtun::linkem {

/// Why a frame did not come out. `no_buffer` and `undeliverable` are the caller's to count.
enum class Drop : std::uint8_t { mtu, policer, loss, queue, down, no_buffer, undeliverable };
inline constexpr std::size_t drop_reasons = 7;
std::string_view name_of(Drop reason);

/// in_frames + duplicates = out_frames + the sum of drops + frames inside.
struct Counters {
  std::uint64_t in_frames = 0;
  std::uint64_t in_bytes = 0;
  std::uint64_t out_frames = 0;
  std::uint64_t out_bytes = 0;
  std::array<std::uint64_t, drop_reasons> drops{};
  std::uint64_t duplicates = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t queue_bytes_max = 0;
  Duration last_delay{};
};

/// A frame that leaves the line.
struct Release {
  Instant due;
  std::uint64_t order = 0;
  Instant arrival;
  std::uint64_t corrupt_seed = 0;  ///< not 0: flip bits by it (frame_shape.hpp)
  Token token = 0;
  std::uint32_t ip_bytes = 0;
};

/// One direction of a line: frames in by offer(), out by pop_released(), in virtual time.
///
///   MTU -> policer -> loss (random, then Gilbert-Elliott) -> duplicate, corrupt -> queue limit
///       -> serialisation -> delay and jitter -> burst release
///
/// Release times follow from arrival times and options alone. A late caller gets frames late, but
/// the next ones are not shifted by it, so the rate stays exact. README.md has the formulas.
class LineDirection {
 public:
  /// With `shared`, that bottleneck serialises instead of the options' own. It must outlive none of
  /// its users: they keep it.
  LineDirection(DirectionOptions options, std::uint64_t seed, Instant start,
                std::shared_ptr<Bottleneck> shared = nullptr);
  ~LineDirection();
  LineDirection(const LineDirection&) = delete;
  LineDirection& operator=(const LineDirection&) = delete;

  /// A frame enters. Gives how often `token` will come out again: 0 (dropped), 1 or 2 (duplicate).
  unsigned offer(std::uint32_t ip_bytes, Instant now, Token token);
  /// No frame leaves before this; call pop_released() then. `never` when the line is empty.
  Instant next_release() const;
  /// The next frame that is due by `now`, in order of its due time.
  std::optional<Release> pop_released(Instant now);

  /// New options from `now` on. Frames in the queue follow a new rate at once; delay, jitter and
  /// the other settings hold for frames that reach them from now on.
  void configure(DirectionOptions options, Instant now,
                 std::shared_ptr<Bottleneck> shared = nullptr);
  /// Cuts the line: what is inside is lost (the tokens come back, once each time they would have
  /// come out) and so is all that is offered until bring_up().
  std::vector<Token> take_down(Instant now);
  void bring_up() { down_ = false; }
  bool down() const { return down_; }

  /// Something was lost outside the model but belongs into its books: a frame that came in without
  /// being offered, or one that was released and could not be handed on.
  void count_refused(std::uint32_t ip_bytes);
  void count_undeliverable(const Release& release);

  void reset_queue_max() { counters_.queue_bytes_max = queue_bytes_; }

  const DirectionOptions& options() const { return options_; }
  const Counters& counters() const { return counters_; }
  /// IP bytes of this direction that wait for the wire, as of the last call with a time.
  std::uint64_t queue_bytes() const { return queue_bytes_; }
  std::size_t frames_inside() const { return waiting_.size() + releases_.size(); }

 private:
  friend class Bottleneck;
  void finished_head(Instant end);
  bool lost();
  bool policed(std::uint32_t ip_bytes, Instant now);
  bool enqueue(std::uint32_t ip_bytes, Instant now, Token token);
  /// A draw of the normal distribution with standard deviation `jitter`, never below -`delay`.
  Duration draw_jitter();
  void use_bottleneck(std::shared_ptr<Bottleneck> bottleneck, Instant now);
  void drop(Drop reason) { ++counters_.drops[static_cast<std::size_t>(reason)]; }

  DirectionOptions options_;
  std::shared_ptr<Bottleneck> bottleneck_;
  bool shared_ = false;
  // One stream each, so that switching one impairment on does not change what another does.
  Prng loss_prng_;
  Prng burst_loss_prng_;
  Prng jitter_prng_;
  Prng duplicate_prng_;
  Prng corrupt_prng_;
  std::optional<double> spare_normal_;
  bool bad_state_ = false;
  bool down_ = false;
  double policer_tokens_ = 0;
  Instant policer_filled_;
  Ring<Waiting> waiting_;
  std::uint64_t queue_bytes_ = 0;
  std::vector<Release> releases_;  // a heap, earliest first
  std::uint64_t release_order_ = 0;
  Instant last_due_ = Instant::min();
  Counters counters_;
};

}  // namespace mwtun::linkem
