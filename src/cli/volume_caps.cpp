#include "cli/volume_caps.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>

#include "dataplane/io/system_clock.hpp"

namespace mwtun {

static constexpr Duration save_interval = seconds(60);
static constexpr Duration tell_interval = seconds(60);
/// An idle link's probes are not worth the flash memory's wear.
static constexpr std::uint64_t save_bytes_min = 100'000;

CivilDate local_date() {
  ::tzset();
  const auto now = static_cast<time_t>(wall_clock_ns() / 1'000'000'000);
  tm local{};
  if (::localtime_r(&now, &local) == nullptr) return {};
  return {local.tm_year + 1900, static_cast<unsigned>(local.tm_mon + 1),
          static_cast<unsigned>(local.tm_mday)};
}

VolumeCaps::VolumeCaps(const Config& config) : config_(config) {
  for (std::size_t p = 0; p < config.peers.size(); ++p) {
    const PeerEntry& peer = config.peers[p];
    for (std::size_t l = 0; l < peer.links.size(); ++l) {
      const LinkEntry& entry = peer.links[l];
      if (entry.monthly_bytes_max == 0) continue;
      lines_.push_back({.peer = PeerId{static_cast<std::uint16_t>(p)},
                        .link = LinkId{static_cast<std::uint8_t>(l)},
                        .configured = entry.link.role,
                        .label = peer.name + "/" + entry.link.name,
                        .usage = MonthlyUsage(entry.monthly_bytes_max, entry.monthly_day)});
    }
  }
}

Result<void> VolumeCaps::load() {
  Result<UsageRecords> records = read_usage_file(config_.usage_file);
  if (!records) {
    urgent_ = unsaved_ = true;  // So that the next run finds a sound one.
    const std::string aside = set_usage_file_aside(config_.usage_file);
    if (aside.empty()) return records.error();
    return Error{fmt::format("{}. The file is kept as {}", records.error().message, aside),
                 records.error().exit_code};
  }
  restore(records.value(), local_date());
  return {};
}

void VolumeCaps::restore(const UsageRecords& records, const CivilDate& today) {
  others_ = records;
  for (Line& line : lines_) {
    if (const auto found = records.find(line.label); found != records.end()) {
      line.usage.restore(found->second.month, found->second.bytes);
      others_.erase(line.label);
    }
    line.usage.advance(today);
    line.bytes_saved = line.usage.bytes();
    line.reached = line.usage.reached();
  }
}

LinkRole VolumeCaps::role(PeerId peer, LinkId link, LinkRole configured) const {
  const auto found = std::find_if(lines_.begin(), lines_.end(), [&](const Line& line) {
    return line.peer == peer && line.link == link;
  });
  return found != lines_.end() && found->reached ? LinkRole::unused : configured;
}

std::vector<std::string> VolumeCaps::reached_texts() const {
  std::vector<std::string> texts;
  for (const Line& line : lines_) {
    if (line.reached) texts.push_back(loss_text(line));
  }
  return texts;
}

void VolumeCaps::count(Line& line, const LinkReport& report) {
  const LinkCounters& counters = report.counters;
  const std::uint64_t bytes = counters.bytes_in + counters.bytes_out;
  const std::uint64_t datagrams = counters.datagrams_in + counters.datagrams_out;
  if (report.path.remote.known()) line.header_bytes = report.path.remote.header_bytes();
  // Counters only rise; should one ever fall, what it has is new.
  const std::uint64_t more_bytes = bytes < line.bytes_seen ? bytes : bytes - line.bytes_seen;
  const std::uint64_t more =
      datagrams < line.datagrams_seen ? datagrams : datagrams - line.datagrams_seen;
  line.bytes_seen = bytes, line.datagrams_seen = datagrams;
  line.usage.add(more_bytes + more * line.header_bytes);
}

void VolumeCaps::count(std::span<const PeerReport> reports, const CivilDate& today, Instant now,
                       std::vector<RoleChange>& changes) {
  for (Line& line : lines_) {
    if (index_of(line.peer) >= reports.size()) continue;
    const std::uint64_t before = line.usage.bytes();
    const bool month_began = line.usage.advance(today);
    for (const LinkReport& report : reports[index_of(line.peer)].links) {
      if (report.id == line.link) count(line, report);
    }
    unsaved_ |= month_began || line.usage.bytes() != before;
    const bool reached = line.usage.reached();
    const bool news = reached != line.reached;
    if (news) {
      line.reached = reached;
      urgent_ = true;
      line.tell_again = now;
    }
    if (now < line.tell_again) continue;
    RoleChange& change = changes.emplace_back();
    change.peer = line.peer;
    change.link = line.link;
    change.role = reached ? LinkRole::unused : line.configured;
    if (news && reached) change.text = loss_text(line), change.worse = true;
    if (news && !reached) {
      change.text =
          fmt::format("{}: a new month of volume has begun; it carries frames again", line.label);
    }
    line.tell_again = now + tell_interval;
  }
}

std::string VolumeCaps::loss_text(const Line& line) const {
  const unsigned first = line.usage.first_day();
  std::string text =
      fmt::format("{}: used up its monthly volume: {} bytes, {} are allowed; it carries no frames",
                  line.label, line.usage.bytes(), line.usage.bytes_max());
  if (line.usage.month()) {
    text += fmt::format(" until {}", to_string(line.usage.month()->ends(first)));
  }
  const std::vector<LinkEntry>& links = config_.peers[index_of(line.peer)].links;
  bool another = false;
  for (std::size_t l = 0; l < links.size(); ++l) {
    const LinkId id{static_cast<std::uint8_t>(l)};
    another |= role(line.peer, id, links[l].link.role) != LinkRole::unused;
  }
  if (!another) {
    text += fmt::format(
        ". No other link of {} is left, so nothing gets through; raise `monthly` and send SIGHUP "
        "if it shall",
        config_.peers[index_of(line.peer)].name);
  }
  return text;
}

bool VolumeCaps::save_due(Instant now) const {
  if (urgent_) return true;
  if (!unsaved_ || (saved_at_ && now - *saved_at_ < save_interval)) return false;
  return std::any_of(lines_.begin(), lines_.end(), [](const Line& line) {
    return line.usage.bytes() < line.bytes_saved ||
           line.usage.bytes() - line.bytes_saved >= save_bytes_min;
  });
}

UsageRecords VolumeCaps::records() const {
  UsageRecords records = others_;
  for (const Line& line : lines_) {
    records[line.label] = {line.usage.month().value_or(BillingMonth{}), line.usage.bytes()};
  }
  return records;
}

Result<void> VolumeCaps::save(Instant now) {
  // Also when it fails: then the next try is in a minute, not in a second.
  saved_at_ = now;
  urgent_ = unsaved_ = false;
  const Result<void> written = write_usage_file(config_.usage_file, records());
  if (!written) {
    unsaved_ = true;
    return written.error();
  }
  for (Line& line : lines_) line.bytes_saved = line.usage.bytes();
  return {};
}

void VolumeCaps::fill(std::size_t peer, std::vector<LinkStatus>& links) const {
  for (const Line& line : lines_) {
    if (index_of(line.peer) != peer) continue;
    for (LinkStatus& link : links) {
      if (link.id != value_of(line.link)) continue;
      link.monthly_used_bytes = line.usage.bytes();
      link.monthly_max_bytes = line.usage.bytes_max();
      if (!line.reached) continue;
      link.role = "never";
      link.reason = "over-cap";
    }
  }
}

}  // namespace mwtun
