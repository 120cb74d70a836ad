#include "base/address.hpp"

#include <arpa/inet.h>

#include <charconv>

namespace mwtun {

bool Address::any() const {
  for (const std::uint8_t byte : ip) {
    if (byte != 0) return false;
  }
  return known();
}

std::string to_string(const Address& address) {
  char text[INET6_ADDRSTRLEN] = "none";
  if (address.family == Family::v4) inet_ntop(AF_INET, address.ip.data(), text, sizeof text);
  if (address.family == Family::v6) inet_ntop(AF_INET6, address.ip.data(), text, sizeof text);
  if (address.port == 0) return text;
  const std::string port = std::to_string(address.port);
  if (address.family == Family::v6) return "[" + std::string(text) + "]:" + port;
  return std::string(text) + ":" + port;
}

static Address parse_ip(std::string_view text) {
  Address address;
  if (text.find('\0') != std::string_view::npos) return address;  // inet_pton would stop there.
  const std::string copy(text);
  if (inet_pton(AF_INET, copy.c_str(), address.ip.data()) == 1) {
    address.family = Family::v4;
  } else if (inet_pton(AF_INET6, copy.c_str(), address.ip.data()) == 1) {
    address.family = Family::v6;
  } else {
    address.ip = {};
  }
  return address;
}

Address parse_address(std::string_view text) {
  if (const Address bare = parse_ip(text); bare.known()) return bare;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  Address address = parse_ip(host);
  if (!address.known() || bracketed != (address.family == Family::v6)) return {};
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc{} || end != digits.data() + digits.size() || address.port == 0) return {};
  return address;
}

}  // namespace mwtun
