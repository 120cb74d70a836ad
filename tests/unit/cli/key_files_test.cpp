#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "cli/config_file.hpp"
#include "cli/key_files.hpp"
#include "memory_keys.hpp"
#include "temp_folder.hpp"

using namespace mwtun;

namespace {

const std::string key_text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

std::string refusal(const TempFolder& folder, const std::string& name) {
  KeyFiles files(folder.path());
  const Result<Secret<32>> key = files.read_key(name);
  if (key) return "accepted";
  CHECK(key.error().message.find(key_text.substr(0, 20)) == std::string::npos);
  return key.error().message;
}

}  // namespace

TEST_CASE("a key file is read relative to the configuration's folder") {
  const TempFolder folder;
  folder.write("a.key", key_text + "\n");
  KeyFiles files(folder.path());
  const Result<Secret<32>> key = files.read_key("a.key");
  REQUIRE(key.ok());
  for (std::size_t i = 0; i < 32; ++i) CHECK(key.value().view()[i] == i);
  CHECK(files.read_key(folder / "a.key").ok());
}

TEST_CASE("a key file that is not private, plain and a key is refused") {
  const TempFolder folder;
  const std::string path = folder.write("a.key", key_text + "\n");

  for (const mode_t mode : {0640u, 0604u, 0610u, 0601u, 0660u, 0644u, 0622u, 0777u}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CHECK(refusal(folder, "a.key").find("close it: chmod 600 " + path) != std::string::npos);
  }
  REQUIRE(::chmod(path.c_str(), 0400) == 0);
  CHECK(refusal(folder, "a.key") == "accepted");

  REQUIRE(::symlink(path.c_str(), (folder / "link.key").c_str()) == 0);
  CHECK(refusal(folder, "link.key").find("is a symbolic link") != std::string::npos);
  REQUIRE(::mkfifo((folder / "fifo.key").c_str(), 0600) == 0);
  CHECK(refusal(folder, "fifo.key").find("is not a regular file") != std::string::npos);
  REQUIRE(::mkdir((folder / "dir.key").c_str(), 0700) == 0);
  CHECK(refusal(folder, "dir.key").find("is not a regular file") != std::string::npos);
  CHECK(refusal(folder, "none.key").find("there is no key file") != std::string::npos);
  CHECK(refusal(folder, std::string("a.key\0b", 7)).find("NUL") != std::string::npos);

  folder.write("empty.key", "");
  CHECK(refusal(folder, "empty.key").find("is empty") != std::string::npos);
  folder.write("short.key", key_text.substr(0, 43));
  CHECK(refusal(folder, "short.key").find("found 43") != std::string::npos);
  folder.write("two.key", key_text + "\n" + key_text + "\n");
  CHECK(refusal(folder, "two.key").find("found 89") != std::string::npos);
  folder.write("loose.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=");
  CHECK(refusal(folder, "loose.key").find("does not hold a key") != std::string::npos);
  folder.write("url.key", "__8CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
  CHECK(refusal(folder, "url.key").find("does not hold a key") != std::string::npos);
  folder.write("huge.key", std::string(100'000, 'A'));
  CHECK(refusal(folder, "huge.key").find("does not hold a key") != std::string::npos);
}

TEST_CASE("a key file of another user is refused") {
  if (::geteuid() != 0) return;  // Only root can give a file away.
  const TempFolder folder;
  const std::string path = folder.write("a.key", key_text);
  REQUIRE(::chown(path.c_str(), 12345, 12345) == 0);
  CHECK(refusal(folder, "a.key").find("belongs to user 12345") != std::string::npos);
}

TEST_CASE("a written key file has mode 0600, reads back and is never overwritten") {
  const TempFolder folder;
  const mode_t before = ::umask(0);
  const Result<void> written = write_key_file(folder / "new.key", key_of_seed(3));
  ::umask(before);
  REQUIRE(written.ok());
  struct stat status {};
  REQUIRE(::stat((folder / "new.key").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  KeyFiles files(folder.path());
  REQUIRE(files.read_key("new.key").ok());
  CHECK(files.read_key("new.key").value().equals(key_of_seed(3)));

  const Result<void> again = write_key_file(folder / "new.key", key_of_seed(4));
  REQUIRE_FALSE(again.ok());
  CHECK(again.error().exit_code == 71);
  CHECK(files.read_key("new.key").value().equals(key_of_seed(3)));
  CHECK_FALSE(write_key_file(folder / "none/new.key", key_of_seed(4)).ok());
}

TEST_CASE("a text that held a key holds nothing after wiping") {
  std::string text = key_text;
  const char* memory = text.data();
  const std::size_t capacity = text.capacity();
  wipe_text(text);
  CHECK(text.empty());
  for (std::size_t i = 0; i < capacity; ++i) CHECK(memory[i] == '\0');
}

TEST_CASE(
    "a configuration is loaded with the keys beside it, and refused as a whole where it cannot be "
    "read") {
  REQUIRE(crypto_start());
  const TempFolder folder;
  REQUIRE(write_key_file(folder / "own.key", key_of_seed(1)).ok());
  const std::string path = folder.write(
      "home.toml",
      "private_key_file = \"own.key\"\nlisten = [\"[::]:4649\"]\n[[peer]]\nname = \"a\"\ntap = "
      "\"mwt0\"\npublic_key = \"" +
          public_text_of_seed(2) + "\"\n");
  const Result<Config> config = load_config(path);
  REQUIRE(config.ok());
  CHECK(config.value().private_key.equals(key_of_seed(1)));
  CHECK(find_control_path(path).value() == "/run/mwtun/home.sock");
  CHECK(find_control_path("van").value() == "/run/mwtun/van.sock");
  CHECK(find_control_path("./van").error().exit_code == 78);

  const auto load_error = [](const std::string& name) {
    const Result<Config> bad = load_config(name);
    REQUIRE_FALSE(bad.ok());
    return bad.error();
  };
  CHECK(load_error(folder / "none.toml").message ==
        (folder / "none.toml") + ":1:1: there is no file " + (folder / "none.toml"));
  CHECK(load_error(folder / "none.toml").exit_code == 78);
  CHECK(load_error(folder.path()).message.find("is not a regular file") != std::string::npos);
  REQUIRE(::mkfifo((folder / "fifo.toml").c_str(), 0600) == 0);
  CHECK(load_error(folder / "fifo.toml").message.find("is not a regular file") !=
        std::string::npos);
  CHECK(load_error(folder.write("big.toml", std::string((1 << 20) + 1, '\n')))
            .message.find("1048577 bytes") != std::string::npos);
  REQUIRE(::chmod((folder / "own.key").c_str(), 0644) == 0);
  CHECK(load_error(path).message.starts_with(path + ":1:20: private_key_file: key file "));
  CHECK(load_error(path).exit_code == 78);
}
