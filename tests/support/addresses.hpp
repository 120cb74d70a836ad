#pragma once
#include "base/address.hpp"

namespace mwtun::test {

inline Address v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d,
                  std::uint16_t port) {
  Address address;
  address.family = Family::v4;
  address.ip = {a, b, c, d};
  address.port = port;
  return address;
}

}  // namespace mwtun::test
