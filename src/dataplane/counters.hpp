#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace mwtun {

/// Why a frame or datagram went no further. Each drop counts under exactly one of these.
enum class Drop : std::uint8_t {
  // Frames on their way out (sender).
  frame_too_short,
  frame_too_long,
  frame_offload_bad,
  no_session,
  no_usable_link,
  queue_full,
  aqm,  // By CoDel: its flow's queue stood too long.
  repair_given_up,
  piece_given_up,  // Of a super-frame: the rest of it arrives. No frame of its own.
  session_ended_sending,
  redundant_copy_late,
  // Datagrams coming in.
  datagram_malformed,
  unknown_index,
  unknown_epoch,
  replayed,
  forged,
  key_expired,
  unauthenticated_handshake,
  handshake_limited,
  handover_full,  // For another worker, where too much waited.
  bad_link,
  bad_chunk,
  // Chunks and frames on their way in (receiver).
  chunk_duplicate,
  chunk_too_old,
  lane_overrun,
  hole_given_up,
  reassembly_broken,
  reassembly_full,
  out_of_slabs,
  session_ended_receiving,
  bad_frame_received,
  // Datagrams on their way out.
  send_failed,
  count_
};
const char* to_string(Drop reason);

/// Drops by reason, and in bytes nothing: a count is what an operator compares.
class DropCounters {
 public:
  void add(Drop reason, std::uint64_t count = 1) {
    counts_[static_cast<std::size_t>(reason)] += count;
  }
  std::uint64_t of(Drop reason) const { return counts_[static_cast<std::size_t>(reason)]; }
  DropCounters& operator+=(const DropCounters& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    return *this;
  }

 private:
  std::array<std::uint64_t, static_cast<std::size_t>(Drop::count_)> counts_{};
};

/// Frames of one peer. At every moment, summed over both ends of a tunnel: frames_in here =
/// frames_out there + frame drops by reason + frames still held (queued, in flight, being
/// reordered). A super-frame that is sent in parts counts as those; one that has lost pieces counts
/// in frames_out for each stretch that is there. What FrameJoiner makes super-frames of counts in
/// frames_out as the frames that came.
struct FrameCounters {
  std::uint64_t frames_in = 0;  // Taken from the interface.
  std::uint64_t bytes_in = 0;
  std::uint64_t frames_out = 0;  // Given to the interface.
  std::uint64_t bytes_out = 0;
  std::uint64_t ecn_marked = 0;         // Frames that CoDel marked CE instead of dropping them.
  std::uint64_t joined = 0;             // Of frames_out: those that left together with others,
  std::uint64_t super_frames_made = 0;  // as so many super-frames.
};

struct LinkCounters {
  std::uint64_t datagrams_out = 0;
  std::uint64_t bytes_out = 0;  // UDP payload.
  std::uint64_t datagrams_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t lost = 0;          // Datagrams of ours declared lost.
  std::uint64_t lost_falsely = 0;  // Of those, acknowledged later.
  std::uint64_t repaired = 0;      // Chunks sent again on this link.
  std::uint64_t send_errors = 0;
};

}  // namespace mwtun
