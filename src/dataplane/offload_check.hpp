#pragma once
#include "base/packet.hpp"

namespace mwtun {

/// Whether a frame's offload data is what its own headers say: the checksum of its TCP or UDP
/// header, segments of the protocol and IP version it has. What comes from the wire is believed
/// only then (PROTOCOL.md 4.6), since the kernel acts on it. Plain data always agrees.
bool offload_agrees(const Frame& frame);

}  // namespace mwtun
