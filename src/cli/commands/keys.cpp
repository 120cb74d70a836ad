#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cli/commands/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/key_files.hpp"
#include "crypto/init.hpp"
#include "crypto/keys.hpp"
#include "dataplane/io/os_entropy.hpp"

namespace mwtun {

static int crypto_failed() {
  return report_error({"libsodium could not be set up; is /dev/urandom there?", exit_os});
}

/// A key in a file that others can read is not secret, and will be refused when it is to be used.
static void warn_if_others_can_read_output() {
  struct stat status {};
  if (::fstat(STDOUT_FILENO, &status) != 0 || !S_ISREG(status.st_mode)) return;
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) == 0) return;
  std::fputs(
      "mwtun: warning: the key goes to a file that others may open; run \"chmod 600\" on it, or "
      "let mwtun "
      "make it: mwtun genkey FILE\n",
      stderr);
}

static int give_key(const Secret<32>& key, const std::string& path) {
  if (!path.empty()) {
    const Result<void> written = write_key_file(path, key);
    return written ? 0 : report_error(written.error());
  }
  warn_if_others_can_read_output();
  // Past stdio, whose buffer would keep a copy.
  std::string text = to_base64(key.view());
  text += '\n';
  const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
  const int code = errno;
  const bool whole = written == static_cast<ssize_t>(text.size());
  wipe_text(text);
  if (whole) return 0;
  return report_error({"cannot write to standard output: " + errno_text(code), exit_os});
}

int command_genkey(const std::string& path) {
  if (!crypto_start()) return crypto_failed();
  OsEntropy entropy;
  return give_key(generate_private_key(entropy), path);
}

int command_genpsk(const std::string& path) {
  if (!crypto_start()) return crypto_failed();
  OsEntropy entropy;
  PresharedKey key;
  entropy.fill(key.mutable_view());
  return give_key(key, path);
}

int command_pubkey() {
  if (!crypto_start()) return crypto_failed();
  std::string text(4096, '\0');
  std::size_t used = 0;
  while (used < text.size()) {
    const ssize_t count = ::read(STDIN_FILENO, text.data() + used, text.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return report_error({"cannot read standard input: " + errno_text(errno), exit_os});
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
  }
  const Result<Secret<32>> key =
      key_from_text(std::string_view(text).substr(0, used), "standard input");
  wipe_text(text);
  if (!key) return report_error(key.error());
  return write_out(to_base64(public_key_of(key.value()).bytes) + "\n");
}

}  // namespace mwtun
