#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/ids.hpp"
#include "base/planted.hpp"
#include "base/time.hpp"
#include "crypto/aead.hpp"
#include "dataplane/wire.hpp"

namespace mwtun {

inline constexpr Duration rekey_after = seconds(120);
inline constexpr Duration key_hard_stop = seconds(180);
inline constexpr std::uint64_t rekey_after_datagrams = std::uint64_t{1} << 27;
inline constexpr std::uint64_t aes_datagrams_max = std::uint64_t{1} << 28;
inline constexpr std::uint64_t failed_opens_max = std::uint64_t{1} << 36;

/// When a key established then must not be used any more.
inline Instant key_end(Instant established) {
  return planted(Fault::stale_key_epoch) ? never : established + key_hard_stop;
}

/// The two keys of one epoch and how much they have been used.
struct EpochKeys {
  std::uint8_t epoch = 0;
  AeadKey send;
  AeadKey receive;
  Instant established{};
  std::uint64_t sealed = 0;
  std::uint64_t opened = 0;
  std::uint64_t failed = 0;

  bool may_seal(Instant now) const {
    return now < key_end(established) &&
           (send.cipher() != Cipher::aes_256_gcm || sealed < aes_datagrams_max);
  }
  bool may_open(Instant now) const {
    return now < key_end(established) && failed < failed_opens_max;
  }
};

/// What names a session and protects it; what it carries is the Tunnel's affair.
class Session {
 public:
  SessionIndex local{};
  SessionIndex remote{};
  std::uint64_t features = 0;  // Both ends have them.
  Instant since{};
  std::uint32_t rekeys = 0;

  Session(SessionIndex our_index, SessionIndex their_index, std::uint64_t common_features,
          EpochKeys keys, Instant now)
      : local(our_index),
        remote(their_index),
        features(common_features),
        since(now),
        epoch_(keys.epoch) {
    slots_[keys.epoch].emplace(std::move(keys));
  }
  std::uint8_t epoch() const { return epoch_; }
  EpochKeys& current() { return *slots_[epoch_]; }
  const EpochKeys& current() const { return *slots_[epoch_]; }
  EpochKeys* keys(std::uint8_t epoch) {
    std::optional<EpochKeys>& slot = slots_[epoch % wire::epochs];
    return slot ? &*slot : nullptr;
  }
  /// The keys of the next epoch are in use from now on; those before the present ones are gone.
  void rotate(EpochKeys keys) {
    for (std::optional<EpochKeys>& slot : slots_) {
      if (slot && slot->epoch != epoch_) slot.reset();
    }
    epoch_ = keys.epoch;
    slots_[epoch_].emplace(std::move(keys));
    ++rekeys;
  }
  /// Wipes keys that have reached their hard stop. False when none is left.
  bool expire(Instant now) {
    bool any = false;
    for (std::optional<EpochKeys>& slot : slots_) {
      if (slot && now >= key_end(slot->established)) slot.reset();
      any |= slot.has_value();
    }
    return slots_[epoch_].has_value() && any;
  }
  /// When expire() has something to do.
  Instant next_expiry() const {
    Instant first = never;
    for (const std::optional<EpochKeys>& slot : slots_) {
      if (slot) first = std::min(first, key_end(slot->established));
    }
    return first;
  }

 private:
  std::array<std::optional<EpochKeys>, wire::epochs> slots_;
  std::uint8_t epoch_;
};

}  // namespace mwtun
