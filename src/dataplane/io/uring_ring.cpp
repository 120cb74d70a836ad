#include "dataplane/io/uring_ring.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.hpp"
#include "dataplane/io/fd.hpp"
#include "dataplane/io/os_error.hpp"

namespace mwtun {

static Error refusal(int error) {
  const std::string what = "no io_uring";
  switch (error) {
    case ENOSYS: return os_error(error, what, "this kernel was built without it");
    case EPERM:
    case EACCES:
      return os_error(error, what,
                      "kernel.io_uring_disabled or a seccomp filter (systemd, a container) forbids "
                      "it");
    case ENOMEM: return os_error(error, what, "the limit on locked memory is too low for it");
    default: return os_error(error, what);
  }
}

/// The best set-up that the kernel knows: 6.1 leaves all of its work to when it is asked, 6.0 runs
/// it with the next system call.
static int set_up(io_uring& ring) {
  const unsigned always = IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                          IORING_SETUP_SINGLE_ISSUER;
  int error = 0;
  for (const unsigned more : {IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN}) {
    io_uring_params params{};
    params.flags = always | more;
    params.cq_entries = UringRing::completions_max;
    error = -io_uring_queue_init_params(UringRing::submissions_max, &ring, &params);
    if (error != EINVAL) break;
  }
  return error;
}

/// liburing 2.3 has a name for this, but no function in its shared file.
static int enable(io_uring& ring) {
  return static_cast<int>(
      syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0));
}

/// Receives two messages with one request into buffers of a ring: the kernel's flags do not tell
/// whether it can do that (Linux 6.0).
static bool receives_repeatedly() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return false;
  }
  const Fd near(ends[0]), far(ends[1]);
  io_uring ring{};
  if (set_up(ring) != 0) return false;
  unsigned good = 0;
  {
    void* memory = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MWTUN_ASSERT(memory != MAP_FAILED);
    auto* buffers = static_cast<io_uring_buf_ring*>(memory);
    io_uring_buf_reg description{};
    description.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
    description.ring_entries = 2;
    msghdr header{};
    if (io_uring_register_buf_ring(&ring, &description, 0) == 0 && enable(ring) == 0) {
      io_uring_buf_ring_init(buffers);
      for (unsigned i = 0; i < 2; ++i) {
        io_uring_buf_ring_add(buffers, static_cast<char*>(memory) + 4096 + i * 1024, 1024,
                              static_cast<unsigned short>(i), 1, static_cast<int>(i));
      }
      io_uring_buf_ring_advance(buffers, 2);
      io_uring_sqe* request = io_uring_get_sqe(&ring);
      io_uring_prep_recvmsg_multishot(request, near.get(), &header, 0);
      request->flags |= IOSQE_BUFFER_SELECT;
      request->buf_group = 0;
      for (unsigned i = 0; i < 2; ++i) {
        if (send(far.get(), "x", 1, 0) != 1 || io_uring_submit_and_get_events(&ring) < 0) break;
        unsigned head = 0, seen = 0;
        const io_uring_cqe* entry = nullptr;
        io_uring_for_each_cqe(&ring, head, entry) {
          ++seen;
          const bool one = entry->res == sizeof(io_uring_recvmsg_out) + 1;
          if (one && (entry->flags & IORING_CQE_F_BUFFER) != 0) ++good;
        }
        io_uring_cq_advance(&ring, seen);
      }
    }
    io_uring_queue_exit(&ring);
    munmap(memory, 8192);
  }
  return good == 2;
}

Result<void> UringRing::open() {
  MWTUN_ASSERT(!open_);
  if (const int error = set_up(ring_)) {
    if (error != EINVAL) return refusal(error);
    return Error{"no io_uring that does for us: Linux 6.0 is needed", exit_os};
  }
  open_ = true;
  if ((ring_.features & IORING_FEAT_EXT_ARG) == 0 || !receives_repeatedly()) {
    close();
    return Error{
        "no io_uring that does for us: it cannot receive again and again into a ring of buffers, "
        "as Linux 6.0 can",
        exit_os};
  }
  files_ = io_uring_register_files_sparse(&ring_, files_max) == 0;
  return {};
}

void UringRing::close() {
  if (open_) io_uring_queue_exit(&ring_);
  open_ = false;
}

void UringRing::start() {
  MWTUN_ASSERT(open_ && !started());
  user_ = std::this_thread::get_id();
  MWTUN_ASSERT(enable(ring_) == 0);
  io_uring_register_ring_fd(&ring_);  // Without, each call looks the descriptor up.
}

io_uring_sqe* UringRing::next() {
  make_room(1);
  return io_uring_get_sqe(&ring_);
}

void UringRing::make_room(unsigned submissions) {
  if (io_uring_sq_space_left(&ring_) < submissions) submit();
}

bool UringRing::submit() {
  io_uring_submit(&ring_);
  return io_uring_sq_ready(&ring_) == 0;
}

/// Where the kernel takes no requests it did not look after those it has either.
bool UringRing::taken() {
  if (io_uring_sq_ready(&ring_) == 0) return true;
  io_uring_get_events(&ring_);
  return false;
}

bool UringRing::wait(Instant deadline, Instant now) {
  if (deadline <= now) {
    io_uring_submit_and_get_events(&ring_);
    return taken();
  }
  io_uring_cqe* entry = nullptr;
  // A day at most, as with epoll.
  const Duration left = std::min<Duration>(deadline - now, std::chrono::hours(24));
  __kernel_timespec timeout{};
  timeout.tv_sec = left / seconds(1);
  timeout.tv_nsec = (left % seconds(1)).count();
  io_uring_submit_and_wait_timeout(&ring_, &entry, 1, deadline == never ? nullptr : &timeout,
                                   nullptr);
  return taken();
}

bool UringRing::wait(unsigned completions) {
  io_uring_submit_and_wait(&ring_, completions);
  return taken();
}

bool UringRing::put_file(unsigned number, int fd) {
  if (!files_ || number >= files_max) return false;
  return io_uring_register_files_update(&ring_, number, &fd, 1) == 1;
}

void UringRing::forget_files() {
  if (open_ && files_) io_uring_unregister_files(&ring_);
  files_ = false;
}

int UringBuffers::open(UringRing& ring, unsigned group, std::size_t buffer_bytes) {
  buffer_bytes_ = buffer_bytes;
  stride_ = (buffer_bytes + 63) / 64 * 64;
  memory_bytes_ = ring_bytes + count * stride_;
  void* memory =
      mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno;
  memory_ = static_cast<std::uint8_t*>(memory);
  group_ = group;
  io_uring_buf_reg description{};
  description.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
  description.ring_entries = count;
  description.bgid = static_cast<std::uint16_t>(group);
  if (const int error = io_uring_register_buf_ring(&ring.ring_, &description, 0); error != 0) {
    drop();
    return -error;
  }
  io_uring_buf_ring_init(this->ring());
  for (unsigned i = 0; i < count; ++i) give_back(i);
  return 0;
}

void UringBuffers::close(UringRing& ring) {
  if (memory_ != nullptr) io_uring_unregister_buf_ring(&ring.ring_, static_cast<int>(group_));
  drop();
}

void UringBuffers::drop() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
  memory_ = nullptr;
}

void UringBuffers::give_back(unsigned number) {
  const MutableBytes buffer = (*this)[number];
  io_uring_buf_ring_add(ring(), buffer.data(), static_cast<unsigned>(buffer.size()),
                        static_cast<unsigned short>(number), io_uring_buf_ring_mask(count), 0);
  io_uring_buf_ring_advance(ring(), 1);
}

}  // namespace mwtun
