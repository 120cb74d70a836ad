#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/time.hpp"
#include "dataplane/io/fd.hpp"

struct ares_addrinfo;
struct ares_channeldata;

namespace mwtun {

struct Resolution {
  std::vector<Address> addresses;  // With the port asked for, in the order to try; empty: failed.
  Duration ttl{};                  // How long they are good for, at least ttl_min.
  std::string error;               // Why it failed.
};

/// Turns one name at a time into addresses, without waiting and without a thread: DNS and the hosts
/// file through c-ares. Numbers are answered at once. One a link, since the questions leave from
/// the link's own address and interface, so that a name can be found whichever line is alive.
class Resolver {
 public:
  static constexpr Duration ttl_min = seconds(30);
  static constexpr Duration ttl_max = seconds(3600);

  struct Options {
    Address local;        // Ask from this address; family none: any.
    std::string device;   // Ask through this interface; empty: any.
    std::string servers;  // "192.0.2.53:53,..." instead of those in resolv.conf.
  };

  Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();

  /// Begins anew, dropping what is under way. resolv.conf and hosts are read again, since they
  /// change with the lines. `want` none: both families.
  void start(const std::string& host, std::uint16_t port, Family want, const Options& options);
  bool busy() const { return busy_; }
  /// Once, when the name is found or given up.
  std::optional<Resolution> take();

  /// Readable or writable when process() has something to do; an epoll descriptor.
  int fd() const { return epoll_.get(); }
  void process();
  /// When process() is due at the latest; none when nothing waits.
  std::optional<Duration> timeout() const;

 private:
  static void on_socket(void* self, int socket, int readable, int writable);
  static void on_answer(void* self, int status, int timeouts, ares_addrinfo* answer);
  void stop();
  void finish(Resolution resolution);

  struct Destroy {
    void operator()(ares_channeldata* channel) const;
  };
  Fd epoll_;
  std::unique_ptr<ares_channeldata, Destroy> channel_;
  std::string host_;
  std::uint16_t port_ = 0;
  bool busy_ = false;
  bool stopping_ = false;
  std::optional<Resolution> resolution_;
};

}  // namespace mwtun
