#pragma once
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"

namespace mwtun {

/// Where the headers of a TCP or UDP frame stand, in bytes from its beginning.
struct InnerHeaders {
  bool v6 = false;
  bool tcp = false;  // Else UDP.
  std::uint16_t ip_at = 0;
  std::uint16_t transport_at = 0;
  std::uint16_t payload_at = 0;

  /// Of the checksum field, from transport_at.
  std::uint16_t checksum_offset() const { return tcp ? 16 : 6; }
};

/// Reads an Ethernet frame with up to two VLAN tags. None when it is not TCP or UDP over IP, is a
/// fragment, or is too short for its headers. IPv6 extension headers are passed over.
std::optional<InnerHeaders> find_headers(Bytes frame);

}  // namespace mwtun
