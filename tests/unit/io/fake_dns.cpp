#include "fake_dns.hpp"

#include <array>
#include <catch2/catch.hpp>

#include "dataplane/io/socket_address.hpp"

namespace mwtun::testing {

static UdpSocket open_at(const char* where) {
  UdpSocketOptions options;
  options.bind = parse_address(where);
  auto socket = UdpSocket::open(options);
  if (!socket.ok()) FAIL(socket.error().message);
  return socket.take();
}

FakeDns::FakeDns(const char* where) : socket_(open_at(where)) {}

void FakeDns::serve() {
  while (socket_.receive(batch_) == UdpSocket::Receive::some) {
    for (const ReceivedDatagram& datagram : batch_.datagrams()) {
      askers.push_back(datagram.remote);
      if (silent) continue;
      const auto reply = answer(datagram.bytes);
      std::array<SendFailure, 1> failures;
      const SendItem item{{}, datagram.remote, reply};
      socket_.send({&item, 1}, failures);
    }
  }
}

std::vector<std::uint8_t> FakeDns::answer(Bytes question) const {
  std::string name;
  std::size_t at = 12;
  while (at < question.size() && question[at] != 0) {
    if (!name.empty()) name += '.';
    name.append(question.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                question.begin() + static_cast<std::ptrdiff_t>(at) + 1 + question[at]);
    at += 1u + question[at];
  }
  const std::uint16_t type = load_be16(&question[at + 1]);
  const auto found = names.find(name);
  std::vector<std::uint8_t> reply(question.begin(),
                                  question.begin() + static_cast<std::ptrdiff_t>(at) + 5);
  std::uint16_t count = 0;
  if (found != names.end()) {
    for (const std::string& text : found->second.ips) {
      const Address ip = parse_address(text);
      if (type != (ip.family == Family::v4 ? 1 : 28)) continue;
      std::array<std::uint8_t, 12> record{0xc0, 12};
      store_be16(&record[2], type);
      store_be16(&record[4], 1);
      store_be32(&record[6], found->second.ttl);
      store_be16(&record[10], static_cast<std::uint16_t>(ip_bytes(ip.family)));
      reply.insert(reply.end(), record.begin(), record.end());
      reply.insert(reply.end(), ip.ip.begin(),
                   ip.ip.begin() + static_cast<std::ptrdiff_t>(ip_bytes(ip.family)));
      ++count;
    }
  }
  store_be16(&reply[2], found == names.end() ? 0x8183 : 0x8180);
  store_be16(&reply[4], 1);
  store_be16(&reply[6], count);
  store_be32(&reply[8], 0);
  return reply;
}

}  // namespace mwtun::testing
