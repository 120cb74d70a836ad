#include "vector_files.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "crypto/init.hpp"

namespace mwtun::test {

[[maybe_unused]] static const bool started = crypto_start();

std::vector<VectorFile> vector_files(std::string_view prefix) {
  namespace fs = std::filesystem;
  const char* const chosen = std::getenv("MWTUN_VECTORS");
  const bool usual = chosen == nullptr || *chosen == '\0';
  const fs::path folder = usual ? fs::path(MWTUN_SOURCE_FOLDER) / "../shared/vectors" : chosen;
  if (!fs::is_directory(folder)) {
    std::cout << "skipped: no test vectors in " << folder.lexically_normal().string()
              << "; set MWTUN_VECTORS to the folder that has them" << std::endl;
    std::exit(77);
  }
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.substr(0, prefix.size()) == prefix && entry.path().extension() == ".json") {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<VectorFile> files;
  for (const fs::path& path : paths) {
    std::ifstream stream(path);
    files.push_back({path.filename().string(), nlohmann::json::parse(stream)});
  }
  if (files.empty()) {
    std::cout << "no " << prefix << "*.json in " << folder.lexically_normal().string() << std::endl;
    if (usual) FAIL("a file of the usual folder is missing");
  }
  return files;
}

void print(const std::string& what, const Tally& tally) {
  std::cout << what << ": " << tally.run << " run, " << tally.not_expressible << " not expressible"
            << std::endl;
}

}  // namespace mwtun::test
