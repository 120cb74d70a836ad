// The program itself, as a shell sees it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <vector>

#include "memory_keys.hpp"
#include "temp_folder.hpp"

using namespace mwtun;

namespace {

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Runs mwtun with the arguments, standard input from `input`.
Outcome run(const TempFolder& folder, std::vector<std::string> arguments,
            const std::string& input = "") {
  const std::string in = folder.write("stdin", input);
  const std::string out = folder.write("stdout", ""), err = folder.write("stderr", "");
  arguments.insert(arguments.begin(), MWTUN_PROGRAM);
  std::vector<char*> pointers;
  for (std::string& word : arguments) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(::open(in.c_str(), O_RDONLY), 0);
    ::dup2(::open(out.c_str(), O_WRONLY), 1);
    ::dup2(::open(err.c_str(), O_WRONLY), 2);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_of(out), text_of(err)};
}

std::string config_text(const std::string& peer_public_key) {
  return "private_key_file = \"own.key\"\n[[peer]]\nname = \"vps\"\npublic_key = \"" +
         peer_public_key + "\"\nendpoint = \"192.0.2.1:4649\"\ntap = \"mwt0\"\n";
}

}  // namespace

TEST_CASE("the program makes keys that fit together") {
  REQUIRE(crypto_start());
  const TempFolder folder;
  const Outcome key = run(folder, {"genkey"});
  CHECK(key.code == 0);
  CHECK(key.err.empty());  // The output file has mode 0600.
  REQUIRE(key.out.size() == 45);
  const Outcome pub = run(folder, {"pubkey"}, key.out);
  CHECK(pub.code == 0);
  const auto secret = from_base64_32(key.out.substr(0, 44));
  REQUIRE(secret.has_value());
  CHECK(pub.out == to_base64(public_key_of(*secret).bytes) + "\n");
  CHECK(run(folder, {"genpsk"}).out != run(folder, {"genpsk"}).out);

  CHECK(run(folder, {"genkey", folder / "new.key"}).code == 0);
  CHECK(run(folder, {"pubkey"}, text_of(folder / "new.key")).out.size() == 45);
  const Outcome again = run(folder, {"genkey", folder / "new.key"});
  CHECK(again.code == 71);
  CHECK(again.err.find("keys are never overwritten") != std::string::npos);
  CHECK(run(folder, {"pubkey"}, "not a key").code == 78);
}

TEST_CASE("a key written where others can read it is warned about") {
  const TempFolder folder;
  const std::string out = folder.write("stdout", "");
  REQUIRE(::chmod(out.c_str(), 0644) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(::open(out.c_str(), O_WRONLY), 1);
    ::dup2(::open((folder / "err").c_str(), O_WRONLY | O_CREAT, 0600), 2);
    ::execl(MWTUN_PROGRAM, "mwtun", "genpsk", nullptr);
    ::_exit(127);
  }
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(text_of(folder / "err").find("chmod 600") != std::string::npos);
  CHECK(text_of(out).size() == 45);
}

TEST_CASE("a wrong command line ends with 64 and says what was meant") {
  const TempFolder folder;
  const Outcome typo = run(folder, {"staus"});
  CHECK(typo.code == 64);
  CHECK(typo.out.empty());
  CHECK(typo.err ==
        "mwtun: there is no command \"staus\"; did you mean \"status\"?\n"
        "mwtun: for a list: mwtun help\n");
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"client"},
                                             {"server"},
                                             {"check"},
                                             {"client", "a", "b"},
                                             {"status", "--jsno"},
                                             {"--nonsense"},
                                             {"status", "--check", "--watch"},
                                             {"status", "--socket"},
                                             {"help", "nothing"}}) {
    INFO(arguments.front() << " " << arguments.back());
    const Outcome outcome = run(folder, arguments);
    CHECK(outcome.code == 64);
    CHECK(outcome.out.empty());
    CHECK_FALSE(outcome.err.empty());
  }
}

TEST_CASE("help and version go to standard output with code 0") {
  const TempFolder folder;
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"help"}, {"--help"}, {"-h"}, {"help", "status"}, {"status", "--help"}}) {
    const Outcome outcome = run(folder, arguments);
    CHECK(outcome.code == 0);
    CHECK(outcome.out.find("Usage: mwtun") != std::string::npos);
    CHECK(outcome.err.empty());
  }
  CHECK(run(folder, {"version"}).out.starts_with("mwtun "));
  CHECK(run(folder, {"--version"}).out == run(folder, {"version"}).out);
}

TEST_CASE(
    "check tells every mistake with its position, and nothing else does anything with a bad file") {
  REQUIRE(crypto_start());
  const TempFolder folder;
  CHECK(run(folder, {"genkey", folder / "own.key"}).code == 0);
  const std::string good = folder.write("good.toml", config_text(public_text_of_seed(5)));
  const Outcome fine = run(folder, {"check", good});
  CHECK(fine.code == 0);
  CHECK(fine.out == good + ": in order, for mwtun client: 1 peer, 1 link\n");

  const std::string bad =
      folder.write("bad.toml", config_text(public_text_of_seed(5)) + "mtu = 1\nwieght = 1\n");
  for (const char* command : {"check", "client", "server"}) {
    const Outcome outcome = run(folder, {command, bad});
    CHECK(outcome.code == 78);
    CHECK(outcome.out.empty());
    CHECK(outcome.err.find("mwtun: " + bad + ":7:7: peer \"vps\": mtu is 1;") == 0);
    CHECK(outcome.err.find("\nmwtun: " + bad + ":8:1: peer \"vps\": unknown key \"wieght\"") !=
          std::string::npos);
  }
  const Outcome role = run(folder, {"server", good});
  CHECK(role.code == 78);
  CHECK(role.err.find(":1:1: a server needs an address to listen on") != std::string::npos);
  CHECK(run(folder, {"client", folder / "none.toml"}).code == 78);
}

TEST_CASE("status where nothing runs ends with 69, also with --check") {
  const TempFolder folder;
  const std::string socket = folder / "home.sock";
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{}, {"--json"}, {"--check"}, {"--watch"}}) {
    std::vector<std::string> arguments = {"status", "--socket", socket};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(folder, arguments);
    CHECK(outcome.code == 69);
    CHECK(outcome.out.empty());
    CHECK(outcome.err.find("no tunnel runs at " + socket) != std::string::npos);
  }
}
