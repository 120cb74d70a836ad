// Sends and counts UDP datagrams as fast as the kernel takes them, one or many a system call.
// iperf3 knows neither sendmmsg nor UDP_SEGMENT, and with 64 bytes measures itself.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t batch = 32;
constexpr std::size_t buffer_bytes = 65'536;
constexpr std::uint64_t end_mark = UINT64_MAX;

struct Options {
  std::string address;
  std::uint16_t port = 5301;
  std::size_t bytes = 1400;
  double seconds = 5;
  double rate = 0;  // Datagrams a second; 0: all that go.
  std::size_t segments = 1;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int open_socket(const Options& options, bool sender) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(options.port);
  if (fd < 0 || inet_pton(AF_INET, options.address.c_str(), &name.sin_addr) != 1) return -1;
  const auto* address = reinterpret_cast<const sockaddr*>(&name);
  const int done = sender ? connect(fd, address, sizeof name) : bind(fd, address, sizeof name);
  if (done != 0) return -1;
  const int on = 1, room = 16 << 20;
  if (!sender) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
  }
  return fd;
}

/// Each datagram begins with its number. The end is told some times over: total, then nothing.
int send(const Options& options) {
  const int fd = open_socket(options, true);
  if (fd < 0) return std::perror("udpload"), 1;
  const std::size_t each = options.bytes * options.segments;
  std::vector<std::uint8_t> memory(each * batch, 0x5a);
  std::array<mmsghdr, batch> headers{};
  std::array<iovec, batch> pieces{};
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(2)> control{};
  auto& part = *reinterpret_cast<cmsghdr*>(control.data());
  part.cmsg_level = SOL_UDP;
  part.cmsg_type = UDP_SEGMENT;
  part.cmsg_len = CMSG_LEN(2);
  const auto segment = static_cast<std::uint16_t>(options.bytes);
  std::memcpy(CMSG_DATA(&part), &segment, 2);
  for (std::size_t i = 0; i < batch; ++i) {
    pieces[i] = {memory.data() + i * each, each};
    headers[i].msg_hdr.msg_iov = &pieces[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    if (options.segments > 1) {
      headers[i].msg_hdr.msg_control = control.data();
      headers[i].msg_hdr.msg_controllen = control.size();
    }
  }
  std::uint64_t sent = 0;
  const auto start = Clock::now();
  while (seconds_since(start) < options.seconds) {
    for (std::size_t i = 0; i < batch * options.segments; ++i) {
      mwtun::store_le(memory.data() + i * options.bytes, sent + i, 8);
    }
    const int done = sendmmsg(fd, headers.data(), batch, 0);
    if (done < 0 && errno != ENOBUFS && errno != ECONNREFUSED) return std::perror("udpload"), 1;
    if (done > 0) sent += static_cast<std::uint64_t>(done) * options.segments;
    if (options.rate <= 0) continue;
    const double ahead = static_cast<double>(sent) / options.rate - seconds_since(start);
    if (ahead > 50e-6) std::this_thread::sleep_for(std::chrono::duration<double>(ahead));
  }
  const double took = seconds_since(start);
  std::array<std::uint8_t, 16> end{};
  mwtun::store_le(end.data(), end_mark, 8);
  mwtun::store_le(end.data() + 8, sent, 8);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    [[maybe_unused]] const ssize_t done = ::send(fd, end.data(), end.size(), 0);
  }
  std::puts(nlohmann::json{{"sent", sent}, {"seconds", took}}.dump().c_str());
  return 0;
}

int receive(const Options& options) {
  const int fd = open_socket(options, false);
  if (fd < 0) return std::perror("udpload"), 1;
  std::puts("listening");
  std::fflush(stdout);
  std::vector<std::uint8_t> memory(batch * buffer_bytes);
  std::array<mmsghdr, batch> headers{};
  std::array<iovec, batch> pieces{};
  std::array<std::array<std::uint8_t, 128>, batch> controls;
  std::uint64_t packets = 0, bytes = 0, expected = 0, out_of_order = 0;
  Clock::time_point first, last;
  while (true) {
    pollfd ready{fd, POLLIN, 0};
    const int wait_ms = static_cast<int>(options.seconds * 1000);
    if (poll(&ready, 1, wait_ms) == 0) return std::fputs("udpload: nothing comes\n", stderr), 1;
    for (std::size_t i = 0; i < batch; ++i) {
      pieces[i] = {memory.data() + i * buffer_bytes, buffer_bytes};
      headers[i].msg_hdr = {};
      headers[i].msg_hdr.msg_iov = &pieces[i];
      headers[i].msg_hdr.msg_iovlen = 1;
      headers[i].msg_hdr.msg_control = controls[i].data();
      headers[i].msg_hdr.msg_controllen = controls[i].size();
    }
    const int got = recvmmsg(fd, headers.data(), batch, MSG_DONTWAIT, nullptr);
    const auto now = Clock::now();
    for (int i = 0; i < got; ++i) {
      const mmsghdr& header = headers[static_cast<std::size_t>(i)];
      const std::size_t size = header.msg_len;
      std::size_t step = size;
      for (cmsghdr* part = CMSG_FIRSTHDR(&header.msg_hdr); part != nullptr;
           part = CMSG_NXTHDR(const_cast<msghdr*>(&header.msg_hdr), part)) {
        int told = 0;
        if (part->cmsg_level != SOL_UDP || part->cmsg_type != UDP_GRO) continue;
        std::memcpy(&told, CMSG_DATA(part), sizeof told);
        step = static_cast<std::size_t>(told);
      }
      const auto* at = static_cast<const std::uint8_t*>(header.msg_hdr.msg_iov->iov_base);
      for (std::size_t from = 0; from + 8 <= size; from += step) {
        const std::uint64_t number = mwtun::load_le64(at + from);
        if (number == end_mark && size - from >= 16) {
          const std::uint64_t sent = mwtun::load_le64(at + from + 8);
          const double took = std::chrono::duration<double>(last - first).count();
          const double per_second = took > 0 ? static_cast<double>(packets) / took : 0;
          const double lost =
              sent > 0 ? 1 - static_cast<double>(packets) / static_cast<double>(sent) : 0;
          std::puts(nlohmann::json{{"packets", packets},
                                   {"sent", sent},
                                   {"lost_share", lost},
                                   {"out_of_order", out_of_order},
                                   {"pps", per_second},
                                   {"bps", took > 0 ? static_cast<double>(bytes) * 8 / took : 0}}
                        .dump()
                        .c_str());
          return 0;
        }
        last = now;
        if (packets++ == 0) first = last;
        bytes += std::min(step, size - from);
        if (number < expected) ++out_of_order;
        expected = number + 1;
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Sends UDP datagrams, or counts them and what is missing"};
  app.require_subcommand(1);
  Options options;
  CLI::App* sender = app.add_subcommand("send", "Sends for some seconds");
  CLI::App* receiver = app.add_subcommand("receive", "Counts one run; JSON at its end");
  for (CLI::App* command : {sender, receiver}) {
    command->add_option("address", options.address)->required();
    command->add_option("--port", options.port);
    command->add_option("--seconds", options.seconds, "how long; receive: how long to wait");
  }
  sender->add_option("--bytes", options.bytes, "of a datagram")->check(CLI::Range(16, 1472));
  sender->add_option("--rate", options.rate, "datagrams a second; 0: all that go");
  sender->add_option("--gso", options.segments, "datagrams a piece (UDP_SEGMENT)")
      ->check(CLI::Range(1, 44));
  CLI11_PARSE(app, argc, argv);
  return sender->parsed() ? send(options) : receive(options);
}
