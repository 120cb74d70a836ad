#include "support/sim_ping.hpp"

#include <algorithm>
#include <cmath>

namespace mwtun::test {
namespace {

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(rank == 0 ? 0 : rank - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double in_ms(Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// The longest pause in a sorted list of moments.
Duration longest_pause(const std::vector<Instant>& moments) {
  Duration longest{};
  for (std::size_t i = 1; i < moments.size(); ++i) {
    longest = std::max(longest, moments[i] - moments[i - 1]);
  }
  return longest;
}

}  // namespace

PingSource::PingSource(Agenda& agenda, FrameNet& net, Side from, Duration interval, Instant start,
                       Instant stop)
    : agenda_(agenda),
      net_(net),
      from_(from),
      interval_(interval),
      stop_(stop),
      flow_(net.open(*this)),
      actor_(agenda.add(*this)) {
  agenda_.set(actor_, start);
}

void PingSource::act(Instant now) {
  if (now >= stop_) return;
  agenda_.set(actor_, now + interval_);
  EchoFields request;
  request.flow = flow_, request.from = from_;
  request.sequence = static_cast<std::uint16_t>(pings_.size());
  request.sent = now;
  pings_.push_back({now, never});
  const MutableBytes room = net_.room(from_);
  if (!room.empty()) net_.send(from_, put_echo(request, room));
}

void PingSource::receive(Side at, Bytes frame, Instant now) {
  auto echo = read_echo(frame);
  if (!echo) return;
  if (at != from_) {
    if (echo->reply) return;
    echo->reply = true, echo->from = at;
    const MutableBytes room = net_.room(at);
    if (!room.empty()) net_.send(at, put_echo(*echo, room));
    return;
  }
  // The sequence wraps; the sending time in it tells which one it was.
  std::size_t number = echo->sequence;
  while (number < pings_.size() && pings_[number].sent != echo->sent) number += 0x10000;
  if (number >= pings_.size()) return;
  if (pings_[number].answered != never) {
    ++duplicates_;
    return;
  }
  pings_[number].answered = now;
}

double PingSource::percentile_ms(double share, Instant from, Instant to) const {
  std::vector<double> times;
  for (const Ping& ping : pings_) {
    if (ping.sent >= from && ping.sent < to && ping.answered != never) {
      times.push_back(in_ms(ping.rtt()));
    }
  }
  return percentile(times, share);
}

std::uint64_t PingSource::unanswered(Instant from, Instant to) const {
  return static_cast<std::uint64_t>(
      std::count_if(pings_.begin(), pings_.end(), [&](const Ping& ping) {
        return ping.sent >= from && ping.sent < to && ping.answered == never;
      }));
}

Duration PingSource::longest_gap(Instant from, Instant to) const {
  std::vector<Instant> moments;
  for (const Ping& ping : pings_) {
    if (ping.sent >= from && ping.sent < to && ping.answered != never) {
      moments.push_back(ping.answered);
    }
  }
  std::sort(moments.begin(), moments.end());
  return longest_pause(moments);
}

UdpSource::UdpSource(Agenda& agenda, FrameNet& net, const Options& options)
    : agenda_(agenda),
      net_(net),
      options_(options),
      flow_(net.open(*this)),
      actor_(agenda.add(*this)) {
  set_rate(options.rate_bps);
  agenda_.set(actor_, std::max(Agenda::begin + options.start, agenda.now()));
}

void UdpSource::set_rate(std::uint64_t rate_bps) {
  options_.rate_bps = rate_bps;
  const double packet_bits = 8.0 * (options_.payload_bytes + 28);
  interval_ = Duration(
      static_cast<Duration::rep>(1e9 * packet_bits / static_cast<double>(options_.rate_bps)));
}

void UdpSource::act(Instant now) {
  if (now >= Agenda::begin + options_.stop) return;
  agenda_.set(actor_, now + interval_);
  UdpFields fields;
  fields.flow = flow_, fields.from = other(options_.to);
  fields.sequence = datagrams_.size();
  fields.sent = now;
  fields.payload_bytes = options_.payload_bytes;
  datagrams_.push_back({now, never, false});
  const MutableBytes room = net_.room(fields.from);
  if (!room.empty()) net_.send(fields.from, put_udp(fields, room));
}

void UdpSource::receive(Side at, Bytes frame, Instant now) {
  const auto fields = read_udp(frame);
  if (!fields || at != options_.to || fields->sequence >= datagrams_.size()) return;
  Datagram& datagram = datagrams_[fields->sequence];
  if (datagram.arrived != never) {
    ++duplicates_;
    return;
  }
  datagram.arrived = now;
  datagram.late = fields->sequence + 1 < highest_;
  highest_ = std::max(highest_, fields->sequence + 1);
}

UdpSource::Summary UdpSource::summary(Instant from, Instant to) const {
  Summary summary;
  std::vector<double> delays;
  std::vector<Instant> moments;
  for (const Datagram& datagram : datagrams_) {
    if (datagram.sent < from || datagram.sent >= to) continue;
    ++summary.sent;
    if (datagram.arrived == never) {
      ++summary.lost;
      continue;
    }
    summary.out_of_order += datagram.late ? 1u : 0u;
    delays.push_back(in_ms(datagram.arrived - datagram.sent));
    moments.push_back(datagram.arrived);
  }
  std::sort(moments.begin(), moments.end());
  summary.longest_gap = longest_pause(moments);
  summary.delay_p99_ms = percentile(delays, 0.99);
  return summary;
}

double UdpSource::arrived_bps(Instant from, Instant to) const {
  std::uint64_t count = 0;
  for (const Datagram& datagram : datagrams_) {
    if (datagram.arrived != never && datagram.arrived >= from && datagram.arrived < to) ++count;
  }
  return static_cast<double>(count) * 8 * (options_.payload_bytes + 28) /
         std::chrono::duration<double>(to - from).count();
}

}  // namespace mwtun::test
