#include "cli/usage_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "temp_folder.hpp"

using namespace mwtun;

static const UsageRecords sample = {{"vps/fibre", {{2026, 11}, 123'456'789'012'345}},
                                    {"vps/lte", {{2026, 10}, 0}}};

TEST_CASE("what links used is one line of JSON, and comes back as it was") {
  CHECK(usage_to_json(sample) ==
        R"({"schema":1,"links":{"vps/fibre":{"month":"2026-11","bytes":123456789012345},)"
        R"("vps/lte":{"month":"2026-10","bytes":0}}})");
  const Result<UsageRecords> back = usage_from_json(usage_to_json(sample));
  REQUIRE(back.ok());
  CHECK(back.value() == sample);
}

TEST_CASE("a usage file that is broken in any way says how") {
  for (const char* text :
       {"", "{", "[]", "7", "{}", R"({"schema":2,"links":{}})", R"({"schema":1})",
        R"({"schema":1,"links":[]})", R"({"schema":1,"links":{"a":7}})",
        R"({"schema":1,"links":{"a":{}}})", R"({"schema":1,"links":{"a":{"month":"2026-11"}}})",
        R"({"schema":1,"links":{"a":{"month":"2026-11","bytes":-1}}})",
        R"({"schema":1,"links":{"a":{"month":"2026-11","bytes":1.5}}})",
        R"({"schema":1,"links":{"a":{"month":"2026-13","bytes":1}}})",
        R"({"schema":1,"links":{"a":{"month":202611,"bytes":1}}})"}) {
    INFO(text);
    const Result<UsageRecords> records = usage_from_json(text);
    REQUIRE_FALSE(records.ok());
    CHECK(records.error().message.starts_with("it"));
  }
  CHECK_FALSE(usage_from_json(std::string(100'000, '[')).ok());
}

TEST_CASE("a file that was never written is empty, and one that is broken is named") {
  const TempFolder folder;
  const Result<UsageRecords> none = read_usage_file(folder / "home.usage.json");
  REQUIRE(none.ok());
  CHECK(none.value().empty());

  const std::string path = folder.write("home.usage.json", "{\"schema\":1,");
  const Result<UsageRecords> broken = read_usage_file(path);
  REQUIRE_FALSE(broken.ok());
  CHECK(broken.error().message == path +
                                      " is broken: it is not a JSON object; the monthly volumes "
                                      "are counted from zero");
  ::unlink(path.c_str());
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK_FALSE(read_usage_file(path).ok());  // And does not wait for a writer.
}

TEST_CASE("writing makes the folder, replaces the file whole and leaves nothing beside it") {
  const TempFolder folder;
  const std::string state = folder / "state", path = state + "/home.usage.json";
  REQUIRE(write_usage_file(path, sample).ok());
  CHECK(read_usage_file(path).value() == sample);

  // Whoever has the old one open keeps it: a new file took its name.
  std::ifstream old(path);
  UsageRecords more = sample;
  more["vps/sat"] = {{2026, 11}, 1};
  REQUIRE(write_usage_file(path, more).ok());
  std::string text;
  std::getline(old, text);
  CHECK(text == usage_to_json(sample));
  CHECK(read_usage_file(path).value() == more);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(state)) ++files;
  CHECK(files == 1);
}

TEST_CASE("what a crash left of a write is written over, and a link in its place is not followed") {
  const TempFolder folder;
  const std::string path = folder / "home.usage.json";
  folder.write("home.usage.json.new", std::string(5000, 'x'));
  REQUIRE(write_usage_file(path, sample).ok());
  CHECK(read_usage_file(path).value() == sample);

  const std::string other = folder.write("other", "untouched");
  REQUIRE(::symlink(other.c_str(), (path + ".new").c_str()) == 0);
  CHECK_FALSE(write_usage_file(path, sample).ok());
  CHECK(std::filesystem::file_size(other) == 9);
}

TEST_CASE("a write that fails names the file, the cause and the setting") {
  const TempFolder folder;
  const std::string file = folder.write("file", "");
  const Result<void> written = write_usage_file(file + "/home.usage.json", sample);
  REQUIRE_FALSE(written.ok());
  CHECK(written.error().message.find("/home.usage.json") != std::string::npos);
  CHECK(written.error().message.find("Set state_dir to a folder") != std::string::npos);
  CHECK(written.error().exit_code == 71);
}
