#pragma once
#include <cstdint>
#include <string>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "linkem/descriptor.hpp"
#include "linkem/line_options.hpp"

namespace mwtun::linkem {

/// One end of a line: a TAP in its network namespace, gone when this is destroyed.
///
/// It is opened without IFF_VNET_HDR and with every offload off, so the kernel cuts TCP's large
/// segments and fills in checksums before we read: a frame is never longer than the interface's
/// MTU.
class Tap {
 public:
  /// Opens the TAP inside the end's namespace; the descriptor works from ours ever after.
  static Result<Tap> create(const EndName& end);

  int fd() const { return device_.fd(); }
  /// Bytes of the frame read, or 0 when there is none.
  std::size_t read(MutableBytes buffer) const;
  /// False when the kernel refused the frame: the interface is not up.
  bool write(Bytes frame) const;
  Result<void> set_carrier(bool on) const;
  /// Frames the kernel dropped since we were too slow to read them.
  std::uint64_t kernel_drops() const;

 private:
  std::string interface_;
  Descriptor device_;
  Descriptor proc_net_dev_;  // /proc/net/dev of the namespace
};

}  // namespace mwtun::linkem
