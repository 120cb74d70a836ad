#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "cli/config.hpp"
#include "cli/monthly.hpp"
#include "cli/status.hpp"
#include "cli/usage_file.hpp"
#include "dataplane/report.hpp"

namespace mwtun {

/// Today by the local calendar.
CivilDate local_date();

/// The role a link is to have from now on.
struct RoleChange {
  PeerId peer{};
  LinkId link{};
  LinkRole role = LinkRole::normal;
  std::string text;    // For the log; empty: nothing new, only told again.
  bool worse = false;  // The link is lost.
};

/// Counts what the links with a `monthly` volume use, both ways and with the IP and UDP headers,
/// and takes those out of use that have used it up. It reads no clock and, but for load() and
/// save(), no disk; the state folder's file remembers over restarts.
class VolumeCaps {
 public:
  explicit VolumeCaps(const Config& config);

  bool any() const { return !lines_.empty(); }
  /// What former runs counted. An error is worth a warning; the counting goes on without.
  Result<void> load();
  void restore(const UsageRecords& records, const CivilDate& today);
  /// The role that the link is to start with.
  LinkRole role(PeerId peer, LinkId link, LinkRole configured) const;

  /// A line for the log for each link that has used up its volume.
  std::vector<std::string> reached_texts() const;

  /// Adds what the reports have beyond those before, and says which roles are to change. A role
  /// that differed from the file's lately is said again every minute, as nobody acknowledges it.
  void count(std::span<const PeerReport> reports, const CivilDate& today, Instant now,
             std::vector<RoleChange>& changes);

  /// Time to save(): something was counted that is worth a write, and the last write was a minute
  /// ago; or a link was just lost or won.
  bool save_due(Instant now) const;
  /// True when there is anything that is not on disk.
  bool unsaved() const { return unsaved_; }
  Result<void> save(Instant now);
  UsageRecords records() const;

  /// Puts used and allowed bytes, and the reason, into the links' status.
  void fill(std::size_t peer, std::vector<LinkStatus>& links) const;

 private:
  struct Line {
    PeerId peer{};
    LinkId link{};
    LinkRole configured = LinkRole::normal;
    std::string label;
    MonthlyUsage usage;
    bool reached = false;
    std::uint64_t bytes_seen = 0;  // In the last report,
    std::uint64_t datagrams_seen = 0;
    std::uint64_t bytes_saved = 0;  // and on disk.
    std::uint32_t header_bytes = 28;
    Instant tell_again = never;
  };
  void count(Line& line, const LinkReport& report);
  std::string loss_text(const Line& line) const;

  const Config& config_;
  std::vector<Line> lines_;
  UsageRecords others_;  // Of links that have no volume now; kept, as they may have one again.
  bool unsaved_ = false;
  bool urgent_ = false;
  std::optional<Instant> saved_at_;
};

}  // namespace mwtun
