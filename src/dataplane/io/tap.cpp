#include "dataplane/io/tap.hpp"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "dataplane/io/os_error.hpp"
#include "dataplane/io/still_held.hpp"

namespace mwtun {

static constexpr const char* device_path = "/dev/net/tun";
static constexpr std::size_t ethernet_bytes = 14;
/// Fixed addresses of the synthetic header: locally administered, seen by nobody but our own core.
static constexpr std::array<std::uint8_t, 12> synthetic_addresses = {0x02, 'm', 'w', 't', 'u', 2,
                                                                     0x02, 'm', 'w', 't', 'u', 1};

// Of Linux 6.2, in no header of ours so far.
static constexpr unsigned tun_f_uso4 = 0x20, tun_f_uso6 = 0x40;

/// Before each frame (virtio 1.1, 5.1.6). The kernel's own header is no C++: a field is "class".
struct VirtioHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t header_bytes = 0;
  std::uint16_t gso_bytes = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
};
static_assert(sizeof(VirtioHeader) == 10);
static constexpr std::uint8_t virtio_needs_checksum = 1;
static constexpr std::uint8_t virtio_tcp4 = 1, virtio_tcp6 = 4, virtio_udp = 5, virtio_ecn = 0x80;

/// Its numbers are little-endian, whatever the machine is.
static std::uint16_t little_endian(std::uint16_t value) {
  std::array<std::uint8_t, 2> bytes;
  store_le(bytes.data(), value, 2);
  std::memcpy(&value, bytes.data(), 2);
  return value;
}

static Error open_error(int error) {
  const std::string what = std::string("cannot open ") + device_path;
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return os_error(error, what,
                      "the kernel's tun module is missing: \"modprobe tun\" (OpenWrt: package "
                      "kmod-tun; containers: pass the device in, --device /dev/net/tun)");
    case EPERM:
    case EACCES: return os_error(error, what, "run as root or with CAP_NET_ADMIN");
    default: return os_error(error, what);
  }
}

static Error attach_error(int error, const std::string& name, const char* kind) {
  const std::string what = std::string("cannot make the ") + kind + " interface " + name;
  switch (error) {
    case EBUSY:
      return os_error(error, what,
                      "another program holds it (another mwtun with the same file?): stop that "
                      "one or choose another name");
    case EINVAL:
      return os_error(error, what,
                      "an interface of this name but of another kind exists (\"ip -d link show " +
                          name + "\"), or the kernel does not take the name: choose another name");
    case EPERM:
    case EACCES:
      return os_error(error, what,
                      "run as root or with CAP_NET_ADMIN (systemd: "
                      "AmbientCapabilities=CAP_NET_ADMIN; containers: --cap-add NET_ADMIN)");
    default: return os_error(error, what);
  }
}

/// The most that the kernel gives undone, and takes. ECN stays its own affair: a segment with CWR
/// comes alone then.
static TapOffload ask_for_offload(int fd) {
  const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if (ioctl(fd, TUNSETOFFLOAD, tcp | tun_f_uso4 | tun_f_uso6) == 0) return TapOffload::tcp_and_udp;
  if (ioctl(fd, TUNSETOFFLOAD, tcp) == 0) return TapOffload::tcp;
  return TapOffload::none;
}

/// The header's numbers are relative to what the kernel sees: `hidden` bytes later than ours.
static Offload from_virtio(const VirtioHeader& header, std::size_t hidden) {
  Offload offload;
  if ((header.flags & virtio_needs_checksum) == 0) return offload;
  offload.checksum_partial = true;
  offload.checksum_start =
      static_cast<std::uint16_t>(little_endian(header.checksum_start) + hidden);
  offload.checksum_offset = little_endian(header.checksum_offset);
  switch (header.gso_type & ~virtio_ecn) {
    case virtio_tcp4: offload.gso = Offload::Gso::tcp4; break;
    case virtio_tcp6: offload.gso = Offload::Gso::tcp6; break;
    case virtio_udp: offload.gso = Offload::Gso::udp; break;
    default: return offload;
  }
  offload.gso_bytes = little_endian(header.gso_bytes);
  return offload;
}

static VirtioHeader to_virtio(const Offload& offload, Bytes frame, std::size_t hidden) {
  VirtioHeader header;
  if (!offload.checksum_partial) return header;
  const std::size_t start = offload.checksum_start - hidden;
  header.flags = virtio_needs_checksum;
  header.checksum_start = little_endian(static_cast<std::uint16_t>(start));
  header.checksum_offset = little_endian(offload.checksum_offset);
  switch (offload.gso) {
    case Offload::Gso::none: return header;
    case Offload::Gso::tcp4: header.gso_type = virtio_tcp4; break;
    case Offload::Gso::tcp6: header.gso_type = virtio_tcp6; break;
    case Offload::Gso::udp: header.gso_type = virtio_udp; break;
  }
  const bool udp = offload.gso == Offload::Gso::udp;
  const std::size_t transport = udp ? 8 : std::size_t{frame[offload.checksum_start + 12u]} / 16 * 4;
  header.gso_bytes = little_endian(offload.gso_bytes);
  header.header_bytes = little_endian(static_cast<std::uint16_t>(start + transport));
  return header;
}

Result<Tap> Tap::open(Netlink& netlink, const TapOptions& options) {
  const char* kind = options.tun ? "TUN" : "TAP";
  if (options.name.empty() || options.name.size() >= IFNAMSIZ) {
    return Error{"\"" + options.name + "\" cannot be the name of an interface: 1 to 15 bytes", 78};
  }
  if (options.tun && !options.settings.bridge.empty()) {
    return Error{"interface " + options.name +
                     " is layer 3 (tun) and cannot be in a bridge; use "
                     "\"tap\" or leave \"bridge\" out",
                 78};
  }
  Tap tap;
  tap.tun_ = options.tun;
  tap.fd_.reset(::open(device_path, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tap.fd_) return open_error(errno);

  ifreq request{};
  std::memcpy(request.ifr_name, options.name.data(), options.name.size());
  request.ifr_flags = static_cast<short>((options.tun ? IFF_TUN : IFF_TAP) | IFF_NO_PI |
                                         (options.offload ? IFF_VNET_HDR : 0));
  const auto attach = [&] { return ioctl(tap.fd_.get(), TUNSETIFF, &request) == 0; };
  if (!while_still_held(EBUSY, attach)) {
    return attach_error(errno, options.name, kind);
  }
  tap.name_ = request.ifr_name;
  tap.header_ = options.offload;
  if (options.offload) {
    const int yes = 1;
    const int bytes = sizeof(VirtioHeader);
    if (ioctl(tap.fd_.get(), TUNSETVNETHDRSZ, &bytes) != 0 ||
        ioctl(tap.fd_.get(), TUNSETVNETLE, &yes) != 0) {
      return os_error(errno, "cannot set up the " + std::string(kind) + " interface " + tap.name_);
    }
    tap.offload_ = ask_for_offload(tap.fd_.get());
  }
  tap.set_carrier(false);

  InterfaceSettings settings = options.settings;
  if (options.tun) settings.mac.reset();
  if (auto set_up = set_up_interface(netlink, tap.name_, settings); !set_up) return set_up.error();
  return tap;
}

Tap::Read Tap::read(MutableBytes room, TapFrame& frame, MutableBytes more) {
  const std::size_t skip = tun_ ? ethernet_bytes : 0;
  MWTUN_ASSERT(room.size() > skip);
  const MutableBytes into = room.subspan(skip);
  VirtioHeader header;
  std::array<iovec, 3> pieces{
      {{&header, sizeof header}, {into.data(), into.size()}, {more.data(), more.size()}}};
  const ssize_t got =
      header_ ? ::readv(fd_.get(), pieces.data(), 3) : ::read(fd_.get(), into.data(), into.size());
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return Read::empty;
    ++counters_.read_errors;
    // The interface was deleted under us; the descriptor will not come to life again.
    if (errno == EBADFD || errno == EIO || errno == EFAULT) return Read::gone;
    // Of this frame, which is lost. Nobody may be told again of those behind it.
    return Read::skipped;
  }
  const std::size_t length = static_cast<std::size_t>(got) - (header_ ? sizeof header : 0);
  // The kernel cuts what does not fit without a word.
  if (length >= into.size() + (header_ ? more.size() : 0)) {
    ++counters_.read_too_long;
    return Read::skipped;
  }
  if (tun_) {
    const unsigned version = length == 0 ? 0 : into[0] >> 4;
    if (version != 4 && version != 6) {
      ++counters_.not_ip;
      return Read::skipped;
    }
    std::memcpy(room.data(), synthetic_addresses.data(), synthetic_addresses.size());
    store_be16(room.data() + 12, version == 4 ? 0x0800 : 0x86dd);
  }
  frame.size = length + skip;
  frame.offload = from_virtio(header, skip);
  ++counters_.frames_read;
  if (frame.offload.gso != Offload::Gso::none) ++counters_.super_frames_read;
  counters_.bytes_read += frame.size;
  return Read::frame;
}

bool Tap::discard() {
  // At least the header has to fit.
  std::array<std::uint8_t, sizeof(VirtioHeader) + 1> some;
  return ::read(fd_.get(), some.data(), some.size()) >= 0;
}

Tap::Write Tap::write(Bytes frame, const Offload& offload) {
  MWTUN_ASSERT(offload.plain() || offload_ != TapOffload::none);
  VirtioHeader header = to_virtio(offload, frame, tun_ ? ethernet_bytes : 0);
  if (tun_) {
    const std::uint16_t type = frame.size() > ethernet_bytes ? load_be16(frame.data() + 12) : 0;
    if (type != 0x0800 && type != 0x86dd) {
      ++counters_.not_ip;
      return Write::refused;
    }
    frame = frame.subspan(ethernet_bytes);
  }
  // writev only reads the bytes; iovec has no const of its own.
  const std::array<iovec, 2> pieces{
      {{&header, sizeof header}, {const_cast<std::uint8_t*>(frame.data()), frame.size()}}};
  for (;;) {
    const ssize_t put = header_ ? ::writev(fd_.get(), pieces.data(), 2)
                                : ::write(fd_.get(), frame.data(), frame.size());
    if (put >= 0) break;
    if (errno == EINTR) continue;
    if (errno == EINVAL && offload.gso != Offload::Gso::none) return Write::unfit;
    ++counters_.refused;
    return errno == EBADFD ? Write::gone : Write::refused;
  }
  ++counters_.frames_written;
  if (offload.gso != Offload::Gso::none) ++counters_.super_frames_written;
  counters_.bytes_written += frame.size();
  return Write::written;
}

void Tap::set_carrier(bool on) {
  int value = on ? 1 : 0;
  if (ioctl(fd_.get(), TUNSETCARRIER, &value) == 0) carrier_ = on;
}

}  // namespace mwtun
