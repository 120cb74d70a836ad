#pragma once
#include <cstdint>
#include <variant>

#include "base/address.hpp"
#include "base/ids.hpp"
#include "dataplane/config.hpp"
#include "dataplane/io/listeners.hpp"

namespace mwtun {

/// Takes the place of a socket of the same number.
struct PutSocket {
  PeerId peer{};  // Whose link it is.
  NumberedSocket socket;
};
/// See Node::set_link_path().
struct SetLinkPath {
  PeerId peer{};
  LinkId link{};
  Path path;
  std::uint32_t mtu = 0;
};
struct ClearLinkPath {
  PeerId peer{};
  LinkId link{};
};
/// See Node::set_link_role().
struct SetLinkRole {
  PeerId peer{};
  LinkId link{};
  LinkRole role{};
};

/// What the control thread tells the worker about a link.
using LinkCommand = std::variant<PutSocket, SetLinkPath, ClearLinkPath, SetLinkRole>;

}  // namespace mwtun
