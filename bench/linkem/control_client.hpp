#pragma once
#include <sys/un.h>

#include <string>

#include "base/result.hpp"
#include "linkem/descriptor.hpp"

namespace mwtun::linkem {

Result<sockaddr_un> unix_address(const std::string& path);
/// A connection to a running linkem, or why there is none.
Result<Descriptor> connect_control(const std::string& path);
/// Sends one command and gives the answer, one line of JSON, within five seconds.
Result<std::string> ask(const std::string& path, const std::string& command);

}  // namespace mwtun::linkem
