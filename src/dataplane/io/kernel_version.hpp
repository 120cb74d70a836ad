#pragma once

namespace mwtun {

/// Of the running kernel, "6.1.0-13-amd64" as 6'001'000; 0: not known.
unsigned kernel_version();

}  // namespace mwtun
