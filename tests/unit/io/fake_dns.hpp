#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "dataplane/io/udp_socket.hpp"

namespace mwtun::testing {

/// A DNS server on UDP, for A and AAAA. It answers when it is told to.
class FakeDns {
 public:
  explicit FakeDns(const char* where = "127.0.0.1");

  struct Record {
    std::vector<std::string> ips;
    std::uint32_t ttl = 300;
  };
  std::map<std::string, Record> names;  // What is not here does not exist.
  bool silent = false;                  // Questions are read and forgotten.

  /// Answers what has come in.
  void serve();
  std::string address() const { return to_string(socket_.bound()); }
  int fd() const { return socket_.fd(); }
  std::size_t questions() const { return askers.size(); }
  std::vector<Address> askers;  // Where each question came from.

 private:
  std::vector<std::uint8_t> answer(Bytes question) const;
  UdpSocket socket_;
  ReceiveBatch batch_;
};

}  // namespace mwtun::testing
