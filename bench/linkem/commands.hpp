#pragma once
#include <string>
#include <string_view>

namespace mwtun::linkem {

class Emulator;

/// Runs one control command and gives its answer as one line of JSON: {"ok":true,…} or
/// {"ok":false,"error":"…"}.
std::string execute(Emulator& emulator, std::string_view command);

std::string_view commands_help();

}  // namespace mwtun::linkem
