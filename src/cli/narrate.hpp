#pragma once
#include <optional>
#include <string>

#include "cli/config.hpp"
#include "cli/log.hpp"
#include "dataplane/report.hpp"

namespace mwtun {

/// A line for the log.
struct Narration {
  LogLevel level = LogLevel::info;
  LogClass about = LogClass::peer;
  std::string text;
};

/// What an event of the core means to a person: what happened, and where it is a mistake of theirs,
/// how to mend it. Nothing for events that are not worth a line.
std::optional<Narration> narrate(const Event& event, const Config& config);

/// The link's name in the file, or its number where only the far end knows its name.
std::string link_label(const Config& config, PeerId peer, LinkId link);

}  // namespace mwtun
