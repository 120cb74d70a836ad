#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"
#include "dataplane/io/netlink.hpp"

namespace mwtun {

using MacAddress = std::array<std::uint8_t, 6>;

/// An address of an interface with the length of its network's prefix.
struct InterfaceAddress {
  Address ip;
  std::uint8_t prefix_length = 0;
};
std::string to_string(const InterfaceAddress& address);

/// What an interface of ours shall look like.
struct InterfaceSettings {
  std::uint32_t mtu = 1500;
  std::optional<MacAddress> mac;
  std::vector<InterfaceAddress> addresses;
  std::string bridge;  // Put into this bridge; empty: none.
};

/// Gives the interface MTU, MAC, bridge and addresses and takes it up, in this order. What is
/// already so stays so.
Result<void> set_up_interface(Netlink& netlink, const std::string& name,
                              const InterfaceSettings& settings);

/// 0: there is no such interface.
unsigned interface_index(const std::string& name);

/// A locally administered unicast MAC that is the same after every start and different for every
/// (identity, name), so that switches and DHCP servers know the interface again.
MacAddress stable_mac(Bytes identity, std::string_view name);

}  // namespace mwtun
