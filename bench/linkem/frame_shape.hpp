#pragma once
#include <cstdint>

#include "base/bytes.hpp"

namespace mwtun::linkem {

/// What a rate counts: the Ethernet frame (no FCS) less its 14-byte header and 4 a VLAN tag.
std::uint32_t ip_bytes(Bytes frame);

/// Flips one to four bits behind the IP header (behind the Ethernet header where there is no IP),
/// chosen by `seed`. Always changes the frame, unless it has nothing there; a second call with the
/// same seed restores it.
void flip_bits(MutableBytes frame, std::uint64_t seed);

}  // namespace mwtun::linkem
