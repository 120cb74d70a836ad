#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace mwtun::test {

struct VectorFile {
  std::string name;
  nlohmann::json content;
};

/// Every file of the vectors' folder whose name begins with `prefix` and ends in .json, by name.
/// The folder is $MWTUN_VECTORS, or shared/vectors beside the source tree. Ends the program with 77
/// (skipped) when there is no such folder; fails the test when the usual folder lacks such a file.
std::vector<VectorFile> vector_files(std::string_view prefix);

/// How many were run; the others are of an algorithm or a size that we do not have.
struct Tally {
  std::size_t run = 0;
  std::size_t not_expressible = 0;
};
void print(const std::string& what, const Tally& tally);

}  // namespace mwtun::test
