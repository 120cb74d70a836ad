#include "cli/config_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include "cli/exit_codes.hpp"
#include "cli/key_files.hpp"

namespace mwtun {

/// The folder of a file, empty for the current one.
static std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {};
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Every complaint about the file as a whole carries a position too, so that tools need one pattern
/// only.
static Result<std::string> read_config_text(const std::string& path) {
  Result<std::string> text = read_small_file(path, config_bytes_max);
  if (text) return text;
  return Error{fmt::format("{}:1:1: {}", path, text.error().message), text.error().exit_code};
}

Result<Config> load_config(const std::string& path) {
  const Result<std::string> text = read_config_text(path);
  if (!text) return text.error();
  KeyFiles keys(folder_of(path));
  return parse_config(text.value(), path, keys);
}

Result<std::string> find_control_path(const std::string& file_or_name) {
  struct stat status {};
  const bool exists = ::stat(file_or_name.c_str(), &status) == 0;
  if (!exists && file_or_name.find_first_of("/.") == std::string::npos) {
    return default_control_path(file_or_name);
  }
  const Result<std::string> text = read_config_text(file_or_name);
  if (!text) return text.error();
  return parse_control_path(text.value(), file_or_name);
}

}  // namespace mwtun
