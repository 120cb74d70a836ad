#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"

// The small grammars inside the configuration's strings. Pure; each error says what is wrong with
// the text and how to write it, without saying where it stood.
namespace mwtun {

/// Where a peer listens: a name to resolve or an address.
struct HostPort {
  std::string host;  // As written, without brackets.
  std::uint16_t port = 0;
  Address address;  // With the port, when `host` is numeric; else family none.

  bool operator==(const HostPort&) const = default;
};

/// An address with the length of its network's prefix: "10.90.0.2/24".
struct Prefix {
  Address address;  // Port 0.
  std::uint8_t length = 0;

  bool operator==(const Prefix&) const = default;
};

/// A pair of caps in bits a second, as the initiator sees the directions.
struct RatePair {
  std::uint64_t down_bps = 0;
  std::uint64_t up_bps = 0;

  bool operator==(const RatePair&) const = default;
};

std::string to_string(const HostPort& endpoint);
std::string to_string(const Prefix& prefix);

/// "vps.example.net:4649", "192.0.2.1:4649", "[2001:db8::1]:4649".
Result<HostPort> parse_host_port(std::string_view text);
/// A unicast IP address without a port.
Result<Address> parse_host_address(std::string_view text);
/// An address to listen on, with its port; 0.0.0.0 and [::] are every address.
Result<Address> parse_listen_address(std::string_view text);
/// An address for an interface, with its prefix length.
Result<Prefix> parse_prefix(std::string_view text);
/// "300M/50M": two decimal numbers, each with k, M or G (powers of 1000) or none. 10k to 1000G.
Result<RatePair> parse_rate_pair(std::string_view text);
/// "50G": a decimal number of bytes with k, M, G or T (powers of 1000). 1M to 1000T.
Result<std::uint64_t> parse_byte_count(std::string_view text);
/// What the kernel takes as the name of a network interface.
Result<std::string> parse_interface_name(std::string_view text);
/// Names of peers and links: 1 to 32 of A-Z a-z 0-9 . _ + -
Result<std::string> parse_label(std::string_view text);

/// The candidate nearest to `word`, if one is near enough to have been meant; else empty.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> candidates);
/// "; did you mean "x"?" or "".
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);
/// "a, b or c", each in quotes.
std::string quoted_choice(std::span<const std::string_view> words);
/// For messages: in quotes, control characters escaped, cut after 60 bytes.
std::string in_quotes(std::string_view text);

}  // namespace mwtun
