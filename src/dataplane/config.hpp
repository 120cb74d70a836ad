#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "crypto/aead.hpp"
#include "crypto/keys.hpp"
#include "dataplane/steering.hpp"
#include "dataplane/traffic_class.hpp"
#include "sched/kinds.hpp"

namespace mwtun {

/// The numbers stand on the wire (PROTOCOL.md 4.4).
enum class LinkRole : std::uint8_t { normal, backup, unused };

/// One link as the initiator's file describes it, for both directions.
struct LinkConfig {
  std::string name;  // At most 32 bytes.
  std::uint16_t weight = 1;
  std::uint8_t priority = 0;
  LinkRole role = LinkRole::normal;
  bool metered = false;
  std::uint64_t rate_down_bps_max = 0;  // Towards the initiator; 0: no cap.
  std::uint64_t rate_up_bps_max = 0;
};

struct PeerConfig {
  std::string name;
  PublicKey public_key;
  PresharedKey preshared_key;  // All zeros: none.
  bool initiator = false;      // We have its endpoint, so we begin.
  std::uint16_t mtu = 1500;    // Of the inner interface.
  bool joins_frames = false;   // It takes super-frames of TCP: FrameJoiner makes some for it.
  SchedulerKind scheduler = SchedulerKind::adaptive;
  HashFields hash_fields = HashFields::l3_l4;
  std::optional<Cipher> cipher;      // None: the best both ends have.
  std::vector<LinkConfig> links;     // Initiator only; the index is the link's number.
  std::vector<TrafficRule> classes;  // Initiator only; at most TrafficClasses::rules_max.
};

/// Bounds of one peer's tables; tests make them small.
struct Limits {
  std::uint16_t flows = 4096;
  std::uint16_t ordered_lanes = 3072;    // Of the first 3072.
  std::uint16_t unordered_lanes = 1024;  // Of the last 1024.
  std::uint32_t chunks_unacknowledged = 32768;
  std::uint32_t queue_bytes = 4 << 20;  // Frames waiting to be sent.
  std::uint32_t queue_frames = 4096;    // Each of them holds a slab.
  std::uint32_t lane_window = 16384;    // Chunks a lane may run ahead of a hole; a power of two.
  std::uint32_t held_chunks = 8192;     // Chunks held for order, over all lanes,
  std::uint32_t held_bytes = 16 << 20;  // and the slabs they are taken to need.
};

/// A peer of another worker of this process.
struct ForeignPeer {
  PublicKey public_key;
  unsigned worker = 0;
};

struct NodeConfig {
  PrivateKey private_key;
  std::vector<PeerConfig> peers;  // The index is the PeerId.
  std::uint16_t ciphers = 1;      // What we can do, see available_ciphers(),
  AeadProviders providers;        // and by which library.
  bool offload = true;            // Frames with offload data may be given to the interfaces.
  Limits limits;
  std::uint64_t wall_clock_ns =
      0;  // Real time when the node is made; only for handshake freshness.
  WorkerSeat seat;                   // Names the sessions' indices.
  std::vector<ForeignPeer> foreign;  // Who may begin with another worker; for admitting_worker.
};

}  // namespace mwtun
