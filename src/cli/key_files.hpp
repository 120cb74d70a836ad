#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "cli/config.hpp"

namespace mwtun {

/// Reads a whole regular file of at most `bytes_max`; follows symbolic links, never waits for a
/// fifo. Errors: 77 not permitted, 78 anything else.
Result<std::string> read_small_file(const std::string& path, std::size_t bytes_max);

/// Key files on disk, relative names relative to `folder`. Refused are symbolic links, everything
/// that is not a regular file, files that group or others have any right to, and files that belong
/// neither to root nor to us. All of it is checked on the open descriptor.
class KeyFiles : public KeyReader {
 public:
  explicit KeyFiles(std::string folder) : folder_(std::move(folder)) {}
  Result<Secret<32>> read_key(std::string_view path) override;

 private:
  std::string folder_;
};

/// One key as base64 with blanks around it allowed; `where` names it in errors. Wipes nothing of
/// the caller's.
Result<Secret<32>> key_from_text(std::string_view text, std::string_view where);

/// Makes `path`, which must not exist, with mode 0600 and the key as one line of base64.
Result<void> write_key_file(const std::string& path, const Secret<32>& key);

/// Overwrites what a string holds, its spare room too.
void wipe_text(std::string& text);

}  // namespace mwtun
