#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cli/config.hpp"

namespace mwtun {

/// Everything found wrong with one file, to be told in one go.
class ConfigProblems {
 public:
  static constexpr std::size_t shown_max = 50;

  explicit ConfigProblems(std::string_view file_name) : file_name_(file_name) {}
  void add(ConfigPosition at, std::string what);
  bool empty() const { return found_.empty(); }
  std::size_t count() const { return found_.size(); }
  /// "file:line:column: what" a line, in the order of the file. There must be one.
  Error error() const;

 private:
  struct Problem {
    ConfigPosition at;
    std::string what;
  };
  std::string file_name_;
  std::vector<Problem> found_;
};

/// Refuses what could hurt the TOML parser (toml++ 3.3) before it sees it. Its destructors recurse
/// as deep as keys are nested, so lines are bounded to 4096 bytes and 100 dots, and files to 1 MiB.
/// A header without a name, and some characters outside quotes, make it run into what it takes to
/// be unreachable. No file in order has any of it. False: problems has the first.
bool config_text_sane(std::string_view text, ConfigProblems& problems);

}  // namespace mwtun
