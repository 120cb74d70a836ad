#pragma once
#include "base/bytes.hpp"

namespace mwtun {

/// Marks the IP packet in an Ethernet frame (up to two VLAN tags) Congestion Experienced, RFC 3168,
/// if its sender takes that for a loss. A super-frame has one header for all its segments, so all
/// of them are marked.
/// @return whether the packet says CE now, by us or by someone before; when it does not, nothing
///         was changed: not IP, not ECN-capable, or a header that is not whole
bool mark_congestion(MutableBytes frame);

}  // namespace mwtun
