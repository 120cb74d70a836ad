#pragma once

namespace mwtun {

/// Of "6.1.0-13-amd64", 6'001'000; of what is no version, 0.
unsigned kernel_version_of(const char* release);
/// Of the running kernel.
unsigned kernel_version();

}  // namespace mwtun
