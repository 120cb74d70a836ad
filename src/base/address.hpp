#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace mwtun {

enum class Family : std::uint8_t { none, v4, v6 };

/// An IP address with a UDP port, as a plain value: network byte order in `ip` (4 or 16 bytes
/// used), host byte order in `port`; `scope` is the interface of a v6 link-local address, else 0.
struct Address {
  Family family = Family::none;
  std::array<std::uint8_t, 16> ip{};
  std::uint16_t port = 0;
  std::uint32_t scope = 0;

  auto operator<=>(const Address&) const = default;
  bool known() const { return family != Family::none; }
  /// True for 0.0.0.0 and [::].
  bool any() const;
  /// Bytes that IP and UDP headers add before our datagram.
  std::uint32_t header_bytes() const { return family == Family::v6 ? 48 : 28; }
  Address with_port(std::uint16_t p) const {
    Address copy = *this;
    copy.port = p;
    return copy;
  }
};

/// "192.0.2.1:4649" or "[2001:db8::1]:4649"; without the port where it is 0.
std::string to_string(const Address& address);

/// Numeric only, "192.0.2.1", "192.0.2.1:4649", "2001:db8::1", "[2001:db8::1]:4649"; family none
/// when it is anything else. Never asks a resolver.
Address parse_address(std::string_view text);

/// The two ends of a link as one datagram saw them. `local` may be none: let the kernel choose.
struct Path {
  SocketId socket{};
  Address local;
  Address remote;

  auto operator<=>(const Path&) const = default;
};

}  // namespace mwtun
