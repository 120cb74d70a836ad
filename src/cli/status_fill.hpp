#pragma once
#include <cstdint>

#include "base/time.hpp"
#include "cli/config.hpp"
#include "cli/status.hpp"
#include "dataplane/counters.hpp"
#include "dataplane/report.hpp"

namespace mwtun {

/// The part of a peer's status that the core and the configuration know, in the words of the status
/// interface. Left for the caller: `carrier`, and what only a history tells (`state_age_ms` of the
/// peer, `last_down_*` of the links).
PeerStatus peer_status(const PeerReport& report, const PeerEntry& entry, Instant now);

/// The reasons that have happened, with "-" in place of "_".
std::vector<NamedCount> drop_counts(const DropCounters& drops);

/// The word for a link's reason; empty when there is nothing to explain.
const char* reason_word(LinkReason reason);

}  // namespace mwtun
