#include "cli/config_text.hpp"
#include "cli/exit_codes.hpp"

#include <fmt/format.h>

#include <algorithm>
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

bool config_text_sane(std::string_view text, ConfigProblems& problems) {
  constexpr std::size_t line_bytes_max = 4096, line_dots_max = 100;
  if (text.size() > config_bytes_max) {
    problems.add({}, fmt::format("the file has {} bytes; at most {} are read", text.size(),
                                 config_bytes_max));
    return false;
  }
  ConfigPosition at;
  for (; !text.empty(); ++at.line) {
    const std::size_t length = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    if (const std::size_t zero = line.find('\0'); zero != line.npos) {
      at.column = static_cast<std::uint32_t>(zero + 1);
      problems.add(at, "a zero byte; the file must be plain UTF-8 text");
      return false;
    }
    if (line.size() > line_bytes_max) {
      problems.add(at, fmt::format("the line has {} bytes; at most {} are read", line.size(),
                                   line_bytes_max));
      return false;
    }
    if (std::count(line.begin(), line.end(), '.') > static_cast<std::ptrdiff_t>(line_dots_max)) {
      problems.add(at, fmt::format("more than {} dots in one line; write a list one entry a line",
                                   line_dots_max));
      return false;
    }
  }
  return true;
}

}  // namespace mwtun
