#include "dataplane/io/udp_socket.hpp"

#include <linux/errqueue.h>
#include <linux/sock_diag.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "dataplane/io/kernel_version.hpp"
#include "dataplane/io/os_error.hpp"
#include "dataplane/io/socket_address.hpp"
#include "dataplane/io/still_held.hpp"

namespace mwtun {

SendError to_send_error(int os_error) {
  switch (os_error) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM: return SendError::would_block;
    case EPERM:
    case EACCES: return SendError::forbidden;
    case EMSGSIZE: return SendError::too_big;
    case ECONNREFUSED: return SendError::refused;
    default:  // ENETUNREACH, EHOSTUNREACH, ENETDOWN, ENODEV, EADDRNOTAVAIL, EINVAL and kin.
      return SendError::unreachable;
  }
}

std::string buffer_warning(const UdpSocket& socket, std::uint32_t wanted_bytes) {
  const std::uint32_t granted = std::min(socket.receive_buffer_bytes(), socket.send_buffer_bytes());
  if (granted >= wanted_bytes) return {};
  return "socket buffers of " + to_string(socket.bound()) + " are " +
         std::to_string(granted / 1024) + " KiB instead of " + std::to_string(wanted_bytes / 1024) +
         " KiB: bursts may be lost; run with CAP_NET_ADMIN or raise net.core.rmem_max and "
         "net.core.wmem_max";
}

template <typename Value>
static bool set_option(int fd, int level, int name, const Value& value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/// The kernel doubles what it is asked for, to account for its own overhead, and tells the double.
static std::uint32_t set_buffer(int fd, int forced, int ordinary, std::uint32_t bytes) {
  const int wanted = static_cast<int>(bytes);
  if (!set_option(fd, SOL_SOCKET, forced, wanted)) set_option(fd, SOL_SOCKET, ordinary, wanted);
  int granted = 0;
  socklen_t size = sizeof granted;
  getsockopt(fd, SOL_SOCKET, ordinary, &granted, &size);
  return static_cast<std::uint32_t>(granted) / 2;
}

static bool set_ip_options(int fd, Family family, bool server) {
  const int on = 1;
  if (family == Family::v6) {
    const int probe = IPV6_PMTUDISC_PROBE;
    return set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, on) &&
           set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, probe) &&
           (server ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, on)
                   : set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, on));
  }
  // PROBE: DF on, and the size is ours to find; the kernel's cache, which a forged ICMP can
  // shrink, is not asked.
  const int probe = IP_PMTUDISC_PROBE;
  return set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, probe) &&
         (server ? set_option(fd, IPPROTO_IP, IP_PKTINFO, on)
                 : set_option(fd, IPPROTO_IP, IP_RECVERR, on));
}

/// UDP_GRO exists since 5.0; before 5.12 it joined what it should not have.
static bool kernel_joins_well() {
  return kernel_version() >= 5'012'000;
}

/// Linux 7.0 to 7.1.4 spoil the last datagram of a message in which all have one size.
static bool kernel_cuts_well(int fd) {
  const unsigned version = kernel_version();
  if (version >= 7'000'000 && version <= 7'001'004) return false;
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &value, &size) == 0;
}

static Error bind_error(int error, const UdpSocketOptions& options) {
  const std::string where = to_string(options.bind);
  const std::string what = "cannot bind a UDP socket to " + where;
  switch (error) {
    case EADDRINUSE:
      return os_error(error, what,
                      "another program (or another mwtun) has this port: "
                      "\"ss -ulnp\" shows which; stop it or change the port");
    case EADDRNOTAVAIL:
      return os_error(error, what, "no interface has this address: \"ip address\" shows them");
    case EACCES: return os_error(error, what, "ports below 1024 need CAP_NET_BIND_SERVICE");
    default: return os_error(error, what);
  }
}

Result<UdpSocket> UdpSocket::open(const UdpSocketOptions& options) {
  const Address& bind_to = options.bind;
  MWTUN_ASSERT(bind_to.known());
  UdpSocket socket;
  socket.fd_.reset(
      ::socket(af_of(bind_to.family), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP));
  if (!socket.fd_) {
    const int error = errno;
    if (error == EAFNOSUPPORT) {
      return os_error(error, "cannot open a UDP socket for " + to_string(bind_to),
                      "this kernel has no IPv6; use IPv4 addresses");
    }
    return os_error(error, "cannot open a UDP socket");
  }
  const int fd = socket.fd_.get();
  if (!set_ip_options(fd, bind_to.family, options.server)) {
    return os_error(errno, "cannot set the options of a UDP socket");
  }
  const int on = 1;
  set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, on);  // Without: the time of reading is used.
  socket.gso_ = options.offload && kernel_cuts_well(fd);
  socket.gro_ = options.offload && kernel_joins_well() && set_option(fd, SOL_UDP, UDP_GRO, on);
  socket.receive_buffer_bytes_ =
      set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_buffer_bytes);
  socket.send_buffer_bytes_ = set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.send_buffer_bytes);
  if (!options.device.empty() && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options.device.data(),
                                            static_cast<socklen_t>(options.device.size())) != 0) {
    const int error = errno;
    const char* mend = error == ENODEV  ? "there is no such interface now"
                       : error == EPERM ? "run as root or with CAP_NET_RAW, or leave \"device\" out"
                                        : "";
    return os_error(error, "cannot bind a UDP socket to interface " + options.device, mend);
  }
  if (options.join_port && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, on)) {
    return os_error(errno, "cannot share the port of " + to_string(bind_to));
  }
  sockaddr_storage name{};
  const socklen_t size = to_sockaddr(bind_to, name);
  const auto take = [&] { return bind(fd, reinterpret_cast<const sockaddr*>(&name), size) == 0; };
  // A link's port is any; a server's is one that its predecessor had.
  if (!(options.server ? while_still_held(EADDRINUSE, take) : take())) {
    return bind_error(errno, options);
  }
  socklen_t bound_size = sizeof name;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &bound_size) != 0) {
    return os_error(errno, "cannot read the address of a UDP socket");
  }
  socket.bound_ = from_sockaddr(name);
  if (!socket.bound_.any()) socket.local_ = socket.bound_;
  socket.device_ = options.device;
  socket.server_ = options.server;
  socket.choose_source_ = options.server && socket.bound_.any();
  return socket;
}

Result<void> UdpSocket::share_port() {
  const int on = 1;
  if (set_option(fd_.get(), SOL_SOCKET, SO_REUSEPORT, on)) return {};
  return os_error(errno, "cannot share the port of " + to_string(bound_));
}

ReceiveBatch::ReceiveBatch() : bytes_(new std::uint8_t[receive_batch_max * buffer_bytes]) {
  for (std::size_t i = 0; i < receive_batch_max; ++i) {
    pieces_[i] = {bytes_.get() + i * buffer_bytes, buffer_bytes};
    headers_[i].msg_hdr.msg_iov = &pieces_[i];
    headers_[i].msg_hdr.msg_iovlen = 1;
    headers_[i].msg_hdr.msg_name = &names_[i];
    headers_[i].msg_hdr.msg_control = control_.data() + i * control_bytes;
  }
  datagrams_.reserve(receive_batch_max * send_batch_max);
}

UdpSocket::Receive UdpSocket::receive(ReceiveBatch& into) {
  into.count_ = 0;
  into.datagrams_.clear();
  for (mmsghdr& header : into.headers_) {
    header.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    header.msg_hdr.msg_controllen = ReceiveBatch::control_bytes;
  }
  ++counters_.receive_calls;
  const int got =
      recvmmsg(fd_.get(), into.headers_.data(), receive_batch_max, MSG_DONTWAIT, nullptr);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return Receive::empty;
    ++counters_.receive_errors;
    return Receive::error;
  }
  into.count_ = static_cast<std::size_t>(got);
  for (std::size_t i = 0; i < into.count_; ++i) {
    const Bytes payload{into.bytes_.get() + i * ReceiveBatch::buffer_bytes,
                        into.headers_[i].msg_len};
    describe(into.headers_[i].msg_hdr, payload, into.datagrams_);
  }
  return got == 0 ? Receive::empty : Receive::some;
}

void UdpSocket::describe(const msghdr& header, Bytes payload, std::vector<ReceivedDatagram>& into) {
  ReceivedDatagram datagram;
  datagram.local = local_;
  datagram.remote = from_sockaddr(*static_cast<const sockaddr_storage*>(header.msg_name));
  Bytes left = payload;
  std::size_t segment = left.size();
  // CMSG_NXTHDR wants a pointer to non-const; nothing is written.
  msghdr* walk = const_cast<msghdr*>(&header);
  for (cmsghdr* part = CMSG_FIRSTHDR(walk); part != nullptr; part = CMSG_NXTHDR(walk, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
      timespec time;
      std::memcpy(&time, CMSG_DATA(part), sizeof time);
      datagram.kernel_ns = static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
                           static_cast<std::uint64_t>(time.tv_nsec);
    } else if (part->cmsg_level == SOL_UDP && part->cmsg_type == UDP_GRO) {
      int bytes = 0;  // An int, whatever the manual says.
      std::memcpy(&bytes, CMSG_DATA(part), sizeof bytes);
      if (bytes > 0) segment = std::min(left.size(), static_cast<std::size_t>(bytes));
    } else if (choose_source_ && part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      datagram.local = bound_;
      // Not ipi_addr, the header's destination, which for a broadcast is no address to answer from.
      std::memcpy(datagram.local.ip.data(), &info.ipi_spec_dst, 4);
    } else if (choose_source_ && part->cmsg_level == IPPROTO_IPV6 &&
               part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      datagram.local = bound_;
      std::memcpy(datagram.local.ip.data(), &info.ipi6_addr, 16);
      if (link_local(datagram.local)) datagram.local.scope = info.ipi6_ifindex;
    }
  }
  counters_.bytes_in += left.size();
  if (segment < left.size()) {
    counters_.datagrams_joined += (left.size() + segment - 1) / segment;
  }
  do {
    ReceivedDatagram& next = into.emplace_back(datagram);
    next.bytes = left.first(std::min(segment, left.size()));
    left = left.subspan(next.bytes.size());
    next.truncated = next.bytes.size() > datagram_bytes_max ||
                     (left.empty() && (header.msg_flags & MSG_TRUNC) != 0);
    ++counters_.datagrams_in;
    if (next.truncated) ++counters_.truncated;
  } while (!left.empty());
}

/// The kernel does not cut this on its way out: a device without checksums (EIO), or a size over
/// the path's MTU, which is EINVAL or EMSGSIZE by its version.
static bool may_blame_gso(int error) {
  return error == EIO || error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP;
}

void UdpSocket::add_messages(std::span<const SendItem> items, std::size_t begin, std::size_t single,
                             SendMessages& into) const {
  into.add(items, begin, gso_ ? single : items.size(),
           choose_source_ ? bound_.family : Family::none);
}

void UdpSocket::count_sent(std::span<const SendItem> message) {
  counters_.datagrams_out += message.size();
  if (message.size() > 1) counters_.datagrams_cut += message.size();
  for (const SendItem& item : message) counters_.bytes_out += item.bytes.size();
}

SendOutcome UdpSocket::send(std::span<const SendItem> items, std::span<SendFailure> failures) {
  MWTUN_ASSERT(items.size() <= send_batch_max && failures.size() >= items.size());
  SendMessages messages;
  // Makes messages of all items from `begin` on; those before `single` go one by one.
  const auto prepare = [&](std::size_t begin, std::size_t single) {
    messages.clear();
    add_messages(items, begin, single, messages);
  };
  prepare(0, 0);

  SendOutcome outcome;
  bool retried = false;
  std::size_t doubted = items.size();  // The first item of a message that was refused as a whole.
  for (std::size_t next = 0; next < messages.count();) {
    ++counters_.send_calls;
    const int sent = sendmmsg(fd_.get(), messages.headers() + next,
                              static_cast<unsigned>(messages.count() - next), MSG_DONTWAIT);
    if (sent > 0) {
      for (const std::size_t end = next + static_cast<std::size_t>(sent); next < end; ++next) {
        const SendMessages::Range& message = messages[next];
        count_sent(items.subspan(message.first, message.count));
        // By itself it goes, so the size was not what the kernel minded.
        if (message.first == doubted) gso_ = false;
      }
      retried = false;
      continue;
    }
    const int error = sent == 0 ? EAGAIN : errno;
    if (error == EINTR) continue;
    // An ICMP error waits on the socket and is told to whichever datagram comes next. That one is
    // not to blame: once the queue is empty, it gets a second try. The datagram's own error stays.
    if (!server_ && !retried && error != EAGAIN && drain_error_queue()) {
      retried = true;
      continue;
    }
    retried = false;
    const SendMessages::Range refused = messages[next];
    if (refused.count > 1 && may_blame_gso(error)) {
      ++counters_.gso_refused;
      doubted = refused.first;
      prepare(refused.first, refused.first + refused.count);
      next = 0;
      continue;
    }
    const SendError reason = to_send_error(error);
    if (reason == SendError::would_block) {
      outcome.buffer_full = error == EAGAIN;
      outcome.queue_full = error != EAGAIN;
      counters_.send_would_block += items.size() - refused.first;
      for (std::size_t i = refused.first; i < items.size(); ++i) {
        failures[outcome.failures++] = {i, reason};
      }
      break;
    }
    counters_.send_failed += refused.count;
    for (std::size_t i = 0; i < refused.count; ++i) {
      failures[outcome.failures++] = {refused.first + i, reason};
    }
    ++next;
  }
  return outcome;
}

std::optional<IcmpError> UdpSocket::take_icmp_error() {
  drain_error_queue();
  return std::exchange(icmp_error_, std::nullopt);
}

/// True when an ICMP error was in it.
bool UdpSocket::drain_error_queue() {
  bool found = false;
  // A bound, since more may come in while we read.
  for (int i = 0; i < 64; ++i) {
    std::uint8_t payload[1];
    alignas(cmsghdr) std::uint8_t control[256];
    sockaddr_storage destination{};
    iovec piece{payload, sizeof payload};
    msghdr header{};
    header.msg_name = &destination;
    header.msg_namelen = sizeof destination;
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    if (recvmsg(fd_.get(), &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
         part = CMSG_NXTHDR(&header, part)) {
      const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR;
      const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR;
      if (!v4 && !v6) continue;
      sock_extended_err error;
      std::memcpy(&error, CMSG_DATA(part), sizeof error);
      if (error.ee_origin != SO_EE_ORIGIN_ICMP && error.ee_origin != SO_EE_ORIGIN_ICMP6) continue;
      ++counters_.icmp_errors;
      IcmpError icmp;
      icmp.os_error = static_cast<int>(error.ee_errno);
      icmp.error = to_send_error(icmp.os_error);
      icmp.remote = from_sockaddr(destination);
      const std::size_t size = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (part->cmsg_len >= CMSG_LEN(sizeof error + size)) {
        sockaddr_storage reporter{};
        std::memcpy(&reporter, CMSG_DATA(part) + sizeof error, size);
        icmp.reporter = from_sockaddr(reporter).with_port(0);
      }
      icmp_error_ = icmp;
      found = true;
    }
  }
  // The socket may hold a pending error without a queue entry; reading it clears it.
  int pending = 0;
  socklen_t size = sizeof pending;
  getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &pending, &size);
  return found;
}

std::uint64_t UdpSocket::receive_overruns() const {
  std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
  socklen_t size = sizeof memory;
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) return 0;
  return memory[SK_MEMINFO_DROPS];
}

}  // namespace mwtun
