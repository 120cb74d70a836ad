#include "dataplane/io/netlink.hpp"

#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/handlers.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include <cerrno>

#include "dataplane/io/os_error.hpp"
#include "dataplane/io/socket_address.hpp"

namespace mwtun {

void NetlinkMessage::Free::operator()(nl_msg* message) const {
  nlmsg_free(message);
}
void Netlink::Free::operator()(nl_sock* socket) const {
  nl_socket_free(socket);
}

NetlinkMessage::NetlinkMessage(std::uint16_t type, int flags)
    : message_(nlmsg_alloc_simple(type, flags)) {
  MWTUN_ASSERT(message_ != nullptr);
}

NetlinkMessage& NetlinkMessage::append(const void* bytes, std::size_t size) {
  // nlmsg_append() copies; its signature has no const.
  MWTUN_ASSERT(nlmsg_append(message_.get(), const_cast<void*>(bytes), size, NLMSG_ALIGNTO) == 0);
  return *this;
}

NetlinkMessage& NetlinkMessage::put(int attribute, Bytes value) {
  MWTUN_ASSERT(nla_put(message_.get(), attribute, static_cast<int>(value.size()), value.data()) ==
               0);
  return *this;
}
NetlinkMessage& NetlinkMessage::put_u8(int attribute, std::uint8_t value) {
  return put(attribute, {&value, 1});
}
NetlinkMessage& NetlinkMessage::put_u32(int attribute, std::uint32_t value) {
  MWTUN_ASSERT(nla_put_u32(message_.get(), attribute, value) == 0);
  return *this;
}
NetlinkMessage& NetlinkMessage::put_text(int attribute, const std::string& value) {
  MWTUN_ASSERT(nla_put_string(message_.get(), attribute, value.c_str()) == 0);
  return *this;
}
NetlinkMessage& NetlinkMessage::put_ip(int attribute, const Address& value) {
  return put(attribute, Bytes(value.ip).first(ip_bytes(value.family)));
}

NetlinkMessage& NetlinkMessage::begin(int attribute) {
  MWTUN_ASSERT(depth_ < std::size(nests_));
  nests_[depth_] = nla_nest_start(message_.get(), attribute);
  MWTUN_ASSERT(nests_[depth_] != nullptr);
  ++depth_;
  return *this;
}
NetlinkMessage& NetlinkMessage::end() {
  MWTUN_ASSERT(depth_ > 0);
  --depth_;
  nla_nest_end(message_.get(), static_cast<nlattr*>(nests_[depth_]));
  return *this;
}

Result<Netlink> Netlink::open() {
  Netlink netlink;
  netlink.socket_.reset(nl_socket_alloc());
  if (netlink.socket_ == nullptr || nl_connect(netlink.socket_.get(), NETLINK_ROUTE) < 0) {
    return os_error(errno, "cannot open a netlink socket");
  }
  nl_socket_set_buffer_size(netlink.socket_.get(), 1 << 20, 0);
  return netlink;
}

namespace {

struct Exchange {
  const Netlink::OnMessage& on_message;
  int error = 0;
  bool done = false;
};

int on_valid(nl_msg* message, void* argument) {
  Exchange& exchange = *static_cast<Exchange*>(argument);
  if (exchange.on_message) exchange.on_message(*nlmsg_hdr(message));
  return NL_OK;
}
int on_end(nl_msg*, void* argument) {
  static_cast<Exchange*>(argument)->done = true;
  return NL_STOP;
}
int on_error(sockaddr_nl*, nlmsgerr* error, void* argument) {
  Exchange& exchange = *static_cast<Exchange*>(argument);
  exchange.error = -error->error;
  exchange.done = true;
  return NL_STOP;
}

}  // namespace

int Netlink::request(const NetlinkMessage& message, const OnMessage& on_message) {
  // A dump that changes while it is read is begun anew; a table that never rests is taken as it is.
  for (int attempt = 0;; ++attempt) {
    Exchange exchange{on_message};
    const std::unique_ptr<nl_cb, decltype(&nl_cb_put)> callbacks(nl_cb_alloc(NL_CB_DEFAULT),
                                                                 &nl_cb_put);
    MWTUN_ASSERT(callbacks != nullptr);
    nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, on_valid, &exchange);
    nl_cb_set(callbacks.get(), NL_CB_FINISH, NL_CB_CUSTOM, on_end, &exchange);
    nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, on_end, &exchange);
    nl_cb_err(callbacks.get(), NL_CB_CUSTOM, on_error, &exchange);

    nlmsg_hdr(message.get())->nlmsg_seq = NL_AUTO_SEQ;
    if (nl_send_auto(socket_.get(), message.get()) < 0) return errno != 0 ? errno : EIO;
    bool interrupted = false;
    while (!exchange.done) {
      const int status = nl_recvmsgs(socket_.get(), callbacks.get());
      if (status == -NLE_DUMP_INTR) {
        interrupted = exchange.done = true;
      } else if (status < 0 && !exchange.done) {
        return EIO;
      }
    }
    if (!interrupted || attempt == 3) return exchange.error;
  }
}

}  // namespace mwtun
