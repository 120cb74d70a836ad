#include "base/bytes.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

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

TEST_CASE("every width is written little-endian and read back", "[bytes]") {
  std::uint8_t bytes[18];
  Writer out(bytes);
  out.u8(0x01);
  out.u16(0x0302);
  out.u24(0x060504);
  out.u32(0x0a090807);
  out.u64(0x1211100f0e0d0c0b);
  REQUIRE(out.room() == 0);
  for (std::uint8_t i = 0; i < 18; ++i) CHECK(bytes[i] == i + 1);
  Reader in(bytes);
  CHECK(in.u8() == 0x01);
  CHECK(in.u16() == 0x0302);
  CHECK(in.u24() == 0x060504);
  CHECK(in.u32() == 0x0a090807);
  CHECK_FALSE(in.done());
  CHECK(in.u64() == 0x1211100f0e0d0c0b);
  CHECK(in.done());
}

TEST_CASE("network order loads and stores are the mirror of the little-endian ones", "[bytes]") {
  std::uint8_t bytes[4];
  store_be32(bytes, 0x01020304);
  CHECK(bytes[0] == 1);
  CHECK(bytes[3] == 4);
  CHECK(load_be32(bytes) == 0x01020304);
  CHECK(load_be16(bytes + 2) == 0x0304);
  CHECK(load_le32(bytes) == 0x04030201);
  CHECK(load_le16(bytes) == 0x0201);
}

TEST_CASE("a reader cut short at any length gives no byte that is not there", "[bytes]") {
  const std::vector<std::uint8_t> whole(16, 0xff);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    Reader in(cut);
    in.u64();
    in.u32();
    in.u24();
    in.u8();
    CHECK_FALSE(in.ok());
    CHECK_FALSE(in.done());
    CHECK(in.rest().empty());
  }
}

TEST_CASE("a varint that never ends, or ends too soon, is an error", "[bytes]") {
  const std::uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
  Reader five(endless);
  five.varint();
  CHECK_FALSE(five.ok());
  for (std::size_t size = 0; size < 5; ++size) {
    Reader cut(Bytes(endless).first(size));
    CHECK(cut.varint() == 0);
    CHECK_FALSE(cut.ok());
  }
}

TEST_CASE("a writer's zeros and bytes fill exactly what they say", "[bytes]") {
  std::uint8_t bytes[6];
  std::memset(bytes, 0xee, sizeof bytes);
  Writer out(bytes);
  const std::uint8_t two[] = {7, 8};
  out.bytes(two);
  out.zeros(3);
  out.bytes({});
  CHECK(out.size() == 5);
  CHECK(out.room() == 1);
  CHECK(out.written().size() == 5);
  CHECK(bytes[1] == 8);
  CHECK(bytes[4] == 0);
  CHECK(bytes[5] == 0xee);
}
