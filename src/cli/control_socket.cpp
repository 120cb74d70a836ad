#include "cli/control_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <set>

#include "cli/control_path.hpp"
#include "cli/exit_codes.hpp"

namespace mwtun {

namespace asio = boost::asio;
using Stream = asio::local::stream_protocol;
using boost::system::error_code;

std::string control_error(std::string_view why) {
  std::string out = "{\"schema\":1,\"error\":\"";
  for (const char c : why) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"}";
}

struct ControlServer::State : std::enable_shared_from_this<State> {
  State(asio::io_context& context, ControlPath claimed, Handler given, ControlLimits bounds)
      : path(std::move(claimed)),
        handler(std::move(given)),
        limits(bounds),
        acceptor(context),
        pause(context) {}

  void accept();
  void admit(Stream::socket socket);

  ControlPath path;
  Handler handler;
  ControlLimits limits;
  Stream::acceptor acceptor;
  asio::steady_timer pause;
  std::set<std::shared_ptr<Session>> sessions;
};

/// One client. Lives in State::sessions; whoever removes it there closes its socket.
class ControlServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Stream::socket socket, State& state)
      : socket_(std::move(socket)),
        deadline_(socket_.get_executor()),
        server_(state.weak_from_this()) {}

  void start(const ControlLimits& limits) {
    deadline_.expires_after(limits.deadline);
    deadline_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->end();
    });
    asio::async_read_until(socket_, asio::dynamic_buffer(received_, limits.request_bytes_max), '\n',
                           [self = shared_from_this()](error_code error, std::size_t size) {
                             self->received(error, size);
                           });
  }

  void answer(std::string text) {
    if (answered_ || !socket_.is_open()) return;
    answered_ = true;
    answer_ = std::move(text);
    answer_ += '\n';
    asio::async_write(socket_, asio::buffer(answer_),
                      [self = shared_from_this()](error_code, std::size_t) { self->end(); });
  }

  void close() {
    error_code ignored;
    deadline_.cancel();
    socket_.close(ignored);
  }

 private:
  void received(error_code error, std::size_t size) {
    if (error == asio::error::not_found) return answer(control_error("the request is too long"));
    if (error) return end();
    const auto server = server_.lock();
    if (!server) return end();
    const auto reply = [weak = weak_from_this()](std::string text) {
      if (const auto self = weak.lock()) self->answer(std::move(text));
    };
    try {
      server->handler(std::string_view(received_).substr(0, size - 1), reply);
    } catch (const std::exception& problem) {
      answer(control_error(problem.what()));
    }
  }

  void end() {
    close();
    if (const auto server = server_.lock()) server->sessions.erase(shared_from_this());
  }

  Stream::socket socket_;
  asio::steady_timer deadline_;
  std::weak_ptr<State> server_;
  std::string received_;
  std::string answer_;
  bool answered_ = false;
};

static bool may_ask(Stream::socket& socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  return ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 &&
         (credentials.uid == 0 || credentials.uid == ::geteuid());
}

/// A fresh socket has room for a short line, so this does not wait.
static void turn_away(Stream::socket& socket, std::string_view why) {
  const std::string line = control_error(why) + '\n';
  ::send(socket.native_handle(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void ControlServer::State::admit(Stream::socket socket) {
  if (!may_ask(socket))
    return turn_away(socket, "not permitted: run as root or as the tunnel's user");
  if (sessions.size() >= limits.clients_max)
    return turn_away(socket, "too many clients; try again");
  error_code error;
  socket.non_blocking(true, error);
  if (error) return;
  const auto session = std::make_shared<Session>(std::move(socket), *this);
  sessions.insert(session);
  session->start(limits);
}

void ControlServer::State::accept() {
  acceptor.async_accept([weak = weak_from_this()](error_code error, Stream::socket socket) {
    const auto self = weak.lock();
    if (!self || error == asio::error::operation_aborted) return;
    if (!error) {
      self->admit(std::move(socket));
      return self->accept();
    }
    // Out of descriptors, most likely: asking again at once would spin.
    self->pause.expires_after(milliseconds(100));
    self->pause.async_wait([weak](error_code cancelled) {
      const auto again = weak.lock();
      if (again && !cancelled) again->accept();
    });
  });
}

Result<ControlServer> ControlServer::open(asio::io_context& context, const std::string& path,
                                          Handler handler, ControlLimits limits) {
  Result<ControlPath> claimed = ControlPath::claim(path);
  if (!claimed) return claimed.error();
  // Asio closes what it is given, and ControlPath owns the listener: so Asio gets a second
  // descriptor.
  const int listener = ::fcntl(claimed.value().listener(), F_DUPFD_CLOEXEC, 0);
  if (listener < 0) return os_error(errno, "cannot listen on " + path);
  auto state = std::make_shared<State>(context, claimed.take(), std::move(handler), limits);
  error_code error;
  state->acceptor.assign(Stream(), listener, error);
  if (error) {
    ::close(listener);
    return os_error(error.value(), "cannot listen on " + path);
  }
  state->accept();
  return ControlServer(std::move(state));
}

ControlServer::ControlServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
ControlServer::ControlServer(ControlServer&&) noexcept = default;
ControlServer& ControlServer::operator=(ControlServer&& other) noexcept {
  if (this != &other) {
    stop();
    state_ = std::move(other.state_);
  }
  return *this;
}
ControlServer::~ControlServer() {
  stop();
}

void ControlServer::stop() {
  if (!state_) return;
  error_code ignored;
  state_->acceptor.close(ignored);
  state_->pause.cancel();
  for (const auto& session : state_->sessions) session->close();
  state_->sessions.clear();
  state_.reset();
}

std::size_t ControlServer::clients() const {
  return state_->sessions.size();
}

}  // namespace mwtun
