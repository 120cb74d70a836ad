#pragma once
#include <cstdint>
#include <utility>

#include "base/ids.hpp"
#include "base/time.hpp"

namespace mwtun {

/// Whether a peer's interface has carrier. It has from the first link on that is up, and until the
/// peer leaves or no link was up for a while: a kernel that sees carrier go forgets its neighbours,
/// drops what is sent, and takes no notice of carrier that is back within a second. A mobile line
/// that stood still for 0.3 s would cost 1.3.
class Carrier {
 public:
  static constexpr Duration patience = seconds(3);

  void link_changed(LinkId link, bool up, Instant now) {
    const auto bit = static_cast<std::uint16_t>(1u << index_of(link));
    const auto before = std::exchange(
        links_up_, static_cast<std::uint16_t>(up ? links_up_ | bit : links_up_ & ~bit));
    if (links_up_ != 0) {
      on_ = true;
      off_at_ = never;
    } else if (before != 0) {
      off_at_ = now + patience;
    }
  }
  /// The peer has left, or there is no session with it any more.
  void session_ended() { *this = {}; }
  void handle_timeout(Instant now) {
    if (now >= off_at_) *this = {};
  }

  bool on() const { return on_; }
  /// When handle_timeout() has something to do.
  Instant deadline() const { return off_at_; }

 private:
  std::uint16_t links_up_ = 0;  // A bit a link.
  bool on_ = false;
  Instant off_at_ = never;
};

}  // namespace mwtun
