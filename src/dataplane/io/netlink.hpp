#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"

struct nl_msg;
struct nl_sock;
struct nlmsghdr;

namespace mwtun {

/// A message to rtnetlink, attribute by attribute.
class NetlinkMessage {
 public:
  /// @param type   RTM_*
  /// @param flags  NLM_F_*, besides REQUEST and ACK
  NetlinkMessage(std::uint16_t type, int flags);

  /// The fixed part: ifinfomsg, rtmsg and kin. First.
  template <typename Header>
  NetlinkMessage& header(const Header& value) {
    return append(&value, sizeof value);
  }
  /// Fixed part and attributes together, as another message had them.
  NetlinkMessage& raw(Bytes body) { return append(body.data(), body.size()); }
  NetlinkMessage& put(int attribute, Bytes value);
  NetlinkMessage& put_u8(int attribute, std::uint8_t value);
  NetlinkMessage& put_u32(int attribute, std::uint32_t value);
  /// With the final zero byte.
  NetlinkMessage& put_text(int attribute, const std::string& value);
  /// The 4 or 16 bytes of the IP address.
  NetlinkMessage& put_ip(int attribute, const Address& value);
  /// What is put between these two calls is inside `attribute`.
  NetlinkMessage& begin(int attribute);
  NetlinkMessage& end();

  nl_msg* get() const { return message_.get(); }

 private:
  struct Free {
    void operator()(nl_msg* message) const;
  };
  NetlinkMessage& append(const void* bytes, std::size_t size);
  std::unique_ptr<nl_msg, Free> message_;
  void* nests_[4] = {};
  std::size_t depth_ = 0;
};

/// A question-and-answer socket to the kernel's routing tables, in the network namespace of the
/// thread that opened it. The kernel answers at once, so calls wait.
class Netlink {
 public:
  static Result<Netlink> open();

  using OnMessage = std::function<void(const nlmsghdr&)>;
  /// Sends and waits for the acknowledgement or, with NLM_F_DUMP, for the end of the dump; messages
  /// in between go to `on_message`. 0, or an errno.
  int request(const NetlinkMessage& message, const OnMessage& on_message = {});

 private:
  struct Free {
    void operator()(nl_sock* socket) const;
  };
  std::unique_ptr<nl_sock, Free> socket_;
};

}  // namespace mwtun
