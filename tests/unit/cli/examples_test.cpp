#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/config.hpp"
#include "memory_keys.hpp"

using namespace mwtun;

namespace {

/// A key for whatever name is asked.
class AnyKey : public KeyReader {
 public:
  Result<Secret<32>> read_key(std::string_view path) override { return key_of_seed(path.size()); }
};

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("every example is a configuration that its command takes") {
  REQUIRE(crypto_start());
  std::size_t examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MWTUN_SOURCE_DIR "/docs/examples")) {
    if (entry.path().extension() != ".toml") continue;
    INFO(entry.path().string());
    AnyKey keys;
    const Result<Config> config = parse_config(text_of(entry.path()), entry.path().string(), keys);
    INFO((config ? "" : config.error().message));
    REQUIRE(config.ok());
    const bool server = entry.path().stem().string().ends_with("-server");
    CHECK(check_role(config.value(), server ? Role::server : Role::client).ok());
    ++examples;
  }
  CHECK(examples >= 4);
}

TEST_CASE("the manual names every key of the configuration and every exit code") {
  const std::string manual = text_of(MWTUN_SOURCE_DIR "/docs/mwtun.1");
  for (const char* word : {"private_key_file",
                           "control",
                           "state_dir",
                           "profile",
                           "event_loop",
                           "listen",
                           "log",
                           "name",
                           "public_key",
                           "preshared_key_file",
                           "endpoint",
                           "tap",
                           "tun",
                           "address",
                           "bridge",
                           "mtu",
                           "scheduler",
                           "hash",
                           "cipher",
                           "bind",
                           "device",
                           "gateway",
                           "weight",
                           "priority",
                           "role",
                           "metered",
                           "max_rate",
                           "monthly",
                           "monthly_day",
                           "dscp",
                           "protocol",
                           "port",
                           "mac",
                           "vlan"}) {
    INFO(word);
    const std::string escaped = word;
    CHECK((manual.find(".B " + escaped + "\n") != std::string::npos ||
           manual.find(".BR " + escaped + " ") != std::string::npos ||
           manual.find("\" " + escaped + "\n") != std::string::npos));
  }
  for (const char* code : {"0", "1", "2", "64", "69", "70", "71", "75", "77", "78"}) {
    INFO(code);
    CHECK(manual.find(std::string(".TP\n.B ") + code + "\n") != std::string::npos);
  }
}
