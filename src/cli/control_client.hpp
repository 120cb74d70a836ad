#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "cli/status.hpp"

namespace mwtun {

/// Sends one request line to a running tunnel and waits for the answer line, without its newline.
/// Errors: 69 nobody listens there, 75 no answer in time, 77 not permitted.
Result<std::string> query_control(const std::string& path, std::string_view request,
                                  Duration timeout = seconds(5));

/// Asks for "status". Errors as above, and 69 for an answer that is none.
Result<StatusReport> query_status(const std::string& path);

/// The control sockets in `folder`, in the order of their names. 77 when we may not look.
Result<std::vector<std::string>> control_sockets_in(const std::string& folder);

}  // namespace mwtun
