#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "cli/commands/commands.hpp"
#include "cli/exit_codes.hpp"

namespace mwtun {

static std::string own_path() {
  std::string path(4096, '\0');
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return path;
}

static std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

/// A script that nobody but root and we could have put there: it is run, perhaps as root.
static bool runnable(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         (status.st_mode & S_IXUSR) != 0 && (status.st_mode & S_IWOTH) == 0 &&
         (status.st_uid == 0 || status.st_uid == ::geteuid());
}

/// The command that runs the demonstration: installed beside the program, or in the source tree
/// that the program was built in.
static std::optional<std::vector<std::string>> find_demo(const std::string& folder) {
  for (const char* place : {"/mwtun-demo", "/../share/mwtun/demo"}) {
    if (runnable(folder + place)) return std::vector<std::string>{folder + place};
  }
  std::string tree = folder;
  for (int level = 0; level < 3 && !tree.empty(); ++level, tree = parent_of(tree)) {
    if (runnable(tree + "/dev") && ::access((tree + "/src/cli/main.cpp").c_str(), R_OK) == 0) {
      return std::vector<std::string>{tree + "/dev", "demo"};
    }
  }
  return std::nullopt;
}

int command_demo(const std::vector<std::string>& arguments) {
  const std::string program = own_path();
  std::optional<std::vector<std::string>> command = find_demo(parent_of(program));
  if (!command) {
    return report_error(
        {fmt::format("the demonstration is not here: neither {0}/mwtun-demo nor "
                     "{0}/../share/mwtun/demo, nor a source tree around the program; in a source "
                     "tree run ./dev demo",
                     parent_of(program)),
         exit_unavailable});
  }
  command->insert(command->end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : *command) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  // So that an installed script tries the program it was started from.
  ::setenv("MWTUN", program.c_str(), 1);
  ::execv(pointers[0], pointers.data());
  return report_error(os_error(errno, "cannot run " + command->front()));
}

}  // namespace mwtun
