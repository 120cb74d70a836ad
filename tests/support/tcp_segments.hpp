#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/packet.hpp"
#include "base/prng.hpp"

namespace mwtun::test {

/// Two fillers and timestamps.
inline const std::vector<std::uint8_t> timestamps{1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9};

/// A segment of a TCP connection, as a frame.
struct TcpSegment {
  bool v6 = false;
  std::size_t tags = 0;      // Of VLANs.
  bool partial = false;      // The checksum is left to the network card.
  std::uint16_t flow = 0;    // In the source port.
  std::uint8_t traffic = 0;  // DSCP and ECN.
  std::uint16_t id = 0xfffe;
  std::uint16_t fragment = 0x4000;
  std::uint8_t flags = 0x10;
  std::uint32_t sequence = 0xffffff00;
  std::uint32_t acknowledged = 77;
  std::vector<std::uint8_t> options = timestamps;  // A multiple of four.
  std::size_t payload_bytes = 1000;

  std::vector<std::uint8_t> bytes() const;
  Frame frame(SlabPool& slabs) const;
  /// The one that its sender sends next.
  TcpSegment next() const;
};

/// Sums up IPv4's and the transport's checksum anew, where the frame has such.
void mend_checksums(std::vector<std::uint8_t>& frame, bool partial);
/// @param partial  the checksum; only of frames that have one
Frame to_frame(const std::vector<std::uint8_t>& bytes, bool partial, SlabPool& slabs);

/// Compares what goes into a FrameJoiner with what comes out, as it stands on a wire in the end:
/// cut into ordinary frames, all checksums summed up. Each flow by itself.
class WireCompare {
 public:
  explicit WireCompare(SlabPool& slabs) : slabs_(slabs) {}
  void in(const Frame& frame) { add(frame, in_); }
  void out(const Frame& frame) { add(frame, out_); }
  /// Empty when both are the same; so far, that is only when nothing is held.
  std::string difference() const;

 private:
  using Wire = std::map<std::vector<std::uint8_t>, std::vector<std::vector<std::uint8_t>>>;
  void add(const Frame& frame, Wire& wire);
  SlabPool& slabs_;
  Wire in_, out_;
};

}  // namespace mwtun::test
