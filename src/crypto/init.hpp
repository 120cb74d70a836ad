#pragma once

namespace mwtun {

/// Must run once before anything else of this folder. False: the crypto library could not be set up
/// and the program has to end.
[[nodiscard]] bool crypto_start();

}  // namespace mwtun
