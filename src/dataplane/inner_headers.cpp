#include "dataplane/inner_headers.hpp"

namespace mwtun {

static constexpr std::uint8_t protocol_tcp = 6, protocol_udp = 17;
static constexpr std::uint8_t hop_by_hop = 0, routing = 43, destination_options = 60;
static constexpr int extension_headers_max = 8;

std::optional<InnerHeaders> find_headers(Bytes frame) {
  if (frame.size() < 14) return std::nullopt;
  std::size_t at = 12;
  for (int tags = 0; tags < 2 && frame.size() >= at + 6; ++tags) {
    const std::uint16_t type = load_be16(frame.data() + at);
    if (type != 0x8100 && type != 0x88a8) break;
    at += 4;
  }
  const std::uint16_t type = load_be16(frame.data() + at);
  at += 2;
  InnerHeaders found;
  found.ip_at = static_cast<std::uint16_t>(at);
  std::uint8_t protocol = 0;
  // The EtherType and the packet's own version must agree: kernels go by one or the other.
  if (type == 0x0800 && frame.size() >= at + 20 && frame[at] >> 4 == 4) {
    const std::size_t header = std::size_t{frame[at] & 0x0fu} * 4;
    const bool fragment = (load_be16(frame.data() + at + 6) & 0x3fff) != 0;
    if (header < 20 || fragment) return std::nullopt;
    protocol = frame[at + 9];
    at += header;
  } else if (type == 0x86dd && frame.size() >= at + 40 && frame[at] >> 4 == 6) {
    found.v6 = true;
    protocol = frame[at + 6];
    at += 40;
    for (int i = 0; i < extension_headers_max && frame.size() >= at + 8; ++i) {
      if (protocol != hop_by_hop && protocol != routing && protocol != destination_options) break;
      protocol = frame[at];
      at += 8 * (std::size_t{frame[at + 1]} + 1);
    }
  } else {
    return std::nullopt;
  }
  if (protocol != protocol_tcp && protocol != protocol_udp) return std::nullopt;
  found.tcp = protocol == protocol_tcp;
  if (frame.size() < at + (found.tcp ? 20u : 8u)) return std::nullopt;
  const std::size_t header = found.tcp ? std::size_t{frame[at + 12]} / 16 * 4 : 8;
  if (header < (found.tcp ? 20u : 8u) || frame.size() < at + header) return std::nullopt;
  found.transport_at = static_cast<std::uint16_t>(at);
  found.payload_at = static_cast<std::uint16_t>(at + header);
  return found;
}

}  // namespace mwtun
