#pragma once
// Reading typed values out of one TOML table. For config.cpp only: toml++ is heavy, and must be
// seen with one set of options.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/config.hpp"
#include "cli/config_keys.hpp"
#include "cli/config_text.hpp"

// toml++ without exceptions, and with a nesting no honest file needs: see config_text_sane().
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 8
#include <toml++/toml.h>

namespace mwtun {

inline ConfigPosition position_of(const toml::source_region& region) {
  return {std::max<std::uint32_t>(1, region.begin.line),
          std::max<std::uint32_t>(1, region.begin.column)};
}

inline const char* kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

/// A value with the place where it stood.
template <typename T>
struct Placed {
  T value;
  ConfigPosition at;
};

/// One table of the file: gives typed values and notes everything that does not fit.
class Section {
 public:
  /// @param what  for messages: "peer \"vps\": " or ""
  Section(const toml::table& table, std::string what, ConfigProblems& problems)
      : table_(table), what_(std::move(what)), problems_(problems) {}

  void refuse_unknown(Words known) const {
    for (const auto& [key, node] : table_) {
      if (contains(known, key.str())) continue;
      complain(position_of(key.source()), fmt::format("unknown key {}{}", in_quotes(key.str()),
                                                      unknown_key_hint(key.str(), known)));
    }
  }

  ConfigPosition position() const { return position_of(table_.source()); }
  bool has(std::string_view key) const { return table_.get(key) != nullptr; }
  /// Of the value, which must be there.
  ConfigPosition position_of_value(std::string_view key) const {
    return position_of(table_.get(key)->source());
  }
  void complain(ConfigPosition at, std::string_view text) const {
    problems_.add(at, what_ + std::string(text));
  }
  void complain_missing(std::string_view key, std::string_view example) const {
    complain(position(), fmt::format("{} is missing; add {} = {}", key, key, example));
  }

  std::optional<Placed<std::string>> text(std::string_view key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    return text_of(*node, fmt::format("{}", key));
  }

  /// Through one of the parsers of config_values.
  template <typename T>
  std::optional<Placed<T>> parsed(std::string_view key,
                                  Result<T> (*parse)(std::string_view)) const {
    const auto raw = text(key);
    return raw ? through(*raw, key, parse) : std::nullopt;
  }

  template <typename T>
  std::vector<Placed<T>> list(std::string_view key, std::size_t count_max, std::string_view example,
                              Result<T> (*parse)(std::string_view)) const {
    std::vector<Placed<T>> values;
    const toml::node* node = table_.get(key);
    if (node == nullptr) return values;
    const toml::array* entries = node->as_array();
    if (entries == nullptr) {
      complain(position_of(node->source()), fmt::format("{} is {}, not a list; write {} = {}", key,
                                                        kind_of(*node), key, example));
      return values;
    }
    if (entries->size() > count_max) {
      complain(position_of(node->source()), fmt::format("{} has {} entries; at most {} are taken",
                                                        key, entries->size(), count_max));
      return values;
    }
    for (const toml::node& entry : *entries) {
      const auto raw = text_of(entry, fmt::format("an entry of {}", key));
      if (!raw) continue;
      if (auto value = through(*raw, key, parse)) values.push_back(std::move(*value));
    }
    return values;
  }

  /// A text or a whole number, or a list of these: "udp", 47 or ["udp", 47]. The parser gets
  /// numbers as texts.
  template <typename T>
  std::vector<Placed<T>> one_or_more(std::string_view key, std::size_t count_max,
                                     Result<T> (*parse)(std::string_view)) const {
    std::vector<Placed<T>> values;
    const toml::node* node = table_.get(key);
    if (node == nullptr) return values;
    const auto take = [&](const toml::node& entry, std::string_view name) {
      std::optional<Placed<std::string>> raw;
      if (const toml::value<std::int64_t>* number = entry.as_integer()) {
        raw = {std::to_string(number->get()), position_of(entry.source())};
      } else {
        raw = text_of(entry, name);
      }
      if (!raw) return;
      if (auto value = through(*raw, key, parse)) values.push_back(std::move(*value));
    };
    const toml::array* entries = node->as_array();
    if (entries == nullptr) {
      take(*node, key);
    } else if (entries->empty() || entries->size() > count_max) {
      complain(position_of(node->source()),
               entries->empty()
                   ? fmt::format("{} is empty; give a value or leave it out", key)
                   : fmt::format("{} has {} entries; at most {} are taken", key, entries->size(),
                                 count_max));
    } else {
      for (const toml::node& entry : *entries) take(entry, fmt::format("an entry of {}", key));
    }
    return values;
  }

  std::optional<std::int64_t> integer(std::string_view key, std::int64_t low,
                                      std::int64_t high) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    const toml::value<std::int64_t>* number = node->as_integer();
    if (number == nullptr || number->get() < low || number->get() > high) {
      const std::string found =
          number == nullptr ? kind_of(*node) : fmt::format("{}", number->get());
      complain(
          position_of(node->source()),
          fmt::format("{} is {}; it must be a whole number from {} to {}", key, found, low, high));
      return std::nullopt;
    }
    return number->get();
  }

  bool boolean(std::string_view key, bool otherwise) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return otherwise;
    const toml::value<bool>* value = node->as_boolean();
    if (value == nullptr) {
      complain(position_of(node->source()),
               fmt::format("{} is {}; write true or false, without quotes", key, kind_of(*node)));
      return otherwise;
    }
    return value->get();
  }

  /// One of a few words.
  template <typename T>
  T choice(std::string_view key, T otherwise, Words words,
           std::optional<T> (*find)(std::string_view)) const {
    const auto word = text(key);
    if (!word) return otherwise;
    if (const std::optional<T> value = find(word->value)) return *value;
    complain(word->at, fmt::format("{} = {} is unknown; use {}{}", key, in_quotes(word->value),
                                   quoted_choice(words), did_you_mean(word->value, words)));
    return otherwise;
  }

  /// The tables of [[key]], at most `count_max` of them.
  std::vector<const toml::table*> tables(std::string_view key, std::string_view header,
                                         std::size_t count_max) const {
    std::vector<const toml::table*> found;
    const toml::node* node = table_.get(key);
    if (node == nullptr) return found;
    const toml::array* entries = node->as_array();
    if (entries == nullptr) {
      complain(position_of(node->source()),
               fmt::format("{} is {}; write it as [[{}]], with two brackets", key, kind_of(*node),
                           header));
      return found;
    }
    for (const toml::node& entry : *entries) {
      if (found.size() == count_max) {
        complain(position_of(entry.source()),
                 fmt::format("there are {} [[{}]]; at most {} are taken", entries->size(), header,
                             count_max));
        break;
      }
      if (const toml::table* table = entry.as_table()) {
        found.push_back(table);
      } else {
        complain(
            position_of(entry.source()),
            fmt::format("an entry of {} is {}; write it as [[{}]]", key, kind_of(entry), header));
      }
    }
    return found;
  }

 private:
  std::optional<Placed<std::string>> text_of(const toml::node& node, std::string_view name) const {
    const ConfigPosition at = position_of(node.source());
    const toml::value<std::string>* value = node.as_string();
    if (value == nullptr) {
      complain(at, fmt::format("{} is {}; write a text in quotes", name, kind_of(node)));
      return std::nullopt;
    }
    const std::string& text = value->get();
    const bool printable = std::none_of(text.begin(), text.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    if (text.empty() || !printable) {
      complain(at, fmt::format("{} {}", name,
                               text.empty() ? "is empty; give a value or leave it out"
                                            : "holds a control character"));
      return std::nullopt;
    }
    return Placed<std::string>{text, at};
  }

  template <typename T>
  std::optional<Placed<T>> through(const Placed<std::string>& raw, std::string_view key,
                                   Result<T> (*parse)(std::string_view)) const {
    Result<T> value = parse(raw.value);
    if (value) return Placed<T>{value.take(), raw.at};
    complain(raw.at, fmt::format("{}: {}", key, value.error().message));
    return std::nullopt;
  }

  const toml::table& table_;
  std::string what_;
  ConfigProblems& problems_;
};

/// Tells of the second use of what must be there once.
template <typename Key>
class Seen {
 public:
  void check(const Section& section, const Key& key, ConfigPosition at, std::string_view what) {
    const auto [before, fresh] = lines_.emplace(key, at.line);
    if (fresh) return;
    section.complain(at, fmt::format("{} is the same as in line {}; each must be its own", what,
                                     before->second));
  }

 private:
  std::map<Key, std::uint32_t> lines_;
};

/// Nothing when the text is not TOML; then problems says why.
inline std::optional<toml::table> parse_toml(std::string_view text, std::string_view file_name,
                                             ConfigProblems& problems) {
  if (!config_text_sane(text, problems)) return std::nullopt;
  toml::parse_result result = toml::parse(text, file_name);
  if (result) return std::move(result).table();
  std::string_view why = result.error().description();
  constexpr std::string_view preamble = "Error while parsing ";
  if (why.starts_with(preamble)) why.remove_prefix(preamble.size());
  problems.add(position_of(result.error().source()), fmt::format("not valid TOML: {}", why));
  return std::nullopt;
}

}  // namespace mwtun
