#include "dataplane/offload_check.hpp"

#include <optional>

namespace mwtun {

namespace {

struct Transport {
  bool v6 = false;
  std::uint8_t protocol = 0;
  std::size_t at = 0;  // Bytes into the frame.
};

constexpr std::uint8_t tcp = 6, udp = 17;

std::optional<Transport> find_transport(Bytes frame) {
  if (frame.size() < 14) return std::nullopt;
  std::size_t at = 12;
  for (int tags = 0; tags < 2 && frame.size() >= at + 6; ++tags) {
    const std::uint16_t type = load_be16(frame.data() + at);
    if (type != 0x8100 && type != 0x88a8) break;
    at += 4;
  }
  if (frame.size() < at + 2) return std::nullopt;
  const std::uint16_t type = load_be16(frame.data() + at);
  at += 2;
  Transport found;
  if (type == 0x0800 && frame.size() >= at + 20) {
    const std::size_t header = std::size_t{frame[at] & 0x0fu} * 4;
    const bool fragment = (load_be16(frame.data() + at + 6) & 0x3fff) != 0;
    if (header < 20 || fragment) return std::nullopt;
    found.protocol = frame[at + 9];
    found.at = at + header;
  } else if (type == 0x86dd && frame.size() >= at + 40) {
    found.v6 = true;
    found.protocol = frame[at + 6];
    found.at = at + 40;
  } else {
    return std::nullopt;
  }
  const std::size_t header = found.protocol == tcp ? 20 : 8;
  if (frame.size() < found.at + header) return std::nullopt;
  return found;
}

}  // namespace

bool offload_agrees(const Frame& frame) {
  const Offload& offload = frame.offload;
  if (offload.plain()) return true;
  const std::optional<Transport> transport = find_transport(frame.bytes());
  if (!transport || !offload.checksum_partial) return false;
  const bool is_tcp = transport->protocol == tcp;
  if (!is_tcp && transport->protocol != udp) return false;
  if (offload.checksum_start != transport->at || offload.checksum_offset != (is_tcp ? 16 : 6)) {
    return false;
  }
  switch (offload.gso) {
    case Offload::Gso::none: return offload.gso_bytes == 0;
    case Offload::Gso::tcp4: return is_tcp && !transport->v6 && offload.gso_bytes > 0;
    case Offload::Gso::tcp6: return is_tcp && transport->v6 && offload.gso_bytes > 0;
    case Offload::Gso::udp: return !is_tcp && offload.gso_bytes > 0;
  }
  return false;
}

}  // namespace mwtun
