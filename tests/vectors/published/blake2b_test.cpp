#include "crypto/blake2b.hpp"

#include <catch2/catch.hpp>

#include "../hex.hpp"
#include "vector_files.hpp"

using namespace mwtun;
using namespace mwtun::test;

TEST_CASE("every known answer of BLAKE2b comes out, keyed and not, in one part and in two") {
  for (const VectorFile& file : vector_files("blake2b")) {
    Tally tally;
    for (const nlohmann::json& test : file.content.at("vectors")) {
      if (test.at("hash") != "blake2b") {
        ++tally.not_expressible;
        continue;
      }
      const auto in = from_hex(test.at("in").get<std::string>());
      const auto key = from_hex(test.at("key").get<std::string>());
      const auto expected = test.at("out").get<std::string>();
      std::vector<std::uint8_t> out(expected.size() / 2);
      blake2b(key, {in}, out);
      CHECK(to_hex(out) == expected);
      const std::size_t cut = in.size() / 3;
      blake2b(key, {Bytes(in).first(cut), Bytes(in).subspan(cut)}, out);
      CHECK(to_hex(out) == expected);
      ++tally.run;
    }
    print(file.name, tally);
    CHECK(tally.run > 0);
  }
}
