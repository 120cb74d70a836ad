// The configuration file's parser: whatever the text, it either gives a configuration the core can
// be made from or says what is wrong.
#include <cstdlib>
#include <string_view>

#include "cli/config.hpp"
#include "crypto/init.hpp"
#include "fuzz/fuzz_input.hpp"

using namespace mwtun;

namespace {

/// Every file holds a key but those whose names begin with "no".
class FuzzKeys : public KeyReader {
 public:
  Result<Secret<32>> read_key(std::string_view path) override {
    if (path.substr(0, 2) == "no") return Error{"there is no such file", 78};
    Secret<32> key;
    for (std::size_t i = 0; i < key.mutable_view().size(); ++i) {
      key.mutable_view()[i] = static_cast<std::uint8_t>(i + path.size());
    }
    return key;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool started = crypto_start();
  if (!started) std::abort();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  FuzzKeys keys;
  const auto config = parse_config(text, "home.toml", keys);
  const auto control = parse_control_path(text, "home.toml");
  if (!control && control.error().message.empty()) std::abort();
  if (!config) {
    if (config.error().message.empty() || config.error().exit_code != 78) std::abort();
    return 0;
  }
  const NodeConfig node = node_config(config.value(), 1, 1);
  if (node.peers.size() != config.value().peers.size()) std::abort();
  for (const PeerConfig& peer : node.peers) {
    if (peer.links.size() > links_max || peer.initiator != !peer.links.empty()) std::abort();
    for (const LinkConfig& link : peer.links) {
      if (link.name.size() > 32 || link.weight < 1 || link.weight > 1000) std::abort();
    }
  }
  static_cast<void>(check_role(config.value(), Role::client));
  static_cast<void>(check_role(config.value(), Role::server));
  return 0;
}
