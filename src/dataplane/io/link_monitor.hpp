#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"
#include "dataplane/io/fd.hpp"
#include "dataplane/io/netlink.hpp"

namespace mwtun {

/// Where a link would go out, or why it cannot.
struct WayOut {
  bool usable = false;
  std::string reason;   // Why not; empty when usable.
  std::string warning;  // Usable, but hardly as meant.
  unsigned interface_index = 0;
  std::string interface_name;
  std::uint32_t mtu = 0;  // The interface's.
};

/// The kernel's interfaces and addresses, kept current by netlink's multicast groups, and questions
/// to its routing. Sees the network namespace of the thread that opened it.
class LinkMonitor {
 public:
  static Result<LinkMonitor> open();

  /// Readable when something changed.
  int fd() const { return events_.get(); }
  /// Reads all that waits. True when interfaces, addresses or routes are not what they were.
  bool process();

  /// Is there an interface that is up and has this address or name? An address of family none and
  /// an empty name match anything.
  WayOut interface_for(const Address& bind, const std::string& device) const;
  /// interface_for(), and a route to `remote` for datagrams from there.
  WayOut way_to(const Address& remote, const Address& bind, const std::string& device);

  /// The interface has an address of this family that reaches further than its own wire.
  bool interface_has(const std::string& device, Family family) const;

 private:
  struct Interface {
    std::string name;
    std::uint32_t flags = 0;
    std::uint32_t mtu = 0;
    bool operator==(const Interface&) const = default;
  };
  struct OwnAddress {
    Address ip;
    unsigned interface_index = 0;
    auto operator<=>(const OwnAddress&) const = default;
  };

  explicit LinkMonitor(Netlink questions) : questions_(std::move(questions)) {}
  Result<void> subscribe();
  /// Forgets all and asks for all.
  void resynchronise();
  bool take(const nlmsghdr& message);
  bool take_link(const nlmsghdr& message, bool gone);
  bool take_address(const nlmsghdr& message, bool gone);
  WayOut judge(unsigned index) const;

  Fd events_;
  Netlink questions_;
  std::vector<std::uint8_t> buffer_;
  bool events_lost_ = false;  // The kernel is asked again once events_ is empty.
  std::map<unsigned, Interface> interfaces_;
  std::map<OwnAddress, std::uint32_t> addresses_;  // To IFA_F_* flags.
};

}  // namespace mwtun
