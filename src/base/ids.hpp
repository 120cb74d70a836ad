#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace mwtun {

/// Number of a link within a session; given by the client, kept for the session's life.
enum class LinkId : std::uint8_t {};
/// Number of a lane within a session; given by the sender of the lane's frames.
enum class LaneId : std::uint16_t {};
/// Name a receiver gave a session; senders put it in every datagram.
enum class SessionIndex : std::uint32_t {};
/// One UDP socket of this process, as the event loop numbers them.
enum class SocketId : std::uint16_t {};
/// One configured peer, in the order of the file.
enum class PeerId : std::uint16_t {};

inline constexpr std::size_t links_max = 16;
inline constexpr std::size_t lanes_max = 4096;

template <typename Id>
constexpr std::size_t index_of(Id id) {
  return static_cast<std::size_t>(id);
}
template <typename Id>
constexpr auto value_of(Id id) {
  return static_cast<std::underlying_type_t<Id>>(id);
}

}  // namespace mwtun
