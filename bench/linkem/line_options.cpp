#include "linkem/line_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "linkem/quantity.hpp"

namespace mwtun::linkem {
namespace {

constexpr std::string_view direction_keys =
    "rate, trace, trace_offset, shared, queue, policer, policer_burst, delay, jitter, jitter_mode, "
    "loss, ge, duplicate, corrupt, mtu, burst";
constexpr std::string_view bottleneck_keys = "rate, trace, trace_offset, queue";

constexpr unsigned up_bit = 1;
constexpr unsigned down_bit = 2;

struct Setting {
  std::string_view key;
  std::string_view value;
  unsigned directions;
};

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t start = text.find_first_not_of(separators);
    if (start == std::string_view::npos) return parts;
    text.remove_prefix(start);
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

Result<Setting> parse_setting(std::string_view token) {
  const std::size_t equals = token.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return Error{fmt::format("\"{}\": expected key=value, as in rate=100M", token.substr(0, 60)),
                 64};
  }
  Setting setting{token.substr(0, equals), token.substr(equals + 1), up_bit | down_bit};
  if (setting.key.starts_with("up.")) {
    setting.key.remove_prefix(3), setting.directions = up_bit;
  } else if (setting.key.starts_with("down.")) {
    setting.key.remove_prefix(5), setting.directions = down_bit;
  }
  return setting;
}

/// Stores the value, or says in which setting it could not be read.
template <typename T, typename Field>
Result<void> store(const Setting& setting, Result<T> value, Field& field) {
  if (!value.ok()) {
    return Error{fmt::format("{}={}: {}", setting.key, setting.value, value.error().message), 64};
  }
  field = static_cast<Field>(value.take());
  return {};
}

Result<QueueLimit> parse_queue(std::string_view text) {
  QueueLimit limit;
  if (text == "none") {
    limit.unit = QueueLimit::Unit::none;
    return limit;
  }
  if (text.ends_with("s")) {
    const Result<Duration> time = parse_time(text);
    if (!time.ok()) return time.error();
    limit.time = time.value();
    return limit;
  }
  const Result<std::uint64_t> bytes = parse_size(text);
  if (!bytes.ok()) {
    return Error{fmt::format("\"{}\" is not a queue: write a time (\"200ms\"), bytes (\"250000\", "
                             "\"256KiB\") or \"none\"",
                             text),
                 64};
  }
  limit.unit = QueueLimit::Unit::bytes;
  limit.bytes = bytes.value();
  return limit;
}

Result<BurstLoss> parse_burst_loss(std::string_view text) {
  BurstLoss loss;
  if (text == "none" || text == "0") return loss;
  double* const fields[] = {&loss.enter_bad, &loss.leave_bad, &loss.loss_bad, &loss.loss_good};
  const std::vector<std::string_view> parts = split(text, ",");
  if (parts.size() < 2 || parts.size() > std::size(fields)) {
    return Error{fmt::format("\"{}\" is not burst loss: write P,R[,LOSS_BAD[,LOSS_GOOD]], as in "
                             "ge=1%,25%, or \"none\"",
                             text),
                 64};
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Result<double> probability = parse_probability(parts[i]);
    if (!probability.ok()) return probability.error();
    *fields[i] = probability.value();
  }
  if (loss.enter_bad > 0 && loss.leave_bad == 0) {
    return Error{fmt::format("\"{}\": with R = 0 the line never leaves the bad state; use "
                             "loss= or the down command instead",
                             text),
                 64};
  }
  return loss;
}

Result<JitterMode> parse_jitter_mode(std::string_view text) {
  if (text == "fifo") return JitterMode::fifo;
  if (text == "reorder") return JitterMode::reorder;
  return Error{fmt::format("\"{}\" is not a jitter mode: write fifo or reorder", text), 64};
}

/// Nothing if the key is not one of a bottleneck's.
Result<bool> set_bottleneck(BottleneckOptions& options, const Setting& setting,
                            const TraceLoader& load) {
  Result<void> stored;
  if (setting.key == "rate") {
    stored = store(setting, parse_rate(setting.value), options.rate_bps);
    if (options.rate_bps > 0) options.trace = nullptr, options.trace_path.clear();
  } else if (setting.key == "trace") {
    options.trace = nullptr, options.trace_path.clear();
    if (setting.value != "none") {
      options.trace_path = setting.value;
      stored = store(setting, load(options.trace_path), options.trace);
      options.rate_bps = 0;
    }
  } else if (setting.key == "trace_offset") {
    stored = store(setting, parse_time(setting.value), options.trace_offset);
  } else if (setting.key == "queue") {
    stored = store(setting, parse_queue(setting.value), options.queue);
  } else {
    return false;
  }
  if (!stored.ok()) return stored.error();
  return true;
}

Result<void> set_direction(DirectionOptions& options, const Setting& setting,
                           const TraceLoader& load) {
  const Result<bool> taken = set_bottleneck(options.own, setting, load);
  if (!taken.ok()) return taken.error();
  if (taken.value()) {
    // The last way named is the one used.
    if (setting.key == "rate" || setting.key == "trace") options.shared.clear();
    return {};
  }
  const std::string_view key = setting.key;
  const std::string_view value = setting.value;
  if (key == "shared") {
    options.shared = value == "none" ? "" : value;
    return {};
  }
  if (key == "policer") return store(setting, parse_rate(value), options.policer_bps);
  if (key == "policer_burst") return store(setting, parse_size(value), options.policer_burst_bytes);
  if (key == "delay") return store(setting, parse_time(value), options.delay);
  if (key == "jitter") return store(setting, parse_time(value), options.jitter);
  if (key == "jitter_mode") return store(setting, parse_jitter_mode(value), options.jitter_mode);
  if (key == "loss") return store(setting, parse_probability(value), options.loss);
  if (key == "ge") return store(setting, parse_burst_loss(value), options.burst_loss);
  if (key == "duplicate") return store(setting, parse_probability(value), options.duplicate);
  if (key == "corrupt") return store(setting, parse_probability(value), options.corrupt);
  if (key == "mtu") {
    if (value == "none") return options.mtu = 0, Result<void>{};
    return store(setting, parse_count(value, 0, 65535), options.mtu);
  }
  if (key == "burst") return store(setting, parse_time(value), options.burst);
  return Error{fmt::format("\"{}\" is not a setting; there are {}, each for both directions or "
                           "with up. or down. before it",
                           key.substr(0, 60), direction_keys),
               64};
}

Result<std::string> parse_name(std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  if (text.empty() || text.size() > 32 || !plain) {
    return Error{fmt::format("\"{}\" is not a name: 1 to 32 letters, digits, '-', '_' or '.'",
                             text.substr(0, 60)),
                 64};
  }
  return std::string(text);
}

Result<EndName> parse_end(std::string_view text) {
  const std::size_t at = std::min(text.find('@'), text.size());
  EndName end{std::string(text.substr(0, at)), {}};
  if (at < text.size()) {
    end.netns = text.substr(at + 1);
    if (end.netns.empty() || end.netns.find('/') != std::string::npos || end.netns[0] == '.') {
      return Error{fmt::format("\"{}\": after the @ comes the name of a network namespace, as "
                               "`ip netns list` shows it",
                               text.substr(0, 60)),
                   64};
    }
  }
  // IFNAMSIZ less the terminator.
  if (end.interface.empty() || end.interface.size() > 15 ||
      end.interface.find('/') != std::string::npos) {
    return Error{fmt::format("\"{}\": an interface name has 1 to 15 characters and no slash",
                             text.substr(0, 60)),
                 64};
  }
  return end;
}

/// Whether one text names two ways of serialising for one direction, which cannot both hold.
class OneWay {
 public:
  Result<void> note(const Setting& setting) {
    if (setting.key != "rate" && setting.key != "trace" && setting.key != "shared") return {};
    if (setting.value == "none" || setting.value == "0") return {};
    if ((seen_ & setting.directions) != 0) {
      return Error{fmt::format("{}={}: this direction has a rate, a trace or a shared bottleneck "
                               "already; give one of the three",
                               setting.key, setting.value),
                   64};
    }
    seen_ |= setting.directions;
    return {};
  }

 private:
  unsigned seen_ = 0;
};

Result<void> apply_to_line(LineOptions& line, const Setting& setting, const TraceLoader& load) {
  for (auto [bit, options] : {std::pair{up_bit, &line.up}, std::pair{down_bit, &line.down}}) {
    if ((setting.directions & bit) == 0) continue;
    const Result<void> set = set_direction(*options, setting, load);
    if (!set.ok()) return set;
  }
  return {};
}

Error in_text(std::string_view text, const Error& error) {
  return Error{fmt::format("{} (in \"{}\")", error.message, text.substr(0, 200)), error.exit_code};
}

Result<void> apply_to_shared(BottleneckOptions& options, const Setting& setting,
                             const TraceLoader& load) {
  if (setting.directions == (up_bit | down_bit)) {
    const Result<bool> taken = set_bottleneck(options, setting, load);
    if (!taken.ok()) return taken.error();
    if (taken.value()) return {};
  }
  return Error{fmt::format("\"{}\" is not a setting of a shared bottleneck; there are name, {}",
                           setting.key.substr(0, 60), bottleneck_keys),
               64};
}

}  // namespace

std::uint64_t BottleneckOptions::queue_bytes_max() const {
  constexpr std::uint64_t unbounded = std::numeric_limits<std::uint64_t>::max();
  if (queue.unit == QueueLimit::Unit::none) return unbounded;
  if (queue.unit == QueueLimit::Unit::bytes) return queue.bytes;
  if (average_bps() == 0) return unbounded;
  const double seconds_of_queue = std::chrono::duration<double>(queue.time).count();
  return static_cast<std::uint64_t>(static_cast<double>(average_bps()) / 8 * seconds_of_queue);
}

std::uint64_t DirectionOptions::policer_burst() const {
  if (policer_burst_bytes > 0) return policer_burst_bytes;
  return std::max<std::uint64_t>(policer_bps / 8 / 50, 15'000);
}

Result<LineOptions> parse_line(std::string_view text, const TraceLoader& load) {
  LineOptions line;
  OneWay one_way;
  for (const std::string_view token : split(text, " \t\n")) {
    const Result<Setting> parsed = parse_setting(token);
    if (!parsed.ok()) return in_text(text, parsed.error());
    const Setting& setting = parsed.value();
    Result<void> applied;
    if (setting.key == "name") {
      applied = store(setting, parse_name(setting.value), line.name);
    } else if (setting.key == "a") {
      applied = store(setting, parse_end(setting.value), line.a);
    } else if (setting.key == "b") {
      applied = store(setting, parse_end(setting.value), line.b);
    } else {
      applied = one_way.note(setting);
      if (applied.ok()) applied = apply_to_line(line, setting, load);
    }
    if (!applied.ok()) return in_text(text, applied.error());
  }
  if (line.name.empty() || line.a.interface.empty() || line.b.interface.empty()) {
    return in_text(text, Error{"a line needs name=NAME, a=INTERFACE[@NETNS] and "
                               "b=INTERFACE[@NETNS]",
                               64});
  }
  return line;
}

Result<SharedOptions> parse_shared(std::string_view text, const TraceLoader& load) {
  SharedOptions shared;
  OneWay one_way;
  for (const std::string_view token : split(text, " \t\n")) {
    const Result<Setting> parsed = parse_setting(token);
    if (!parsed.ok()) return in_text(text, parsed.error());
    const Setting& setting = parsed.value();
    Result<void> applied;
    if (setting.key == "name") {
      applied = store(setting, parse_name(setting.value), shared.name);
    } else {
      applied = one_way.note(setting);
      if (applied.ok()) applied = apply_to_shared(shared.bottleneck, setting, load);
    }
    if (!applied.ok()) return in_text(text, applied.error());
  }
  if (shared.name.empty() || shared.bottleneck.average_bps() == 0) {
    return in_text(text, Error{"a shared bottleneck needs name=NAME and rate= or trace=", 64});
  }
  return shared;
}

Result<void> change_line(LineOptions& line, std::string_view settings, const TraceLoader& load) {
  LineOptions changed = line;
  OneWay one_way;
  const std::vector<std::string_view> tokens = split(settings, " \t\n");
  if (tokens.empty()) return Error{"nothing to set: give key=value, as in rate=20M", 64};
  for (const std::string_view token : tokens) {
    const Result<Setting> parsed = parse_setting(token);
    if (!parsed.ok()) return parsed.error();
    Result<void> applied = one_way.note(parsed.value());
    if (applied.ok()) applied = apply_to_line(changed, parsed.value(), load);
    if (!applied.ok()) return applied;
  }
  line = std::move(changed);
  return {};
}

Result<void> change_shared(SharedOptions& shared, std::string_view settings,
                           const TraceLoader& load) {
  SharedOptions changed = shared;
  OneWay one_way;
  const std::vector<std::string_view> tokens = split(settings, " \t\n");
  if (tokens.empty()) return Error{"nothing to set: give key=value, as in rate=20M", 64};
  for (const std::string_view token : tokens) {
    const Result<Setting> parsed = parse_setting(token);
    if (!parsed.ok()) return parsed.error();
    Result<void> applied = one_way.note(parsed.value());
    if (applied.ok()) applied = apply_to_shared(changed.bottleneck, parsed.value(), load);
    if (!applied.ok()) return applied;
  }
  shared = std::move(changed);
  return {};
}

std::string_view settings_help() {
  return R"(A line is "name=NAME a=IFACE[@NETNS] b=IFACE[@NETNS]" and any of these settings,
for both directions or with "up." (a to b) or "down." (b to a) before the key:

  rate=100M            IP bits per second (k, M, G); none = unlimited (default)
  trace=FILE           Mahimahi trace instead of a rate; trace_offset=TIME starts later in it
  shared=NAME          a shared bottleneck (--shared) instead of an own rate
  queue=200ms          drop-tail queue: time at the rate, bytes (250000, 256KiB) or none
  policer=50M          token bucket that drops; policer_burst=BYTES (default 20 ms, >= 15000)
  delay=10ms           one way
  jitter=3ms           standard deviation; jitter_mode=fifo (default) or reorder
  loss=1%              random loss
  ge=P,R[,BAD[,GOOD]]  Gilbert-Elliott loss, as in ge=1%,25%
  duplicate=1%  corrupt=1%
  mtu=1400             larger IP packets vanish; none = no limit (default)
  burst=10ms           frames leave only every so often
)";
}

}  // namespace mwtun::linkem
