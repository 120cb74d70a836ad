// A live tunnel between two nodes; the input says what becomes of their datagrams, and what
// strangers send.
#include "fuzz/fuzz_input.hpp"
#include "fuzz/node_pair.hpp"

using namespace mwtun;
using namespace mwtun::test;

namespace {

void take_front(NodePair& pair, FuzzInput& input, bool mutate, bool keep) {
  auto& list = pair.on_their_way();
  if (list.empty()) return;
  const std::size_t at = input.byte() % list.size();
  PairDatagram datagram = list[at];
  if (!keep) list.erase(list.begin() + static_cast<std::ptrdiff_t>(at));
  if (mutate) {
    const std::size_t place = input.number(2) % datagram.bytes.size();
    const std::uint8_t mask = input.byte();
    if (mask == 0) {
      datagram.bytes.resize(place);
    } else {
      datagram.bytes[place] ^= mask;
    }
  }
  pair.deliver(datagram);
}

void step(NodePair& pair, FuzzInput& input) {
  const std::uint8_t operation = input.byte();
  switch (operation % 11) {
    case 0: return pair.exchange(1 + input.byte() % 8);
    case 1: return pair.advance(milliseconds(input.byte()));
    case 2: return pair.advance(milliseconds(4 * input.number(2)));
    case 3: return take_front(pair, input, false, false);
    case 4: return take_front(pair, input, true, true);
    case 5: return take_front(pair, input, false, true);
    case 6: {
      auto& list = pair.on_their_way();
      if (!list.empty())
        list.erase(list.begin() + input.byte() % static_cast<std::ptrdiff_t>(list.size()));
      return;
    }
    case 7: {
      const auto kind = static_cast<FlowKind>(input.byte() % 9);
      return pair.send_frame(operation % 2 == 0, kind, input.number(2) % 1600);
    }
    case 8:
      for (int i = input.byte() % 64; i > 0; --i)
        pair.send_frame(operation % 2 == 0, FlowKind::tcp4, 1400);
      return;
    case 9: {
      // From a third address: a rebinding, or a stranger.
      auto& list = pair.on_their_way();
      if (list.empty() || !list.front().to_server) return;
      list.front().path.remote = parse_address("203.0.113.99:9999");
      return;
    }
    default: {
      PairDatagram raw;
      raw.to_server = input.byte() % 2 == 0;
      raw.path = raw.to_server ? pair.path_at_server(input.byte() % 2)
                               : pair.path_at_client(input.byte() % 2);
      const Bytes bytes = input.bytes(input.number(2) % 1500);
      raw.bytes.assign(bytes.begin(), bytes.end());
      return pair.deliver(raw);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  NodePair pair;
  for (int steps = 0; !input.empty() && steps < 200; ++steps) step(pair, input);
  return 0;
}
