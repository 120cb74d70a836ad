#include "cli/config_text.hpp"
#include "cli/exit_codes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>

namespace mwtun {

void ConfigProblems::add(ConfigPosition at, std::string what) {
  for (char& c : what) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  found_.push_back({at, std::move(what)});
}

Error ConfigProblems::error() const {
  std::vector<Problem> ordered = found_;
  std::stable_sort(ordered.begin(), ordered.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.at.line, a.at.column) < std::tie(b.at.line, b.at.column);
  });
  std::string message;
  for (std::size_t i = 0; i < std::min(ordered.size(), shown_max); ++i) {
    if (i > 0) message += '\n';
    message += fmt::format("{}:{}:{}: {}", file_name_, ordered[i].at.line, ordered[i].at.column,
                           ordered[i].what);
  }
  if (ordered.size() > shown_max) {
    const ConfigPosition& at = ordered[shown_max].at;
    message += fmt::format("\n{}:{}:{}: and {} more", file_name_, at.line, at.column,
                           ordered.size() - shown_max);
  }
  return Error{std::move(message), exit_config};
}

/// Whether a line that begins a table's header goes on with a name: "[peer]", "[[peer]]". Lists in
/// lists may fail this too, but no key takes one.
static bool header_has_name(std::string_view line) {
  const auto skip_blanks = [&line] {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  };
  skip_blanks();
  if (!line.starts_with('[')) return true;
  for (int bracket = 0; bracket < 2 && line.starts_with('['); ++bracket) {
    line.remove_prefix(1);
    skip_blanks();
  }
  if (line.empty()) return false;
  const char c = line.front();
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '"' || c == '\'' || c == ']';
}

/// One byte after the text in quotes that begins at `open`; the line's end when the quote is not
/// closed.
static std::size_t after_quotes(std::string_view line, std::size_t open) {
  const char quote = line[open];
  for (std::size_t i = open + 1; i < line.size(); ++i) {
    if (line[i] == quote) return i + 1;
    if (line[i] == '\\' && quote == '"') ++i;
  }
  return line.size();
}

namespace {

struct Flaw {
  std::size_t at;  // Byte of the line, from 0.
  std::string what;
};

}  // namespace

static std::optional<Flaw> flaw_in(std::string_view line) {
  constexpr std::size_t line_bytes_max = 4096, line_dots_max = 100;
  if (line.size() > line_bytes_max) {
    return Flaw{
        0, fmt::format("the line has {} bytes; at most {} are read", line.size(), line_bytes_max)};
  }
  if (const std::size_t zero = line.find('\0'); zero != line.npos) {
    return Flaw{zero, "a zero byte; the file must be plain UTF-8 text"};
  }
  if (!header_has_name(line))
    return Flaw{0, "a bracket without a name; write [[peer]] or [[peer.link]]"};
  std::size_t dots = 0;
  for (std::size_t i = 0; i < line.size() && line[i] != '#';) {
    const char c = line[i];
    if (c == '"' || c == '\'') {
      if (line.substr(i + 1).starts_with(std::string(2, c))) {
        return Flaw{
            i, "three quotes; no value takes more than one line, so use one quote on each side"};
      }
      i = after_quotes(line, i);
      continue;
    }
    if (static_cast<unsigned char>(c) >= 0x80)
      return Flaw{i, "a character outside quotes that is not ASCII"};
    if (c == '.' && ++dots > line_dots_max)
      return Flaw{i, "more dots outside quotes than any key has"};
    ++i;
  }
  return std::nullopt;
}

bool config_text_sane(std::string_view text, ConfigProblems& problems) {
  if (text.size() > config_bytes_max) {
    problems.add({}, fmt::format("the file has {} bytes; at most {} are read", text.size(),
                                 config_bytes_max));
    return false;
  }
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  for (std::uint32_t number = 1; !text.empty(); ++number) {
    const std::size_t length = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    const std::optional<Flaw> flaw = flaw_in(line);
    if (!flaw) continue;
    // Columns count characters, as the TOML parser's do.
    const std::string_view before = line.substr(0, flaw->at);
    const auto characters = std::count_if(before.begin(), before.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    });
    problems.add({number, static_cast<std::uint32_t>(characters) + 1}, flaw->what);
    return false;
  }
  return true;
}

}  // namespace mwtun
