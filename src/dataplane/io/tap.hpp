#pragma once
#include <cstdint>
#include <string>

#include "base/bytes.hpp"
#include "base/packet.hpp"
#include "base/result.hpp"
#include "dataplane/io/fd.hpp"
#include "dataplane/io/interface_setup.hpp"

namespace mwtun {

struct TapOptions {
  std::string name;
  /// A layer-3 interface (IFF_TUN). The core sees Ethernet all the same: see Tap.
  bool tun = false;
  /// Takes and gives super-frames and partial checksums where the kernel can.
  bool offload = true;
  InterfaceSettings settings;
};

struct TapCounters {
  std::uint64_t frames_read = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t frames_written = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t read_errors = 0;
  std::uint64_t read_too_long = 0;  // Longer than the room given.
  std::uint64_t refused = 0;        // The interface took the frame not (down, malformed).
  std::uint64_t not_ip = 0;         // Layer 3 only: neither IPv4 nor IPv6.
  std::uint64_t super_frames_read = 0;
  std::uint64_t super_frames_written = 0;
};

/// What an interface gives undone (TUNSETOFFLOAD) and takes undone.
enum class TapOffload : std::uint8_t { none, tcp, tcp_and_udp };

/// A frame that was read.
struct TapFrame {
  std::size_t size = 0;
  Offload offload;
};

/// A TAP interface of ours, gone when the object is (or the process dies). It has no carrier until
/// set_carrier(true).
///
/// In TUN mode the kernel gives and takes bare IP packets. An Ethernet header with fixed addresses
/// is put before what is read, by IP version, and taken off what is written, so the core sees
/// frames in either mode; frames of other protocols (ARP, LLDP, ...) are dropped and counted. Both
/// ends of a tunnel must therefore be of the same kind.
class Tap {
 public:
  /// What frames may be longer than the MTU by: Ethernet header and two VLAN tags.
  static constexpr std::uint32_t header_bytes_max = 14 + 4 + 4;

  static Result<Tap> open(Netlink& netlink, const TapOptions& options);

  enum class Read : std::uint8_t { frame, empty, skipped, gone };
  /// Reads one frame into `room`, which holds more than MTU + header_bytes_max, and what does not
  /// fit there into `more`. `frame` is set for Read::frame. `skipped`: one was there, but is of no
  /// use or could not be read; it is counted.
  Read read(MutableBytes room, TapFrame& frame, MutableBytes more = {});
  /// Reads one frame and throws it away. False: there was none.
  bool discard();
  /// `unfit`: the kernel does not take this super-frame, and would take its segments.
  enum class Write : std::uint8_t { written, refused, unfit, gone };
  /// Anything but plain offload data only where offload() says so. Some kernels refuse super-frames
  /// all the same.
  Write write(Bytes frame, const Offload& offload = {});

  /// Shows the interface's users whether the tunnel carries. Kernels before 5.0 cannot: no effect.
  void set_carrier(bool on);
  bool carrier() const { return carrier_; }

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }
  bool tun() const { return tun_; }
  TapOffload offload() const { return offload_; }
  const TapCounters& counters() const { return counters_; }

 private:
  Tap() = default;
  Fd fd_;
  std::string name_;
  bool tun_ = false;
  bool header_ = false;  // Each frame comes and goes with a virtio_net_hdr.
  TapOffload offload_ = TapOffload::none;
  bool carrier_ = true;  // The kernel's default for a new interface.
  TapCounters counters_;
};

/// What a pool's slabs must hold for interfaces of this MTU.
constexpr std::uint32_t slab_bytes_for(std::uint32_t mtu) {
  if (mtu <= 1600) return 2048;
  const std::uint32_t needed = (mtu + 2 * Tap::header_bytes_max + 511) / 512 * 512;
  return needed < 9728 ? 9728 : needed;
}

}  // namespace mwtun
