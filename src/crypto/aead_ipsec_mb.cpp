#include "crypto/aead_ipsec_mb.hpp"

#include <intel-ipsec-mb.h>
#include <sodium.h>

namespace mwtun {

/// The library's table of functions, filled in for this processor; null where it cannot run. What
/// is called of it keeps no state there, so one serves all keys and threads.
static const IMB_MGR* functions() {
  static const IMB_MGR* const table = []() -> const IMB_MGR* {
    IMB_MGR* const made = alloc_mb_mgr(0);
    if (made == nullptr) return nullptr;
    init_mb_mgr_auto(made, nullptr);
    const bool tested = (made->features & IMB_FEATURE_SELF_TEST) == 0 ||
                        (made->features & IMB_FEATURE_SELF_TEST_PASS) != 0;
    if (imb_get_errno(made) == 0 && tested) return made;
    free_mb_mgr(made);
    return nullptr;
  }();
  return table;
}

struct IpsecMbAead::Keys {
  // Aligned as the widest of the library's loads asks; its own type does not say so.
  alignas(64) gcm_key_data aes;
  std::array<std::uint8_t, 32> chacha;
  Cipher cipher;
};

IpsecMbAead::IpsecMbAead(std::unique_ptr<Keys> keys) : keys_(std::move(keys)) {}

IpsecMbAead::~IpsecMbAead() {
  sodium_memzero(keys_.get(), sizeof(Keys));
}

std::unique_ptr<IpsecMbAead> IpsecMbAead::create(Cipher cipher, const Secret<32>& key) {
  const IMB_MGR* const table = functions();
  if (table == nullptr) return nullptr;
  auto keys = std::make_unique<Keys>();
  keys->cipher = cipher;
  if (cipher == Cipher::aes_256_gcm) {
    IMB_AES256_GCM_PRE(table, key.view().data(), &keys->aes);
  } else {
    std::memcpy(keys->chacha.data(), key.view().data(), keys->chacha.size());
  }
  return std::unique_ptr<IpsecMbAead>(new IpsecMbAead(std::move(keys)));
}

/// The library's contexts keep key stream and the Poly1305 key.
template <typename Context>
struct Wiped {
  Context context;
  ~Wiped() { sodium_memzero(&context, sizeof context); }
};

void IpsecMbAead::seal(const AeadNonce& nonce, Bytes aad, std::span<const Bytes> plain,
                       MutableBytes out) const {
  const IMB_MGR* const table = functions();
  std::uint8_t* at = out.data();
  if (keys_->cipher == Cipher::aes_256_gcm) {
    Wiped<gcm_context_data> scratch;
    if (plain.size() == 1) {
      const Bytes whole = plain.front();
      IMB_AES256_GCM_ENC(table, &keys_->aes, &scratch.context, at, whole.data(), whole.size(),
                         nonce.data(), aad.data(), aad.size(), at + whole.size(), aead_tag_bytes);
      return;
    }
    IMB_AES256_GCM_INIT(table, &keys_->aes, &scratch.context, nonce.data(), aad.data(), aad.size());
    for (const Bytes piece : plain) {
      IMB_AES256_GCM_ENC_UPDATE(table, &keys_->aes, &scratch.context, at, piece.data(),
                                piece.size());
      at += piece.size();
    }
    IMB_AES256_GCM_ENC_FINALIZE(table, &keys_->aes, &scratch.context, at, aead_tag_bytes);
    return;
  }
  Wiped<chacha20_poly1305_context_data> scratch;
  const std::uint8_t* const key = keys_->chacha.data();
  IMB_CHACHA20_POLY1305_INIT(table, key, &scratch.context, nonce.data(), aad.data(), aad.size());
  for (const Bytes piece : plain) {
    IMB_CHACHA20_POLY1305_ENC_UPDATE(table, key, &scratch.context, at, piece.data(), piece.size());
    at += piece.size();
  }
  IMB_CHACHA20_POLY1305_ENC_FINALIZE(table, &scratch.context, at, aead_tag_bytes);
}

bool IpsecMbAead::open(const AeadNonce& nonce, Bytes aad, Bytes sealed, MutableBytes out) const {
  const IMB_MGR* const table = functions();
  const Bytes text = sealed.first(sealed.size() - aead_tag_bytes);
  std::array<std::uint8_t, aead_tag_bytes> tag;
  if (keys_->cipher == Cipher::aes_256_gcm) {
    Wiped<gcm_context_data> scratch;
    IMB_AES256_GCM_DEC(table, &keys_->aes, &scratch.context, out.data(), text.data(), text.size(),
                       nonce.data(), aad.data(), aad.size(), tag.data(), tag.size());
  } else {
    Wiped<chacha20_poly1305_context_data> scratch;
    const std::uint8_t* const key = keys_->chacha.data();
    IMB_CHACHA20_POLY1305_INIT(table, key, &scratch.context, nonce.data(), aad.data(), aad.size());
    IMB_CHACHA20_POLY1305_DEC_UPDATE(table, key, &scratch.context, out.data(), text.data(),
                                     text.size());
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(table, &scratch.context, tag.data(), tag.size());
  }
  // The library opens first and asks afterwards, so a forgery's text has to go.
  const bool genuine = sodium_memcmp(tag.data(), sealed.data() + text.size(), tag.size()) == 0;
  if (!genuine) wipe(out);
  return genuine;
}

}  // namespace mwtun
