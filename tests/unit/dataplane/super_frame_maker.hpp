#pragma once
#include <catch2/catch.hpp>
#include <cstring>
#include <ostream>
#include <vector>

#include "dataplane/super_frame.hpp"

/// Super-frames for tests.
namespace mwtun::testing {

struct Kind {
  const char* name = "";
  bool v6 = false;
  bool tcp = true;
  std::size_t tags = 0;
  std::size_t tcp_options = 0;      // Bytes, a multiple of 4.
  std::size_t extension_bytes = 0;  // IPv6 destination options, a multiple of 8.
};

inline std::ostream& operator<<(std::ostream& out, const Kind& kind) {
  return out << kind.name;
}

/// The sum of 16-bit words as RFC 1071 has it, folded and not inverted.
inline std::uint32_t sum_of(Bytes bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

inline std::uint32_t pseudo_header_sum(Bytes frame, const InnerHeaders& at) {
  const std::uint32_t length = static_cast<std::uint32_t>(frame.size()) - at.transport_at;
  const Bytes addresses = at.v6 ? frame.subspan(at.ip_at + 8, 32) : frame.subspan(at.ip_at + 12, 8);
  const std::uint32_t sum = sum_of(addresses) + (at.tcp ? 6u : 17u) + length;
  return (sum & 0xffff) + (sum >> 16);
}

struct SuperFrameMaker {
  SlabPool large{70'000, 64};
  SlabPool pool{2048, 64};
  SuperFrameMaker() { pool.set_larger(large); }

  /// With sequence 0xfffffff0, IPv4 id 0xfffe and CWR, PSH, FIN set, and the checksum partial.
  Frame make(const Kind& kind, std::size_t payload, std::uint16_t segment) {
    std::vector<std::uint8_t> bytes(12, 2);
    const auto add16 = [&](std::size_t value) {
      bytes.push_back(static_cast<std::uint8_t>(value >> 8));
      bytes.push_back(static_cast<std::uint8_t>(value));
    };
    for (std::size_t i = 0; i < kind.tags; ++i) add16(0x8100), add16(7 + i);
    const std::size_t transport = kind.tcp ? 20 + kind.tcp_options : 8;
    const std::uint8_t protocol = kind.tcp ? 6 : 17;
    add16(kind.v6 ? 0x86dd : 0x0800);
    const std::size_t ip_at = bytes.size();
    if (kind.v6) {
      add16(0x6000), add16(0), add16(kind.extension_bytes + transport + payload);
      bytes.push_back(kind.extension_bytes > 0 ? 60 : protocol), bytes.push_back(64);
      for (std::size_t i = 0; i < 32; ++i) bytes.push_back(static_cast<std::uint8_t>(0x20 + i));
      if (kind.extension_bytes > 0) {
        bytes.push_back(protocol);
        bytes.push_back(static_cast<std::uint8_t>(kind.extension_bytes / 8 - 1));
        bytes.resize(bytes.size() + kind.extension_bytes - 2);
      }
    } else {
      add16(0x4500), add16(20 + transport + payload), add16(0xfffe), add16(0x4000);
      bytes.push_back(64), bytes.push_back(protocol), add16(0);
      for (std::size_t i = 0; i < 8; ++i) bytes.push_back(static_cast<std::uint8_t>(10 + i));
      const std::uint32_t sum = sum_of(Bytes(bytes).subspan(ip_at));
      store_be16(&bytes[ip_at + 10], static_cast<std::uint16_t>(~sum));
    }
    add16(1000), add16(2000);
    if (kind.tcp) {
      add16(0xffff), add16(0xfff0), add16(1), add16(2);
      bytes.push_back(static_cast<std::uint8_t>(transport / 4 << 4)), bytes.push_back(0x80 | 0x19);
      add16(500), add16(0), add16(0);
      bytes.resize(bytes.size() + kind.tcp_options, 1);
    } else {
      add16(8 + payload), add16(0);
    }
    for (std::size_t i = 0; i < payload; ++i)
      bytes.push_back(static_cast<std::uint8_t>(i * 7 >> 2));
    Frame frame;
    frame.size = static_cast<std::uint32_t>(bytes.size());
    frame.slab = pool.take(bytes.size());
    REQUIRE(frame.slab);
    std::memcpy(frame.slab.data(), bytes.data(), bytes.size());
    const InnerHeaders headers = *find_headers(frame.bytes());
    store_be16(frame.slab.data() + headers.transport_at + headers.checksum_offset(),
               static_cast<std::uint16_t>(pseudo_header_sum(frame.bytes(), headers)));
    frame.offload.checksum_partial = true;
    frame.offload.gso_bytes = segment;
    REQUIRE(rebuild_offload(frame));
    return frame;
  }
};

inline constexpr Kind kinds[] = {
    {"TCP over IPv4", false, true, 0, 12, 0},
    {"TCP over IPv4 in a VLAN", false, true, 1, 0, 0},
    {"TCP over IPv6 in two VLANs", true, true, 2, 32, 0},
    {"TCP over IPv6 with options of the packet", true, true, 0, 12, 16},
    {"UDP over IPv4", false, false, 0, 0, 0},
    {"UDP over IPv6 in a VLAN", true, false, 1, 0, 0}};

}  // namespace mwtun::testing
