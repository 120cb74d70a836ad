#include "base/bytes.hpp"

#include <catch2/catch.hpp>

using namespace mwtun;

TEST_CASE("a reader past the end gives zeros and says so for good", "[bytes]") {
  const std::uint8_t bytes[] = {1, 2, 3};
  Reader in(bytes);
  CHECK(in.u16() == 0x0201);
  CHECK(in.u16() == 0);
  CHECK_FALSE(in.ok());
  CHECK(in.u8() == 0);
}

TEST_CASE("varints of five bytes carry 32 bits and no more", "[bytes]") {
  for (const std::uint32_t value : {0u, 127u, 128u, 16383u, 16384u, UINT32_MAX}) {
    std::uint8_t bytes[5];
    Writer out(bytes);
    out.varint(value);
    CHECK(out.size() == varint_size(value));
    Reader in(out.written());
    CHECK(in.varint() == value);
    CHECK(in.done());
  }
  const std::uint8_t too_much[] = {0xff, 0xff, 0xff, 0xff, 0x1f};
  Reader in(too_much);
  in.varint();
  CHECK_FALSE(in.ok());
}
