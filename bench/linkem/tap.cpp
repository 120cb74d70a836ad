#include "linkem/tap.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

namespace mwtun::linkem {
namespace {

/// Frames that may wait for us in the kernel: 15 ms of 64-byte frames at 140 Mbit/s, 160 ms of full
/// ones at 300 Mbit/s. The line's own queue is the one that is meant to fill.
constexpr int tap_queue_frames = 4096;

Error refused(const std::string& what, int error) {
  const bool permission = error == EPERM || error == EACCES;
  return Error{
      fmt::format("{}: {}{}", what, std::strerror(error),
                  permission ? "; linkem needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN)" : ""),
      permission ? 77 : 71};
}

/// Enters a named namespace and comes back at the end of the scope.
class NetnsVisit {
 public:
  Result<void> enter(const std::string& name) {
    if (name.empty()) return {};
    home_ = Descriptor(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    const std::string path = "/run/netns/" + name;
    const Descriptor away(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!home_.open() || !away.open()) {
      return refused(fmt::format("cannot open network namespace \"{}\" ({}); make it with "
                                 "`ip netns add {}`",
                                 name, path, name),
                     errno);
    }
    if (setns(away.fd(), CLONE_NEWNET) != 0) {
      return refused(fmt::format("cannot enter network namespace \"{}\"", name), errno);
    }
    away_ = true;
    return {};
  }
  ~NetnsVisit() {
    // Failing to come home would make every later TAP land in the wrong place.
    if (away_) MWTUN_ASSERT(setns(home_.fd(), CLONE_NEWNET) == 0);
  }

 private:
  Descriptor home_;
  bool away_ = false;
};

}  // namespace

Result<Tap> Tap::create(const EndName& end) {
  NetnsVisit visit;
  const Result<void> entered = visit.enter(end.netns);
  if (!entered.ok()) return entered.error();

  Tap tap;
  tap.interface_ = end.interface;
  tap.device_ = Descriptor(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tap.device_.open()) return refused("cannot open /dev/net/tun (`modprobe tun`?)", errno);
  ifreq request{};
  end.interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
  if (ioctl(tap.fd(), TUNSETIFF, &request) != 0) {
    const int error = errno;
    const char* const hint = error == EBUSY || error == EEXIST ? " (the name is taken)" : "";
    return refused(fmt::format("cannot make TAP \"{}\"{}{}", end.interface,
                               end.netns.empty() ? "" : " in namespace " + end.netns, hint),
                   error);
  }
  if (ioctl(tap.fd(), TUNSETOFFLOAD, 0) != 0) {
    return refused(fmt::format("cannot switch off offloads of \"{}\"", end.interface), errno);
  }
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  request.ifr_qlen = tap_queue_frames;
  if (!socket.open() || ioctl(socket.fd(), SIOCSIFTXQLEN, &request) != 0) {
    return refused(fmt::format("cannot set the queue length of \"{}\"", end.interface), errno);
  }
  tap.proc_net_dev_ = Descriptor(open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC));
  return tap;
}

std::size_t Tap::read(MutableBytes buffer) const {
  const ssize_t got = ::read(fd(), buffer.data(), buffer.size());
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

bool Tap::write(Bytes frame) const {
  return ::write(fd(), frame.data(), frame.size()) == static_cast<ssize_t>(frame.size());
}

Result<void> Tap::set_carrier(bool on) const {
  int carrier = on ? 1 : 0;
  if (ioctl(fd(), TUNSETCARRIER, &carrier) != 0) {
    return refused(fmt::format("cannot set the carrier of \"{}\"", interface_), errno);
  }
  return {};
}

std::uint64_t Tap::kernel_drops() const {
  std::array<char, 16'384> text;
  const ssize_t got = pread(proc_net_dev_.fd(), text.data(), text.size(), 0);
  std::string_view rest(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::size_t at = rest.find(" " + interface_ + ":");
  if (at == std::string_view::npos) return 0;
  rest.remove_prefix(rest.find(':', at) + 1);
  // Eight columns of receiving, then bytes, packets, errs and drop of transmitting.
  constexpr int column = 12;
  std::uint64_t value = 0;
  for (int i = 0; i < column; ++i) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{}) return 0;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  }
  return value;
}

}  // namespace mwtun::linkem
