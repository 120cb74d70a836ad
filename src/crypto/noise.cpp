#include "crypto/noise.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace mwtun {

void CipherState::set_key(const Secret<32>& key) {
  key_ = key.clone();
  has_key_ = true;
  number_ = 0;
}

bool CipherState::encrypt(Bytes aad, Bytes plain, MutableBytes out) {
  MWTUN_ASSERT(out.size() == plain.size() + tag_bytes());
  if (!has_key_) {
    std::copy(plain.begin(), plain.end(), out.begin());
    return true;
  }
  if (number_ == std::numeric_limits<std::uint64_t>::max()) return false;
  AeadEngine(cipher_, key_).seal(noise_nonce(cipher_, number_++), aad, plain, out);
  return true;
}

bool CipherState::decrypt(Bytes aad, Bytes sealed, MutableBytes out) {
  if (sealed.size() < tag_bytes()) return false;
  MWTUN_ASSERT(out.size() == sealed.size() - tag_bytes());
  if (!has_key_) {
    std::copy(sealed.begin(), sealed.end(), out.begin());
    return true;
  }
  if (number_ == std::numeric_limits<std::uint64_t>::max()) return false;
  if (!AeadEngine(cipher_, key_).open(noise_nonce(cipher_, number_), aad, sealed, out)) {
    return false;
  }
  ++number_;
  return true;
}

CipherState CipherState::clone() const {
  CipherState copy(cipher_);
  copy.has_key_ = has_key_;
  copy.number_ = number_;
  copy.key_ = key_.clone();
  return copy;
}

/// Hashes are 64 bytes and cipher keys 32: §5.2 says to truncate.
static Secret<32> truncated(const Secret<blake2b_bytes>& from) {
  return Secret<32>::copy_of(from.view().first(32));
}

SymmetricState::SymmetricState(std::string_view protocol_name, Cipher cipher) : cipher_(cipher) {
  if (protocol_name.size() <= hash_.size()) {
    std::copy(protocol_name.begin(), protocol_name.end(), hash_.begin());
  } else {
    blake2b({}, {bytes_of(protocol_name)}, hash_);
  }
  chaining_key_ = Secret<blake2b_bytes>::copy_of(hash_);
}

void SymmetricState::mix_key(Bytes input) {
  Secret<blake2b_bytes> key;
  noise_hkdf(chaining_key_, input, chaining_key_, key);
  cipher_.set_key(truncated(key));
}

void SymmetricState::mix_hash(Bytes data) {
  blake2b({}, {hash_, data}, hash_);
}

void SymmetricState::mix_key_and_hash(Bytes input) {
  Secret<blake2b_bytes> hash, key;
  noise_hkdf(chaining_key_, input, chaining_key_, hash, &key);
  mix_hash(hash.view());
  cipher_.set_key(truncated(key));
}

bool SymmetricState::encrypt_and_hash(Bytes plain, MutableBytes out) {
  if (!cipher_.encrypt(hash_, plain, out)) return false;
  mix_hash(out);
  return true;
}

bool SymmetricState::decrypt_and_hash(Bytes sealed, MutableBytes out) {
  if (!cipher_.decrypt(hash_, sealed, out)) return false;
  mix_hash(sealed);
  return true;
}

void SymmetricState::split(Secret<32>& first, Secret<32>& second) const {
  Secret<blake2b_bytes> one, two;
  noise_hkdf(chaining_key_, {}, one, two);
  first = truncated(one);
  second = truncated(two);
}

SymmetricState SymmetricState::clone() const {
  SymmetricState copy({}, Cipher::chacha20_poly1305);
  copy.cipher_ = cipher_.clone();
  copy.chaining_key_ = chaining_key_.clone();
  copy.hash_ = hash_;
  return copy;
}

static PublicKey public_key_from(Bytes bytes) {
  PublicKey key;
  std::copy(bytes.begin(), bytes.end(), key.bytes.begin());
  return key;
}

HandshakeState::HandshakeState(const NoiseSetup& setup)
    : pattern_(setup.pattern),
      initiator_(setup.initiator),
      symmetric_(setup.protocol_name, setup.cipher) {
  symmetric_.mix_hash(setup.prologue);
  if (setup.static_key != nullptr) {
    static_.emplace(KeyPair{setup.static_key->clone(), setup.static_public_key != nullptr
                                                           ? *setup.static_public_key
                                                           : public_key_of(*setup.static_key)});
  }
  if (setup.ephemeral_key != nullptr) {
    ephemeral_.emplace(KeyPair{setup.ephemeral_key->clone(), public_key_of(*setup.ephemeral_key)});
  }
  if (setup.remote_static != nullptr) remote_static_ = *setup.remote_static;
  if (setup.remote_ephemeral != nullptr) remote_ephemeral_ = *setup.remote_ephemeral;
}

std::optional<HandshakeState> HandshakeState::start(const NoiseSetup& setup) {
  HandshakeState state(setup);
  if (!state.mix_pre_message(setup.pattern->initiator_pre, setup.initiator) ||
      !state.mix_pre_message(setup.pattern->responder_pre, !setup.initiator)) {
    return std::nullopt;
  }
  return state;
}

void HandshakeState::add_psk(const PresharedKey& psk) {
  MWTUN_ASSERT(psk_count_ < psks_max);
  psks_[psk_count_++] = psk.clone();
}

void HandshakeState::mix_ephemeral(const PublicKey& key) {
  symmetric_.mix_hash(key.bytes);
  if (pattern_->psk) symmetric_.mix_key(key.bytes);
}

bool HandshakeState::mix_pre_message(const NoiseTokens& tokens, bool ours) {
  for (const NoiseToken token : tokens) {
    if (token == NoiseToken::e) {
      if (ours ? !ephemeral_ : !remote_ephemeral_) return false;
      mix_ephemeral(ours ? ephemeral_->open : *remote_ephemeral_);
    } else {
      if (ours ? !static_ : !remote_static_) return false;
      symmetric_.mix_hash(ours ? static_->open.bytes : remote_static_->bytes);
    }
  }
  return true;
}

bool HandshakeState::mix_dh(NoiseToken token) {
  // The first letter of a token is the initiator's key, the second the responder's.
  const bool first_is_e = token == NoiseToken::ee || token == NoiseToken::es;
  const bool second_is_e = token == NoiseToken::ee || token == NoiseToken::se;
  const auto& ours = (initiator_ ? first_is_e : second_is_e) ? ephemeral_ : static_;
  const auto& theirs = (initiator_ ? second_is_e : first_is_e) ? remote_ephemeral_ : remote_static_;
  Secret<32> shared;
  if (!ours || !theirs || !diffie_hellman(ours->secret, *theirs, shared)) return false;
  symmetric_.mix_key(shared.view());
  return true;
}

bool HandshakeState::mix_psk() {
  if (psks_used_ == psk_count_) return false;
  symmetric_.mix_key_and_hash(psks_[psks_used_++].view());
  return true;
}

std::size_t HandshakeState::overhead() const {
  if (finished()) return 0;
  std::size_t bytes = 0;
  bool has_key = symmetric_.has_key();
  for (const NoiseToken token : pattern_->messages[next_message_]) {
    if (token == NoiseToken::e) {
      bytes += 32;
      has_key |= pattern_->psk;
    } else if (token == NoiseToken::s) {
      bytes += 32 + (has_key ? aead_tag_bytes : 0);
    } else {
      has_key = true;
    }
  }
  return bytes + (has_key ? aead_tag_bytes : 0);
}

bool HandshakeState::write_message(Bytes payload, MutableBytes out, Entropy& entropy) {
  if (failed_ || !our_turn()) return false;
  MWTUN_ASSERT(out.size() == payload.size() + overhead());
  failed_ = true;
  for (const NoiseToken token : pattern_->messages[next_message_]) {
    if (token == NoiseToken::e) {
      ephemeral_.emplace(KeyPair{generate_private_key(entropy), {}});
      ephemeral_->open = public_key_of(ephemeral_->secret);
      std::copy(ephemeral_->open.bytes.begin(), ephemeral_->open.bytes.end(), out.begin());
      out = out.subspan(32);
      mix_ephemeral(ephemeral_->open);
    } else if (token == NoiseToken::s) {
      if (!static_) return false;
      const std::size_t bytes = 32 + symmetric_.tag_bytes();
      if (!symmetric_.encrypt_and_hash(static_->open.bytes, out.first(bytes))) return false;
      out = out.subspan(bytes);
    } else if (token == NoiseToken::psk ? !mix_psk() : !mix_dh(token)) {
      return false;
    }
  }
  if (!symmetric_.encrypt_and_hash(payload, out)) return false;
  ++next_message_;
  failed_ = false;
  return true;
}

bool HandshakeState::read_message(Bytes message, MutableBytes payload) {
  if (failed_ || finished() || our_turn() || message.size() < overhead()) return false;
  MWTUN_ASSERT(payload.size() == message.size() - overhead());
  failed_ = true;
  for (const NoiseToken token : pattern_->messages[next_message_]) {
    if (token == NoiseToken::e) {
      remote_ephemeral_ = public_key_from(message.first(32));
      message = message.subspan(32);
      mix_ephemeral(*remote_ephemeral_);
    } else if (token == NoiseToken::s) {
      const std::size_t bytes = 32 + symmetric_.tag_bytes();
      PublicKey key;
      if (!symmetric_.decrypt_and_hash(message.first(bytes), key.bytes)) return false;
      remote_static_ = key;
      message = message.subspan(bytes);
    } else if (token == NoiseToken::psk ? !mix_psk() : !mix_dh(token)) {
      return false;
    }
  }
  if (!symmetric_.decrypt_and_hash(message, payload)) return false;
  ++next_message_;
  failed_ = false;
  return true;
}

std::optional<HandshakeState::KeyPair> HandshakeState::copy(const std::optional<KeyPair>& pair) {
  if (!pair) return std::nullopt;
  return KeyPair{pair->secret.clone(), pair->open};
}

HandshakeState HandshakeState::clone() const {
  NoiseSetup empty;
  empty.pattern = pattern_;
  empty.initiator = initiator_;
  HandshakeState state(empty);
  state.failed_ = failed_;
  state.next_message_ = next_message_;
  state.symmetric_ = symmetric_.clone();
  state.static_ = copy(static_);
  state.ephemeral_ = copy(ephemeral_);
  state.remote_static_ = remote_static_;
  state.remote_ephemeral_ = remote_ephemeral_;
  for (std::size_t i = 0; i < psk_count_; ++i) state.psks_[i] = psks_[i].clone();
  state.psk_count_ = psk_count_;
  state.psks_used_ = psks_used_;
  return state;
}

}  // namespace mwtun
