#include "cli/usage_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "cli/config_values.hpp"
#include "cli/exit_codes.hpp"
#include "cli/key_files.hpp"
#include "dataplane/io/fd.hpp"

namespace mwtun {

static constexpr int usage_schema = 1;

std::string usage_to_json(const UsageRecords& records) {
  nlohmann::ordered_json links = nlohmann::ordered_json::object();
  for (const auto& [label, record] : records) {
    links[label] = {{"month", to_string(record.month)}, {"bytes", record.bytes}};
  }
  const nlohmann::ordered_json json = {{"schema", usage_schema}, {"links", std::move(links)}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

static Error broken(std::string why) {
  return Error{std::move(why), exit_config};
}

Result<UsageRecords> usage_from_json(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return broken("it is not a JSON object");
  const auto schema = json.find("schema");
  if (schema == json.end() || *schema != usage_schema) {
    return broken(fmt::format("it is not of schema {}", usage_schema));
  }
  const auto links = json.find("links");
  if (links == json.end() || !links->is_object()) return broken("it has no \"links\"");
  UsageRecords records;
  for (const auto& [label, entry] : links->items()) {
    const auto bytes = entry.is_object() ? entry.find("bytes") : entry.end();
    const auto month = entry.is_object() ? entry.find("month") : entry.end();
    const bool sound = bytes != entry.end() && bytes->is_number_unsigned() &&
                       month != entry.end() && month->is_string();
    const auto began = sound ? parse_billing_month(month->get_ref<const std::string&>())
                             : std::optional<BillingMonth>{};
    if (!began) return broken(fmt::format("its entry {} is not understood", in_quotes(label)));
    records[label] = {*began, bytes->get<std::uint64_t>()};
  }
  return records;
}

Result<UsageRecords> read_usage_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return UsageRecords{};
  }
  const Result<std::string> text = read_small_file(path, usage_file_bytes_max);
  if (!text) {
    return Error{fmt::format("{}; the monthly volumes are counted from zero", text.error().message),
                 text.error().exit_code};
  }
  Result<UsageRecords> records = usage_from_json(text.value());
  if (!records) {
    return Error{fmt::format("{} is broken: {}; the monthly volumes are counted from zero", path,
                             records.error().message),
                 exit_config};
  }
  return records;
}

std::string set_usage_file_aside(const std::string& path) {
  std::string aside = path + ".unread";
  return ::rename(path.c_str(), aside.c_str()) == 0 ? aside : std::string{};
}

static Error not_written(const std::string& path, int code) {
  return Error{fmt::format("cannot write {}: {}; what the links use of their monthly volume is "
                           "forgotten when mwtun ends. Set state_dir to a folder it may write to",
                           path, errno_text(code)),
               exit_os};
}

Result<void> write_usage_file(const std::string& path, const UsageRecords& records) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return not_written(path, errno);
  const std::string fresh = path + ".new";
  const std::string text = usage_to_json(records) + "\n";
  {
    const Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                         S_IRUSR | S_IWUSR));
    if (!file) return not_written(fresh, errno);
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t count = ::write(file.get(), text.data() + done, text.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        const int code = count == 0 ? ENOSPC : errno;
        ::unlink(fresh.c_str());
        return not_written(fresh, code);
      }
      done += static_cast<std::size_t>(count);
    }
    // Else the name could reach the disk before the bytes.
    if (::fsync(file.get()) != 0) {
      const int code = errno;
      ::unlink(fresh.c_str());
      return not_written(fresh, code);
    }
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    const int code = errno;
    ::unlink(fresh.c_str());
    return not_written(path, code);
  }
  const Fd held(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (held) ::fsync(held.get());
  return {};
}

}  // namespace mwtun
