#include <catch2/catch.hpp>

#include "noise_vector.hpp"
#include "vector_files.hpp"

using namespace mwtun::test;

TEST_CASE("every published Noise vector that can be expressed comes out byte by byte") {
  for (const VectorFile& file : vector_files("noise_")) {
    Tally tally;
    const nlohmann::json& list =
        file.content.is_array() ? file.content : file.content.at("vectors");
    for (const nlohmann::json& json : list) {
      const NoiseVector vector = read_noise_vector(json);
      std::string why;
      const NoiseOutcome outcome = run_noise_vector(vector, why);
      ++(outcome == NoiseOutcome::not_expressible ? tally.not_expressible : tally.run);
      INFO(file.name << ": " << vector.name << ": " << why);
      CHECK(outcome != NoiseOutcome::failed);
    }
    print(file.name, tally);
    CHECK(tally.run + tally.not_expressible > 0);
  }
}

TEST_CASE("a Noise vector with one wrong byte anywhere does not pass") {
  for (const VectorFile& file : vector_files("noise_")) {
    const nlohmann::json& list =
        file.content.is_array() ? file.content : file.content.at("vectors");
    if (list.empty()) continue;
    NoiseVector vector = read_noise_vector(list[0]);
    std::string why;
    if (run_noise_vector(vector, why) != NoiseOutcome::passed || vector.fail) continue;
    for (NoiseMessage& message : vector.messages) {
      for (auto* bytes : {&message.payload, &message.ciphertext}) {
        for (std::uint8_t& byte : *bytes) {
          byte ^= 0x10;
          REQUIRE(run_noise_vector(vector, why) == NoiseOutcome::failed);
          byte ^= 0x10;
        }
      }
    }
    for (std::uint8_t& byte : vector.handshake_hash) {
      byte ^= 1;
      REQUIRE(run_noise_vector(vector, why) == NoiseOutcome::failed);
      byte ^= 1;
    }
  }
}
