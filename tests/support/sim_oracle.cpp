#include "support/sim_oracle.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mwtun::test {
namespace {

// A UDP flow counts as steady, and so as ordered, from this long after its last pause.
constexpr Duration steady_after = seconds(4);
constexpr Duration steady_gap_max = milliseconds(20);

}  // namespace

Duration FlowRecord::latency_max(std::uint64_t from_sequence) const {
  Duration most{};
  for (std::size_t i = from_sequence; i < frames.size(); ++i) {
    if (frames[i].delivered != never) most = std::max(most, frames[i].delivered - frames[i].sent);
  }
  return most;
}

void Oracle::fail(Instant at, std::string rule, std::string detail) {
  if (!violation_) violation_ = Violation{at, std::move(rule), std::move(detail)};
}

std::size_t Oracle::add_flow(const FlowShape& shape, EndId from, EndId to) {
  FlowRecord record;
  record.shape = shape;
  record.shape.id = static_cast<std::uint16_t>(flows_.size());
  record.from = from, record.to = to;
  flows_.push_back(std::move(record));
  return flows_.size() - 1;
}

void Oracle::frame_sent(std::size_t id, std::uint32_t size, Instant now) {
  FlowRecord& flow = flows_[id];
  const bool gap = flow.frames.empty() || flow.steady_since == never ||
                   now - flow.frames.back().sent > steady_gap_max;
  if (gap) flow.steady_since = now, ++flow.stretch;
  FrameRecord record;
  record.sent = now;
  record.size = size;
  if (always_ordered(flow.shape.kind)) {
    record.stretch = 1;
  } else if (flow.shape.kind == FlowKind::udp4 || flow.shape.kind == FlowKind::udp6) {
    record.stretch = now - flow.steady_since > steady_after ? flow.stretch : 0;
  }
  flow.frames.push_back(record);
}

void Oracle::frame_delivered(EndId at, EndId from, Bytes frame, Instant now) {
  std::string why;
  const auto tag = read_frame(frame, &why);
  if (!tag) return fail(now, "delivered unchanged", fmt::format("{} bytes: {}", frame.size(), why));
  if (tag->flow >= flows_.size()) return fail(now, "delivered was sent", "unknown flow");
  FlowRecord& flow = flows_[tag->flow];
  const std::string name =
      fmt::format("{} flow {} frame {}", to_string(flow.shape.kind), tag->flow, tag->sequence);
  if (flow.to != at || flow.from != from) {
    return fail(now, "delivered to the right peer",
                fmt::format("{} from {} came to {}", name, from, at));
  }
  if (tag->sequence >= flow.frames.size()) return fail(now, "delivered was sent", name);
  FrameRecord& record = flow.frames[tag->sequence];
  if (record.size != frame.size()) {
    return fail(now, "delivered unchanged",
                fmt::format("{}: {} bytes, sent {}", name, frame.size(), record.size));
  }
  if (record.delivered != never) return fail(now, "delivered once", name);
  if (tag->sequence + 1 < flow.highest_delivered && record.stretch != 0 &&
      flow.frames[flow.highest_delivered - 1].stretch == record.stretch) {
    return fail(now, "in order within a flow",
                fmt::format("{} after {}", name, flow.highest_delivered - 1));
  }
  record.delivered = now;
  ++flow.delivered;
  flow.highest_delivered = std::max(flow.highest_delivered, tag->sequence + 1);
}

DatagramMark Oracle::datagram_sent(EndId from, EndId to, Bytes datagram, const DatagramTag& tag,
                                   Instant local_now, Instant now) {
  const std::uint8_t type = datagram.empty() ? 0 : datagram[0] & 0x0f;
  const std::size_t exact = type == 1 ? 200 : type == 2 ? 140 : type == 3 ? 64 : 0;
  if (type < 1 || type > 4 || (type < 4 && datagram.size() != exact) ||
      (type == 4 && datagram.size() < 29) || (datagram[0] & 0xc0) != 0) {
    fail(now, "datagrams are well formed",
         fmt::format("end {} sent {} bytes of type {}", from, datagram.size(), type));
    return {};
  }
  if ((type == 4) != tag.data) {
    fail(now, "tags tell the truth", fmt::format("type {}, data {}", type, tag.data));
    return {};
  }
  if (type != 4) return {};

  const int epoch = datagram[0] >> 4 & 3;
  const std::uint8_t link = datagram[1];
  const std::uint32_t index = load_le32(datagram.data() + 2);
  const std::uint32_t number = load_le32(datagram.data() + 6);
  const std::string name = fmt::format("end {} index {:08x} epoch {} link {} number {}", from,
                                       index, epoch, link, number);
  if (link >= links_max || link != value_of(tag.link) || epoch != tag.epoch ||
      number != static_cast<std::uint32_t>(tag.number)) {
    fail(now, "tags tell the truth", name);
    return {};
  }
  const auto [place, fresh] = sessions_.try_emplace({from, index});
  SessionOut& session = place->second;
  if (fresh) session.streams.fill(DatagramMark::none);
  if (session.epoch != epoch) {
    // Epochs only go up, by one; a sender never returns to an older key.
    if (session.epoch >= 0 && epoch != (session.epoch + 1) % 4) {
      fail(now, "epochs rise by one", fmt::format("{} after epoch {}", name, session.epoch));
      return {};
    }
    session.epoch = epoch, session.key_since = local_now;
    session.streams.fill(DatagramMark::none);
  }
  if (local_now - session.key_since > key_lifetime) {
    fail(now, "no key is used past 180 s",
         fmt::format("{}: first used {} s ago", name,
                     std::chrono::duration<double>(local_now - session.key_since).count()));
    return {};
  }
  std::size_t& stream = session.streams[link];
  if (stream == DatagramMark::none) {
    stream = streams_.size();
    streams_.push_back({to, link, 0, {}, 0});
    stream_from_.push_back(from);
  }
  DatagramStream& numbers = streams_[stream];
  if (tag.number != numbers.numbers) {
    fail(now, tag.number < numbers.numbers ? "no number is used twice" : "numbers rise by one",
         fmt::format("{}, expected {}", name, numbers.numbers));
    return {};
  }
  ++numbers.numbers;
  numbers.arrived.push_back(false);
  return {stream, tag.number};
}

void Oracle::datagram_arrives(EndId at, const DatagramMark& mark, bool altered) {
  if (mark.stream == DatagramMark::none || altered) return;
  DatagramStream& stream = streams_[mark.stream];
  if (stream.to != at || stream.arrived[mark.number]) return;
  stream.arrived[mark.number] = true;
  if (mark.number + replay_window >= stream.highest_arrived)
    ++timely_[{{at, stream_from_[mark.stream]}, stream.link}];
  stream.highest_arrived = std::max(stream.highest_arrived, mark.number + 1);
}

void Oracle::session_began(EndId end) {
  for (FlowRecord& flow : flows_) {
    if (flow.from == end) flow.steady_since = never;
  }
}

void Oracle::end_restarted(EndId end) {
  for (auto& [key, count] : timely_) {
    if (key.first.first == end) count = 0;
  }
}

std::uint64_t Oracle::timely_arrivals(EndId at, EndId from, std::uint8_t link) const {
  const auto found = timely_.find({{at, from}, link});
  return found == timely_.end() ? 0 : found->second;
}

void Oracle::server_received(const Address& from, std::size_t bytes, bool data) {
  Account& account = accounts_[from];
  account.received += bytes;
  if (data && account.asked) account.validated = true;
}

void Oracle::server_sent(const Address& to, std::size_t bytes, bool data, Instant now) {
  Account& account = accounts_[to];
  account.sent += bytes;
  if (data) account.asked = true;
  if (!account.validated && account.sent > 3 * account.received) {
    fail(now, "at most three times the bytes to an unproven address",
         fmt::format("{}: {} bytes for {}", to_string(to), account.sent, account.received));
  }
}

}  // namespace mwtun::test
