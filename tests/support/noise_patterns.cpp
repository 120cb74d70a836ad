#include "support/noise_patterns.hpp"

#include <algorithm>
#include <cctype>
#include <vector>

namespace mwtun::test {

namespace {

struct Side {
  char letter = 'N';      // N, K, X or I: how its static key becomes known.
  bool deferred = false;  // Its authentication comes a message later.
};

/// §18.3. Each party, in turn, applies the first rule that matches, again and again; a key or a
/// Diffie-Hellman is done once.
class Derivation {
 public:
  Derivation(Side initiator, Side responder, bool one_way)
      : initiator_(initiator), responder_(responder), one_way_(one_way) {
    i_s_ = initiator.letter == 'K';
    r_s_ = responder.letter == 'K';
  }

  NoisePattern run() {
    NoisePattern pattern;
    if (i_s_) pattern.initiator_pre.push_back(NoiseToken::s);
    if (r_s_) pattern.responder_pre.push_back(NoiseToken::s);
    for (bool initiator = true;; initiator = !initiator) {
      const NoiseTokens tokens = message(initiator, pattern.message_count == 0);
      if (tokens.count == 0) break;
      pattern.messages[pattern.message_count++] = tokens;
      if (one_way_) break;
    }
    return pattern;
  }

 private:
  NoiseTokens message(bool initiator, bool first) {
    bool skip_se = false, skip_es = false;
    NoiseTokens tokens;
    for (;;) {
      if (initiator ? !i_e_ : !r_e_) {
        (initiator ? i_e_ : r_e_) = true;
        tokens.push_back(NoiseToken::e);
      } else if (i_e_ && r_e_ && !ee_) {
        ee_ = true;
        tokens.push_back(NoiseToken::ee);
      } else if (i_s_ && r_e_ && !se_ && !skip_se) {
        se_ = !(skip_se = initiator_.deferred);
        initiator_.deferred = false;
        if (se_) tokens.push_back(NoiseToken::se);
      } else if (i_e_ && r_s_ && !es_ && !skip_es) {
        es_ = !(skip_es = responder_.deferred);
        responder_.deferred = false;
        if (es_) tokens.push_back(NoiseToken::es);
      } else if (initiator && first && i_s_ && r_s_ && es_ && !ss_ && !initiator_.deferred) {
        ss_ = true;
        tokens.push_back(NoiseToken::ss);
      } else if (initiator && !i_s_ &&
                 (first ? initiator_.letter == 'I' || (one_way_ && initiator_.letter == 'X')
                        : initiator_.letter == 'X')) {
        i_s_ = true;
        tokens.push_back(NoiseToken::s);
      } else if (!initiator && !r_s_ && responder_.letter == 'X') {
        r_s_ = true;
        tokens.push_back(NoiseToken::s);
      } else {
        return tokens;
      }
    }
  }

  Side initiator_, responder_;
  bool one_way_;
  bool i_e_ = false, i_s_ = false, r_e_ = false, r_s_ = false;
  bool ee_ = false, es_ = false, se_ = false, ss_ = false;
};

bool read_side(std::string_view& text, std::string_view letters, Side& side) {
  if (text.empty() || letters.find(text.front()) == std::string_view::npos) return false;
  side.letter = text.front();
  text.remove_prefix(1);
  side.deferred = !text.empty() && text.front() == '1';
  if (side.deferred) text.remove_prefix(1);
  return !(side.deferred && side.letter == 'N');
}

NoiseTokens with_front(NoiseToken token, const NoiseTokens& rest) {
  NoiseTokens all{token};
  for (const NoiseToken next : rest) all.push_back(next);
  return all;
}

bool apply_psk(std::string_view digits, NoisePattern& pattern) {
  if (digits.size() != 1 || std::isdigit(static_cast<unsigned char>(digits[0])) == 0) return false;
  const std::size_t place = static_cast<std::size_t>(digits[0] - '0');
  if (place > pattern.message_count) return false;
  if (place == 0) {
    pattern.messages[0] = with_front(NoiseToken::psk, pattern.messages[0]);
  } else {
    pattern.messages[place - 1].push_back(NoiseToken::psk);
  }
  pattern.psk = true;
  return true;
}

NoiseTokens exchanged(const NoiseTokens& from) {
  NoiseTokens tokens;
  for (const NoiseToken token : from) {
    tokens.push_back(token == NoiseToken::es   ? NoiseToken::se
                     : token == NoiseToken::se ? NoiseToken::es
                                               : token);
  }
  return tokens;
}

/// §10.2: the first message becomes a pre-message and the roles are exchanged.
bool apply_fallback(NoisePattern& pattern) {
  const NoiseTokens first = pattern.messages[0];
  if (pattern.message_count < 2 || first.count == 0) return false;
  for (const NoiseToken token : first) {
    if (token != NoiseToken::e && token != NoiseToken::s) return false;
  }
  NoisePattern fallen;
  fallen.psk = pattern.psk;
  fallen.initiator_pre = pattern.responder_pre;
  fallen.responder_pre = pattern.initiator_pre;
  for (const NoiseToken token : first) fallen.responder_pre.push_back(token);
  fallen.message_count = pattern.message_count - 1;
  for (std::size_t i = 0; i < fallen.message_count; ++i) {
    fallen.messages[i] = exchanged(pattern.messages[i + 1]);
  }
  pattern = fallen;
  return true;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

bool known_modifier(std::string_view text) {
  return text == "fallback" || text.substr(0, 3) == "psk";
}

}  // namespace

std::optional<NoiseProtocol> noise_pattern(std::string_view text) {
  const std::size_t bare = static_cast<std::size_t>(
      std::find_if(text.begin(), text.end(),
                   [](char c) { return std::islower(static_cast<unsigned char>(c)) != 0; }) -
      text.begin());
  std::string_view name = text.substr(0, bare);
  const std::string_view modifiers = text.substr(bare);

  NoiseProtocol protocol;
  Side initiator, responder;
  if (name == "N" || name == "K" || name == "X") {
    protocol.one_way = true;
    initiator.letter = name[0];
    responder.letter = 'K';
  } else if (!read_side(name, "NKXI", initiator) || !read_side(name, "NKX", responder) ||
             !name.empty()) {
    return std::nullopt;
  }
  protocol.pattern = Derivation(initiator, responder, protocol.one_way).run();

  if (modifiers.empty()) return protocol;
  for (const std::string_view modifier : split(modifiers, '+')) {
    if (modifier == "fallback") {
      if (protocol.fallback || !apply_fallback(protocol.pattern)) return std::nullopt;
      protocol.fallback = true;
    } else if (modifier.substr(0, 3) != "psk" || !apply_psk(modifier.substr(3), protocol.pattern)) {
      return std::nullopt;
    }
  }
  return protocol;
}

NoiseSupport parse_noise_name(std::string_view name, NoiseProtocol& protocol) {
  const std::vector<std::string_view> parts = split(name, '_');
  if (parts.size() != 5 || parts[0] != "Noise") return NoiseSupport::other_algorithm;
  if (parts[2] != "25519" || (parts[3] != "ChaChaPoly" && parts[3] != "AESGCM") ||
      parts[4] != "BLAKE2b") {
    return NoiseSupport::other_algorithm;
  }
  const std::size_t lower = parts[1].find_first_of("abcdefghijklmnopqrstuvwxyz");
  if (lower != std::string_view::npos) {
    for (const std::string_view modifier : split(parts[1].substr(lower), '+')) {
      if (!known_modifier(modifier)) return NoiseSupport::other_algorithm;
    }
  }
  std::optional<NoiseProtocol> found = noise_pattern(parts[1]);
  if (!found) return NoiseSupport::unknown_pattern;
  protocol = *found;
  protocol.name = std::string(name);
  protocol.cipher = parts[3] == "AESGCM" ? Cipher::aes_256_gcm : Cipher::chacha20_poly1305;
  return NoiseSupport::runs;
}

}  // namespace mwtun::test
