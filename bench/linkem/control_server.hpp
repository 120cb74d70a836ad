#pragma once
#include <functional>
#include <list>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "linkem/descriptor.hpp"

namespace mwtun::linkem {

/// Listens on a Unix socket: a command a line in, an answer a line out.
class ControlServer {
 public:
  /// Replaces a socket file nobody listens on; an error if somebody does.
  static Result<ControlServer> listen(const std::string& path);
  ControlServer() = default;
  ControlServer(ControlServer&&) noexcept = default;
  ControlServer& operator=(ControlServer&& other) noexcept;
  ~ControlServer();

  bool open() const { return loop_.open(); }
  /// Readable when serve() has something to do.
  int fd() const { return loop_.fd(); }
  /// Takes connections, reads commands and answers them; never waits.
  void serve(const std::function<std::string(std::string_view)>& execute);

 private:
  struct Client {
    Descriptor socket;
    std::string unread;
  };

  void accept_clients();
  /// False when the client has gone or must.
  static bool serve_client(Client& client,
                           const std::function<std::string(std::string_view)>& execute);

  std::string path_;
  Descriptor loop_;
  Descriptor listener_;
  std::list<Client> clients_;
};

}  // namespace mwtun::linkem
