#include "support/sim_tcp.hpp"

#include <algorithm>

namespace mwtun::test {
namespace {

TcpNumbers numbers_of(const TcpOptions& options) {
  Prng chance(options.seed ^ 0x7c9);
  return {static_cast<std::uint32_t>(chance.next()), options.mss};
}

}  // namespace

TcpFlow::TcpFlow(Agenda& agenda, FrameNet& net, Side to, const TcpOptions& options)
    : agenda_(agenda),
      to_(to),
      flow_(net.open(*this)),
      actor_(agenda.add(*this)),
      sender_(net, other(to), flow_, numbers_of(options), options,
              std::max(Agenda::begin + options.start, agenda.now())),
      receiver_(net, to, flow_, numbers_of(options), options.window_bytes, options.ecn) {
  arm();
}

void TcpFlow::receive(Side at, Bytes frame, Instant now) {
  const auto fields = read_tcp(frame);
  if (!fields) {
    ++broken_;
    return;
  }
  if (at == to_) {
    receiver_.segment(*fields, now);
  } else {
    sender_.acknowledgement(*fields, now);
  }
  arm();
}

void TcpFlow::act(Instant now) {
  if (sender_.due() <= now) sender_.timeout(now);
  if (receiver_.due() <= now) receiver_.timeout(now);
  arm();
}

void TcpFlow::arm() {
  agenda_.set(actor_, std::min(sender_.due(), receiver_.due()));
}

}  // namespace mwtun::test
