#include "linkem/commands.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "linkem/emulator.hpp"

namespace mwtun::linkem {
namespace {

using Json = nlohmann::ordered_json;

double ms_of(Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// Takes the first word off `text`.
std::string_view next_word(std::string_view& text) {
  constexpr std::string_view blanks = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(blanks));
  text.remove_prefix(word.size());
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return word;
}

Json direction_stats(const LineDirection& direction) {
  const Counters& counters = direction.counters();
  Json drops = Json::object();
  for (std::size_t reason = 0; reason < drop_reasons; ++reason) {
    drops[std::string(name_of(static_cast<Drop>(reason)))] = counters.drops[reason];
  }
  return {{"in_frames", counters.in_frames},
          {"in_bytes", counters.in_bytes},
          {"out_frames", counters.out_frames},
          {"out_bytes", counters.out_bytes},
          {"drops", drops},
          {"duplicates", counters.duplicates},
          {"corrupted", counters.corrupted},
          {"inside_frames", direction.frames_inside()},
          {"queue_bytes", direction.queue_bytes()},
          {"queue_bytes_max", counters.queue_bytes_max},
          {"last_delay_ms", ms_of(counters.last_delay)},
          {"down", direction.down()}};
}

Json stats(Emulator& emulator) {
  emulator.settle();
  Json lines = Json::object();
  for (Line& line : emulator.lines()) {
    lines[line.options.name] = {{"carrier", line.carrier},
                                {"tap_drops_a", line.a.kernel_drops()},
                                {"tap_drops_b", line.b.kernel_drops()},
                                {"up", direction_stats(line.up)},
                                {"down", direction_stats(line.down)}};
  }
  return {{"ok", true},
          {"late_us_max", ms_of(emulator.lateness().worst) * 1000},
          {"late_over_500_us_frames", emulator.lateness().frames_over_500_us},
          {"lines", lines}};
}

Result<Line*> line_named(Emulator& emulator, std::string_view name) {
  Line* const line = emulator.find_line(name);
  if (line != nullptr) return line;
  std::string known;
  for (const Line& other : emulator.lines()) known += " " + other.options.name;
  return Error{fmt::format("there is no line \"{}\"; the lines are:{}", name.substr(0, 60), known),
               64};
}

Result<void> set(Emulator& emulator, std::string_view rest) {
  const std::string_view name = next_word(rest);
  if (Shared* const shared = emulator.find_shared(name)) return emulator.change(*shared, rest);
  const Result<Line*> line = line_named(emulator, name);
  if (!line.ok()) return line.error();
  return emulator.change(*line.value(), rest);
}

/// `down LINE [up|down|both]` and `up LINE [up|down|both]`.
Result<void> cut_or_mend(Emulator& emulator, bool cut, std::string_view rest) {
  const Result<Line*> found = line_named(emulator, next_word(rest));
  if (!found.ok()) return found.error();
  Line& line = *found.value();
  const std::string_view which = rest.empty() ? "both" : next_word(rest);
  if ((which != "up" && which != "down" && which != "both") || !rest.empty()) {
    return Error{fmt::format("\"{}\": the direction is up, down or both", which), 64};
  }
  if (!cut && !line.carrier) {
    if (which != "both") {
      return Error{"the line has no carrier; bring it back as a whole", 64};
    }
    return emulator.set_carrier(line, true);
  }
  for (LineDirection* const direction : {&line.up, &line.down}) {
    if (which == "up" && direction != &line.up) continue;
    if (which == "down" && direction != &line.down) continue;
    if (cut) {
      emulator.take_down(*direction);
    } else {
      direction->bring_up();
    }
  }
  return {};
}

Result<void> carrier(Emulator& emulator, std::string_view rest) {
  const Result<Line*> line = line_named(emulator, next_word(rest));
  if (!line.ok()) return line.error();
  if (rest != "on" && rest != "off") {
    return Error{"expected carrier LINE on or carrier LINE off", 64};
  }
  return emulator.set_carrier(*line.value(), rest == "on");
}

Json answer(const Result<void>& result) {
  if (result.ok()) return {{"ok", true}};
  return {{"ok", false}, {"error", result.error().message}};
}

}  // namespace

std::string execute(Emulator& emulator, std::string_view command) {
  std::string_view rest = command;
  const std::string_view verb = next_word(rest);
  while (!rest.empty() && (rest.back() == ' ' || rest.back() == '\r')) rest.remove_suffix(1);
  Json json;
  if (verb == "stats" && (rest.empty() || rest == "reset-max")) {
    json = stats(emulator);
    if (!rest.empty()) emulator.reset_max();
  } else if (verb == "set") {
    json = answer(set(emulator, rest));
  } else if (verb == "down" || verb == "up") {
    json = answer(cut_or_mend(emulator, verb == "down", rest));
  } else if (verb == "carrier") {
    json = answer(carrier(emulator, rest));
  } else if (verb == "quit") {
    emulator.quit();
    json = answer({});
  } else {
    json = answer(Error{fmt::format("\"{}\" is not a command; there are stats, set, down, up, "
                                    "carrier and quit",
                                    command.substr(0, 60)),
                        64});
  }
  // Text from a client may be no UTF-8; that must not throw.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view commands_help() {
  return R"(Commands (linkem ctl SOCKET COMMAND…), one line of JSON each as the answer:

  stats [reset-max]               counters of every line; reset-max starts the maxima anew
  set LINE [up.|down.]KEY=VALUE…  change settings; LINE may be a shared bottleneck
  down LINE [up|down|both]        cut silently: what is inside and what follows is lost
  up LINE [up|down|both]          mend
  carrier LINE off|on             cut and take the carrier of both ends away; mend
  quit                            end, as SIGTERM does
)";
}

}  // namespace mwtun::linkem
