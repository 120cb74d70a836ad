#include "dataplane/io/steering_program.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "dataplane/io/os_error.hpp"
#include "dataplane/steering.hpp"

namespace mwtun {

std::vector<sock_filter> steering_program(unsigned workers) {
  const auto is_type = [](wire::Type type, std::uint8_t skip_if_not) -> sock_filter {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(type), 0, skip_if_not);
  };
  std::vector<sock_filter> program = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
                                      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x0f)};
  for (const wire::Type type : {wire::Type::data, wire::Type::response, wire::Type::cookie}) {
    program.push_back(is_type(type, 3));
    // A load past the end ends the program with 0, the admitting worker.
    program.push_back(
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, static_cast<unsigned>(index_offset(type))));
    program.push_back(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers));
    program.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, admitting_worker));
  static_assert(admitting_worker == 0);
  return program;
}

Result<void> attach_steering(int fd, unsigned workers) {
  std::vector<sock_filter> instructions = steering_program(workers);
  const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) != 0) {
    return os_error(errno, "cannot steer datagrams to workers by their session");
  }
  return {};
}

}  // namespace mwtun
