#include "dataplane/io/tap.hpp"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "dataplane/io/os_error.hpp"

namespace mwtun {

static constexpr const char* device_path = "/dev/net/tun";
static constexpr std::size_t ethernet_bytes = 14;
/// Fixed addresses of the synthetic header: locally administered, seen by nobody but our own core.
static constexpr std::array<std::uint8_t, 12> synthetic_addresses = {0x02, 'm', 'w', 't', 'u', 2,
                                                                     0x02, 'm', 'w', 't', 'u', 1};

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
    case EACCES:
      return os_error(error, what, "run as root or with CAP_NET_ADMIN");
    default:
      return os_error(error, what);
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
    default:
      return os_error(error, what);
  }
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
  request.ifr_flags = static_cast<short>((options.tun ? IFF_TUN : IFF_TAP) | IFF_NO_PI);
  if (ioctl(tap.fd_.get(), TUNSETIFF, &request) != 0) {
    return attach_error(errno, options.name, kind);
  }
  tap.name_ = request.ifr_name;
  tap.set_carrier(false);

  InterfaceSettings settings = options.settings;
  if (options.tun) settings.mac.reset();
  if (auto set_up = set_up_interface(netlink, tap.name_, settings); !set_up) return set_up.error();
  return tap;
}

Tap::Read Tap::read(MutableBytes room, std::size_t& size) {
  const std::size_t skip = tun_ ? ethernet_bytes : 0;
  MWTUN_ASSERT(room.size() > skip);
  const MutableBytes into = room.subspan(skip);
  const ssize_t got = ::read(fd_.get(), into.data(), into.size());
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return Read::empty;
    ++counters_.read_errors;
    // The interface was deleted under us; the descriptor will not come to life again.
    return errno == EBADFD || errno == EIO || errno == EFAULT ? Read::gone : Read::empty;
  }
  const std::size_t length = static_cast<std::size_t>(got);
  // The kernel cuts what does not fit without a word.
  if (length >= into.size()) {
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
  size = length + skip;
  ++counters_.frames_read;
  counters_.bytes_read += size;
  return Read::frame;
}

bool Tap::discard() {
  std::uint8_t byte;
  return ::read(fd_.get(), &byte, 1) >= 0;
}

Tap::Write Tap::write(Bytes frame) {
  if (tun_) {
    const std::uint16_t type = frame.size() > ethernet_bytes ? load_be16(frame.data() + 12) : 0;
    if (type != 0x0800 && type != 0x86dd) {
      ++counters_.not_ip;
      return Write::refused;
    }
    frame = frame.subspan(ethernet_bytes);
  }
  for (;;) {
    const ssize_t put = ::write(fd_.get(), frame.data(), frame.size());
    if (put >= 0) break;
    if (errno == EINTR) continue;
    ++counters_.refused;
    return errno == EBADFD ? Write::gone : Write::refused;
  }
  ++counters_.frames_written;
  counters_.bytes_written += frame.size();
  return Write::written;
}

void Tap::set_carrier(bool on) {
  int value = on ? 1 : 0;
  if (ioctl(fd_.get(), TUNSETCARRIER, &value) == 0) carrier_ = on;
}

}  // namespace mwtun
