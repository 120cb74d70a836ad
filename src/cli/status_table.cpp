#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/status.hpp"

namespace mwtun {

namespace {

enum class Colour : std::uint8_t { none, good, fair, poor };

struct Cell {
  std::string text;
  Colour colour = Colour::none;
};

struct Column {
  std::string title;
  bool right = false;
};

/// Characters, not bytes: all we print is one column wide.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string painted(const std::string& text, Colour colour, TableStyle style) {
  if (!style.colour || colour == Colour::none) return text;
  const int code = colour == Colour::good ? 32 : colour == Colour::fair ? 33 : 31;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

Colour colour_of(std::string_view state) {
  if (state == "up") return Colour::good;
  return state == "down" ? Colour::poor : Colour::fair;
}

/// Names may come from the far end: nothing of theirs may move the cursor.
std::string plain(std::string_view text) {
  std::string out(text.substr(0, 80));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return out;
}

std::string rows_to_text(const std::vector<Column>& columns,
                         const std::vector<std::vector<Cell>>& rows, TableStyle style) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    widths.push_back(width_of(columns[i].title));
    for (const auto& row : rows) widths[i] = std::max(widths[i], width_of(row[i].text));
  }
  std::string out;
  const auto append_row = [&](const std::vector<Cell>& row) {
    std::string line = " ";
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::string gap(widths[i] - width_of(row[i].text), ' ');
      const std::string text = painted(row[i].text, row[i].colour, style);
      line += ' ' + (columns[i].right ? gap + text : text + gap) + ' ';
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  };
  std::vector<Cell> titles;
  for (const Column& column : columns) titles.push_back({column.title, Colour::none});
  append_row(titles);
  for (const auto& row : rows) append_row(row);
  return out;
}

std::string megabits(std::uint64_t bps) {
  const double value = static_cast<double>(bps) / 1e6;
  if (bps == 0) return "0";
  if (value < 10) return fmt::format("{:.2f}", value);
  return value < 1000 ? fmt::format("{:.1f}", value) : fmt::format("{:.0f}", value);
}

std::string milliseconds_text(const std::optional<std::int64_t>& us, const char* nothing) {
  if (!us) return nothing;
  const double value = static_cast<double>(*us) / 1e3;
  if (value < 1) return fmt::format("{:.2f} ms", value);
  return value < 100 ? fmt::format("{:.1f} ms", value) : fmt::format("{:.0f} ms", value);
}

std::string percent(const std::optional<std::uint32_t>& ppm, const char* nothing) {
  if (!ppm) return nothing;
  if (*ppm == 0) return "0";
  return *ppm < 100 ? "<0.01" : fmt::format("{:.{}f}", *ppm / 1e4, *ppm < 1000 ? 2 : 1);
}

std::string bytes_text(std::uint64_t bytes) {
  static constexpr std::array<const char*, 6> units = {"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < units.size(); ++unit) value /= 1000;
  return fmt::format("{:.{}f} {}", value, unit > 0 && value < 99.95 ? 1 : 0, units[unit]);
}

std::string counts_text(const std::vector<NamedCount>& counts) {
  std::string out;
  for (const NamedCount& entry : counts) {
    if (entry.count == 0) continue;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", plain(entry.name), entry.count);
  }
  return out;
}

std::string note_of(const LinkStatus& link) {
  std::vector<std::string> notes;
  const bool over_cap = link.reason == "over-cap";
  if (link.state != "up" && !link.reason.empty() && !over_cap)
    notes.push_back(plain(link_reason_text(link.reason)));
  if (link.state == "up" && link.suspect) notes.push_back("answers are overdue");
  if (link.state != "down" && link.held_ms > 0) {
    notes.push_back(fmt::format("fails often: held back for {}", format_age(link.held_ms)));
  }
  if (link.state != "down" && link.contested) notes.push_back("shared: others fill the line");
  if (link.role == "backup") notes.push_back("used only if others fail");
  if (link.monthly_used_bytes && link.monthly_max_bytes) {
    notes.push_back(fmt::format("{}{} of {} this month", over_cap ? "carries no frames: " : "",
                                bytes_text(*link.monthly_used_bytes),
                                bytes_text(*link.monthly_max_bytes)));
  }
  if (link.role == "never" && !over_cap) notes.push_back("carries no frames (role = never)");
  if (link.metered) notes.push_back("metered");
  if (link.state == "up" && link.last_down_age_ms) {
    notes.push_back(fmt::format("was down {} ago: {}", format_age(*link.last_down_age_ms),
                                plain(link_reason_text(link.last_down_reason))));
  }
  std::string out;
  for (const std::string& note : notes) out += (out.empty() ? "" : "; ") + note;
  return out;
}

std::vector<Cell> link_row(const LinkStatus& link, TableStyle style) {
  const char* nothing = style.utf8 ? "\u2013" : "-";
  const bool silent = link.state == "down";
  const auto or_nothing = [&](std::string text) { return silent ? std::string(nothing) : text; };
  std::vector<Cell> row;
  row.push_back({plain(link.name), Colour::none});
  row.push_back({link.device.empty() ? nothing : plain(link.device), Colour::none});
  row.push_back({plain(link.state), colour_of(link.state)});
  row.push_back({format_age(link.state_age_ms), Colour::none});
  row.push_back({or_nothing(megabits(link.receive_bps)), Colour::none});
  row.push_back(
      {or_nothing(megabits(link.send_bps) + '/' +
                  (link.capacity_bps ? megabits(*link.capacity_bps) : std::string(nothing))),
       Colour::none});
  row.push_back(
      {or_nothing(fmt::format("{}/{} %", link.receive_share_percent, link.send_share_percent)),
       Colour::none});
  row.push_back({or_nothing(milliseconds_text(link.rtt_us, nothing)), Colour::none});
  row.push_back({or_nothing(milliseconds_text(link.rtt_min_us, nothing)), Colour::none});
  row.push_back({or_nothing(milliseconds_text(link.rtt_variation_us, nothing)), Colour::none});
  row.push_back({or_nothing(fmt::format("{}/{} %", percent(link.receive_loss_ppm, nothing),
                                        percent(link.send_loss_ppm, nothing))),
                 Colour::none});
  row.push_back({or_nothing(fmt::format("{}", link.datagram_bytes)), Colour::none});
  row.push_back({link.remote.empty() ? nothing : plain(link.remote), Colour::none});
  row.push_back({note_of(link), Colour::none});
  return row;
}

std::string peer_text(const PeerStatus& peer, unsigned workers, TableStyle style) {
  const char* in = style.utf8 ? "\u2193" : "rx";
  const char* out = style.utf8 ? "\u2191" : "tx";
  std::uint64_t receive_bps = 0, send_bps = 0;
  for (const LinkStatus& link : peer.links)
    receive_bps += link.receive_bps, send_bps += link.send_bps;

  std::string text =
      fmt::format("{}  {} {}", plain(peer.name),
                  painted(to_string(peer.state), colour_of(to_string(peer.state)), style),
                  format_age(peer.state_age_ms));
  if (!peer.endpoint.empty()) text += "  " + plain(peer.endpoint);
  text +=
      fmt::format("  {} {}  {} {} Mbit/s\n", in, megabits(receive_bps), out, megabits(send_bps));
  if (!peer.reason.empty()) text += fmt::format("  {}\n", plain(peer.reason));
  text += fmt::format("  {} ({}, carrier {}, MTU {}), {}", plain(peer.interface),
                      plain(peer.interface_kind), peer.carrier ? "on" : "off", peer.inner_mtu_bytes,
                      plain(peer.scheduler));
  if (!peer.cipher.empty()) text += ", " + plain(peer.cipher);
  if (peer.key_age_ms) text += fmt::format(", key {} old", format_age(*peer.key_age_ms));
  if (workers > 1) text += fmt::format(", worker {} of {}", peer.worker, workers);
  text += '\n';

  if (!peer.links.empty()) {
    const std::vector<Column> columns = {{"LINK", false},
                                         {"DEVICE", false},
                                         {"STATE", false},
                                         {"FOR", true},
                                         {fmt::format("{} Mbit/s", in), true},
                                         {fmt::format("{} now/can", out), true},
                                         {fmt::format("SHARE {}/{}", in, out), true},
                                         {"RTT", true},
                                         {"MIN", true},
                                         {"VAR", true},
                                         {fmt::format("LOSS {}/{}", in, out), true},
                                         {"BYTES", true},
                                         {"REMOTE", false},
                                         {"NOTE", false}};
    std::vector<std::vector<Cell>> rows;
    for (const LinkStatus& link : peer.links) rows.push_back(link_row(link, style));
    text += rows_to_text(columns, rows, style);
  }
  text += fmt::format("  received {} frames ({})", peer.totals.frames_received,
                      bytes_text(peer.totals.frame_bytes_received));
  if (peer.totals.frames_joined > 0) {
    text += fmt::format(", {} of them joined to {} super-frames", peer.totals.frames_joined,
                        peer.totals.super_frames_made);
  }
  text += fmt::format(", sent {} frames ({})", peer.totals.frames_sent,
                      bytes_text(peer.totals.frame_bytes_sent));
  if (peer.totals.frames_ecn_marked > 0) {
    text += fmt::format(", {} marked to slow down", peer.totals.frames_ecn_marked);
  }
  text += '\n';
  if (const std::string drops = counts_text(peer.drops); !drops.empty()) {
    text += fmt::format("  dropped: {}\n", drops);
  }
  return text;
}

}  // namespace

std::string format_age(std::int64_t age_ms) {
  const std::int64_t all = std::max<std::int64_t>(0, age_ms) / 1000;
  const std::int64_t days = all / 86400, hours = all / 3600 % 24, minutes = all / 60 % 60,
                     rest = all % 60;
  if (days > 0) return fmt::format("{} d {:02}:{:02}", days, hours, minutes);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, rest);
  return minutes > 0 ? fmt::format("{}:{:02}", minutes, rest) : fmt::format("{} s", rest);
}

std::string status_table(const StatusReport& report, TableStyle style) {
  const std::string state = to_string(report.state());
  std::string text = fmt::format("{}  {}  {} for {}  mwtun {}\n", plain(report.tunnel),
                                 painted(state, colour_of(state), style), plain(report.role),
                                 format_age(report.uptime_ms), plain(report.version));
  for (const std::string& address : report.listen)
    text += fmt::format("  listens on {}\n", plain(address));
  for (const PeerStatus& peer : report.peers) text += '\n' + peer_text(peer, report.workers, style);
  if (const std::string drops = counts_text(report.drops); !drops.empty()) {
    text += fmt::format("\ndropped, of no peer: {}\n", drops);
  }
  return text;
}

}  // namespace mwtun
