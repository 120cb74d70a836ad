#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace mwtun {

/// Which event loop is wanted. `automatic`: the one that is known to be the better on this kernel.
enum class LoopKind : std::uint8_t { automatic, epoll, io_uring };

/// Of "auto", "epoll" and "io_uring".
constexpr std::optional<LoopKind> loop_from_name(std::string_view name) {
  if (name == "auto") return LoopKind::automatic;
  if (name == "epoll") return LoopKind::epoll;
  if (name == "io_uring") return LoopKind::io_uring;
  return std::nullopt;
}

}  // namespace mwtun
