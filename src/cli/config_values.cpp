#include "cli/config_values.hpp"
#include "cli/exit_codes.hpp"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>

namespace mwtun {

static Error bad(std::string message) {
  return Error{std::move(message), exit_config};
}

/// base's parse_address hands C strings to the system, so a NUL would hide what follows it.
static Address numeric_address(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return {};
  return parse_address(text);
}

static bool multicast(const Address& address) {
  return address.family == Family::v4 ? address.ip[0] >> 4 == 14 : address.ip[0] == 0xff;
}

static bool broadcast(const Address& address) {
  return address.family == Family::v4 &&
         std::all_of(address.ip.begin(), address.ip.begin() + 4, [](auto b) { return b == 255; });
}

static bool label_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t bytes_max = 60;
  std::string out = "\"";
  const std::string_view shown = text.substr(0, bytes_max);
  for (const char c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  // A character cut in half would spoil the terminal's line.
  if (text.size() > bytes_max) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (static_cast<unsigned char>(out.back()) >= 0xc0) out.pop_back();
    out += "...";
  }
  return out + '"';
}

std::string to_string(const HostPort& endpoint) {
  if (endpoint.address.known()) return to_string(endpoint.address);
  return fmt::format("{}:{}", endpoint.host, endpoint.port);
}

std::string to_string(const Prefix& prefix) {
  return fmt::format("{}/{}", to_string(prefix.address), prefix.length);
}

/// RFC 1123 host names, plus the underscore that some zones use.
static bool host_name_valid(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > 253) return false;
  std::size_t label_bytes = 0;
  char before = '.';
  for (const char c : name) {
    if (c == '.') {
      if (label_bytes == 0 || before == '-') return false;
      label_bytes = 0;
    } else {
      if (!label_character(c) && c != '_' && c != '-') return false;
      if (c == '-' && label_bytes == 0) return false;
      if (++label_bytes > 63) return false;
    }
    before = c;
  }
  return label_bytes > 0 && before != '-';
}

static bool all_digits_and_dots(std::string_view text) {
  return text.find_first_not_of("0123456789.") == std::string_view::npos;
}

static std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

Result<HostPort> parse_host_port(std::string_view text) {
  constexpr const char* example =
      R"(write "vps.example.net:4649", "192.0.2.1:4649" or "[2001:db8::1]:4649")";
  if (const Address whole = numeric_address(text); whole.known()) {
    if (whole.port == 0) return bad(fmt::format("{} has no port; {}", in_quotes(text), example));
    if (whole.any() || multicast(whole) || broadcast(whole)) {
      return bad(
          fmt::format("{} is not an address one can connect to; {}", in_quotes(text), example));
    }
    HostPort endpoint;
    endpoint.host = to_string(whole.with_port(0));
    endpoint.port = whole.port;
    endpoint.address = whole;
    return endpoint;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return bad(fmt::format("{} has no port; {}", in_quotes(text), example));
  }
  const std::string_view host = text.substr(0, colon);
  const auto port = parse_port(text.substr(colon + 1));
  if (!port)
    return bad(fmt::format("{} needs a port from 1 to 65535; {}", in_quotes(text), example));
  if (!host_name_valid(host) || all_digits_and_dots(host)) {
    return bad(
        fmt::format("{} is neither a host name nor an address; {}", in_quotes(host), example));
  }
  return HostPort{std::string(host), *port, {}};
}

Result<Address> parse_host_address(std::string_view text) {
  const Address address = numeric_address(text);
  if (!address.known()) {
    return bad(fmt::format(R"({} is not an IP address; write "192.0.2.10" or "2001:db8::10")",
                           in_quotes(text)));
  }
  if (address.port != 0) {
    return bad(fmt::format("{} has a port, which has no meaning here; write {}", in_quotes(text),
                           in_quotes(to_string(address.with_port(0)))));
  }
  if (address.any() || multicast(address) || broadcast(address)) {
    return bad(fmt::format("{} is not the address of one host", in_quotes(text)));
  }
  return address;
}

Result<Address> parse_listen_address(std::string_view text) {
  constexpr const char* example =
      R"(write "0.0.0.0:4649", "[::]:4649" or one address of this host)";
  const Address address = numeric_address(text);
  if (!address.known()) {
    return bad(fmt::format("{} is not an address with a port; {}", in_quotes(text), example));
  }
  if (address.port == 0) return bad(fmt::format("{} has no port; {}", in_quotes(text), example));
  if (multicast(address) || broadcast(address)) {
    return bad(fmt::format("{} is not an address of this host; {}", in_quotes(text), example));
  }
  return address;
}

/// True when every bit after the prefix has the value `set`.
static bool host_bits_are(const Address& address, unsigned length, unsigned bits, bool set) {
  for (unsigned bit = length; bit < bits; ++bit) {
    if (((address.ip[bit / 8] >> (7 - bit % 8) & 1) != 0) != set) return false;
  }
  return true;
}

Result<Prefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return bad(fmt::format(R"({} has no prefix length; write "10.90.0.2/24" or "fd00::2/64")",
                           in_quotes(text)));
  }
  Result<Address> address = parse_host_address(text.substr(0, slash));
  if (!address) return address.error();
  const std::string_view digits = text.substr(slash + 1);
  const unsigned bits = address.value().family == Family::v6 ? 128 : 32;
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length == 0 ||
      length > bits) {
    return bad(fmt::format("{} needs a prefix length from 1 to {} after the slash", in_quotes(text),
                           bits));
  }
  if (bits == 32 && length < 31 &&
      (host_bits_are(address.value(), length, bits, false) ||
       host_bits_are(address.value(), length, bits, true))) {
    return bad(
        fmt::format("{} names the network or its broadcast address; give the address of "
                    "this end within it",
                    in_quotes(text)));
  }
  return Prefix{address.value(), static_cast<std::uint8_t>(length)};
}

static std::optional<std::uint64_t> parse_rate(std::string_view text) {
  if (text.empty()) return std::nullopt;
  double scale = 1;
  switch (text.back()) {
    case 'k':
    case 'K': scale = 1e3; break;
    case 'm':
    case 'M': scale = 1e6; break;
    case 'g':
    case 'G': scale = 1e9; break;
    default: break;
  }
  if (scale > 1) text.remove_suffix(1);
  if (text.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos) {
    return std::nullopt;
  }
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > 1e15)
    return std::nullopt;
  if (number * scale > 1e18) return std::nullopt;
  return static_cast<std::uint64_t>(number * scale + 0.5);
}

Result<RatePair> parse_rate_pair(std::string_view text) {
  constexpr std::uint64_t bps_min = 10'000, bps_max = 1'000'000'000'000;
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return bad(fmt::format(R"({} is one rate where two are needed; write "DOWN/UP", as in )"
                           R"("300M/50M")",
                           in_quotes(text)));
  }
  const auto down = parse_rate(text.substr(0, slash)), up = parse_rate(text.substr(slash + 1));
  if (!down || !up) {
    return bad(fmt::format(R"({} is not a pair of rates in bits a second; write "DOWN/UP", as in )"
                           R"("300M/50M")",
                           in_quotes(text)));
  }
  for (const std::uint64_t rate : {*down, *up}) {
    if (rate < bps_min || rate > bps_max) {
      return bad(
          fmt::format(R"({} has a rate outside 10k to 1000G bits a second; is the k, M or G )"
                      "missing?",
                      in_quotes(text)));
    }
  }
  return RatePair{*down, *up};
}

Result<std::uint64_t> parse_byte_count(std::string_view text) {
  constexpr std::uint64_t bytes_min = 1'000'000, bytes_max = 1'000'000'000'000'000;
  constexpr const char* example = R"(write "50G" or "1.5T" (1G is 1,000,000,000 bytes))";
  std::optional<std::uint64_t> count;
  if (!text.empty() && (text.back() == 'T' || text.back() == 't')) {
    count = parse_rate(std::string(text.substr(0, text.size() - 1)) + "G");
    if (count) *count = *count > bytes_max / 1000 ? bytes_max + 1 : *count * 1000;
  } else {
    count = parse_rate(text);
  }
  if (!count) return bad(fmt::format("{} is not an amount of data; {}", in_quotes(text), example));
  if (*count < bytes_min || *count > bytes_max) {
    return bad(fmt::format("{} is not between 1M and 1000T bytes; {}", in_quotes(text), example));
  }
  return *count;
}

Result<std::string> parse_interface_name(std::string_view text) {
  // The kernel's dev_valid_name(), less '%', which it would read as a pattern.
  const bool shape = !text.empty() && text.size() < IFNAMSIZ && text != "." && text != "..";
  const bool characters = std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%';
  });
  if (shape && characters) return std::string(text);
  return bad(
      fmt::format("{} is not an interface name; use 1 to {} characters, without blanks and "
                  "/ : %",
                  in_quotes(text), IFNAMSIZ - 1));
}

Result<std::string> parse_label(std::string_view text) {
  const bool good =
      !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
        return label_character(c) || c == '.' || c == '_' || c == '+' || c == '-';
      });
  if (good) return std::string(text);
  return bad(
      fmt::format("{} is not a name; use 1 to 32 letters, digits and . _ + -", in_quotes(text)));
}

/// Optimal string alignment: Levenshtein's distance with neighbours swapped as one edit.
static std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> two_up(b.size() + 1), up(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) up[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = up[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replace, up[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two_up[j - 2] + 1);
      }
    }
    two_up.swap(up);
    up.swap(row);
  }
  return up[b.size()];
}

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > 40) return {};
  std::string_view nearest;
  std::size_t nearest_edits = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t edits = edit_distance(word, candidate);
    if (edits < nearest_edits) nearest_edits = edits, nearest = candidate;
  }
  return nearest;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string_view nearest = nearest_word(word, candidates);
  return nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest);
}

std::string quoted_choice(std::span<const std::string_view> words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += in_quotes(words[i]);
  }
  return out;
}

}  // namespace mwtun
