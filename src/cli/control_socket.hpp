#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"

namespace boost::asio {
class io_context;
}

namespace mwtun {

struct ControlLimits {
  std::size_t request_bytes_max = 64 * 1024;
  std::size_t clients_max = 8;
  Duration deadline = seconds(5);  // From accepting a client to having written its answer.
};

/// Answers requests on a Unix socket: one line in, one line out, then the connection is closed.
/// Runs on the io_context's one thread and never makes it wait. Only root and the user we run as
/// are served.
class ControlServer {
 public:
  /// Sends the answer, without its newline; once, on the io_context's thread, now or later.
  /// Harmless when the client or the server is gone by then.
  using Reply = std::function<void(std::string answer)>;
  /// Gets the request without its newline, of at most request_bytes_max bytes of anything.
  using Handler = std::function<void(std::string_view request, Reply reply)>;

  /// Claims the path (see ControlPath) and starts to accept. The io_context must outlive this.
  static Result<ControlServer> open(boost::asio::io_context& context, const std::string& path,
                                    Handler handler, ControlLimits limits = {});
  ControlServer(ControlServer&&) noexcept;
  ControlServer& operator=(ControlServer&&) noexcept;
  /// Cuts off all clients and removes the socket.
  ~ControlServer();

  /// Clients being served.
  std::size_t clients() const;

 private:
  struct State;
  class Session;
  explicit ControlServer(std::shared_ptr<State> state);
  void stop();
  std::shared_ptr<State> state_;
};

/// {"error": "..."} as one line: what a refused client gets.
std::string control_error(std::string_view why);

}  // namespace mwtun
