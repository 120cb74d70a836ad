#include "dataplane/io/os_error.hpp"
#include "dataplane/io/uring_open.hpp"

namespace mwtun {

Result<std::unique_ptr<EventLoop>> open_uring_loop(SlabPool&) {
  return Error{"no io_uring: this program was built without liburing", exit_os};
}

}  // namespace mwtun
