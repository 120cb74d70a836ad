#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/time.hpp"

namespace mwtun {

/// Finds the largest datagram a link carries, by authenticated probes (PROTOCOL.md 5; the method is
/// RFC 8899's, with a short list of sizes instead of a search). Sizes are UDP payload bytes.
class MtuSearch {
 public:
  /// Begins anew from the size that always passes. @param header_bytes of IP and UDP: 28 or 48
  void restart(std::uint32_t interface_mtu, std::uint32_t header_bytes, Instant now);
  /// Largest datagram that may be used now.
  std::uint32_t size() const { return size_; }
  /// A probe of the returned size is due: send it and tell its fate.
  std::optional<std::uint32_t> probe_due(Instant now);
  /// True when size() changed.
  bool probe_acknowledged(std::uint32_t size, Instant now);
  void probe_lost(std::uint32_t size, Instant now);
  /// The fate of an ordinary datagram. True when size() changed: full ones vanish, small ones
  /// arrive.
  bool acknowledged(std::uint32_t bytes);
  bool lost(std::uint32_t bytes, Instant now);
  /// The kernel refused this size. True when size() changed.
  bool too_big(std::uint32_t bytes, Instant now);
  Instant deadline() const { return next_probe_; }

 private:
  static constexpr std::size_t candidates_max = 6;
  void fall_back(Instant now, Duration retry);

  std::array<std::uint32_t, candidates_max> candidates_{};
  std::size_t candidate_count_ = 0;
  std::size_t candidate_ = 0;
  bool searching_ = false;  // Going down the list; else waiting to begin again.
  std::uint32_t base_ = 1232;
  std::uint32_t size_ = 1232;
  std::uint32_t refused_ = UINT32_MAX;  // The kernel said no to this.
  unsigned tries_ = 0;
  unsigned full_lost_ = 0;      // In a row, without a full one between that arrived.
  bool small_arrived_ = false;  // Since the first of those.
  Instant next_probe_ = never;
};

}  // namespace mwtun
