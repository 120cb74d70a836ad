#include "support/sim_net.hpp"

#include <algorithm>

namespace mwtun::test {

linkem::Token PacketPool::take() {
  if (free_.empty()) {
    packets_.push_back(std::make_unique<Packet>());
    return static_cast<linkem::Token>(packets_.size() - 1);
  }
  const linkem::Token token = free_.back();
  free_.pop_back();
  return token;
}

DuplexLine::Way::Way(DuplexLine& line_, Side to_, const linkem::DirectionOptions& options,
                     std::uint64_t seed, const std::shared_ptr<linkem::Bottleneck>& shared)
    : line(line_), to(to_), model(options, seed, line_.agenda_.now(), shared) {
  actor = line.agenda_.add(*this);
}

void DuplexLine::Way::act(Instant now) {
  while (const auto release = model.pop_released(now)) {
    Packet& packet = line.pool_[release->token];
    if (keep_queue_times) {
      const Duration waited = release->due - release->arrival - model.options().delay;
      queue_times_ms.push_back(std::chrono::duration<float, std::milli>(waited).count());
    }
    packet.user->arrive(line.number_, to, packet, release->corrupt_seed != 0, now);
    if (--packet.copies == 0) line.pool_.give_back(release->token);
  }
  line.agenda_.set(actor, model.next_release());
}

DuplexLine::DuplexLine(Agenda& agenda, PacketPool& pool, std::size_t number,
                       const linkem::LineOptions& options, std::uint64_t seed,
                       const std::shared_ptr<linkem::Bottleneck>& up,
                       const std::shared_ptr<linkem::Bottleneck>& down)
    : agenda_(agenda),
      pool_(pool),
      number_(number),
      up_(*this, Side::server, options.up, 2 * seed, up),
      down_(*this, Side::client, options.down, 2 * seed + 1, down) {}

void DuplexLine::send(Side from, linkem::Token token, std::uint32_t ip_bytes) {
  Way& it = way(from);
  const unsigned copies = it.model.offer(ip_bytes, agenda_.now(), token);
  pool_[token].copies = static_cast<std::uint8_t>(copies);
  if (copies == 0) return pool_.give_back(token);
  agenda_.set(it.actor, it.model.next_release());
}

void DuplexLine::configure(Side from, const linkem::DirectionOptions& options) {
  Way& it = way(from);
  it.model.configure(options, agenda_.now());
  agenda_.set(it.actor, it.model.next_release());
}

void DuplexLine::cut(Side from, bool dead) {
  Way& it = way(from);
  if (!dead) return it.model.bring_up();
  for (const linkem::Token token : it.model.take_down(agenda_.now())) {
    if (--pool_[token].copies == 0) pool_.give_back(token);
  }
  agenda_.set(it.actor, it.model.next_release());
}

std::uint16_t FrameNet::open(FrameSink& sink) {
  sinks_.push_back(&sink);
  return static_cast<std::uint16_t>(sinks_.size() - 1);
}

void FrameNet::deliver(Side at, Bytes frame, Instant now) {
  const auto flow = flow_of_frame(frame, at);
  if (!flow || *flow >= sinks_.size()) {
    ++strays_;
    return;
  }
  sinks_[*flow]->receive(at, frame, now);
}

MutableBytes BareNet::room(Side) {
  if (!taken_) token_ = line_.pool().take(), taken_ = true;
  return line_.pool()[token_].bytes;
}

void BareNet::send(Side from, std::uint32_t bytes) {
  MWTUN_ASSERT(taken_);
  taken_ = false;
  Packet& packet = line_.pool()[token_];
  packet.size = bytes, packet.user = this;
  line_.send(from, token_, load_be16(packet.bytes.data() + ethernet_bytes + 2));
}

void BareNet::arrive(std::size_t, Side at, const Packet& packet, bool corrupt, Instant now) {
  if (corrupt) return;  // The checksums say so.
  deliver(at, Bytes(packet.bytes).first(packet.size), now);
}

}  // namespace mwtun::test
