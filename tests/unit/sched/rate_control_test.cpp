#include "sched/rate_control.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>
#include <functional>
#include <random>
#include <vector>

#include "sched/pacer.hpp"

using namespace mwtun;

namespace {

/// Of time in seconds.
using Course = std::function<double(double)>;
Course constant(double value) {
  return [value](double) { return value; };
}

struct LineModel {
  Course rate_bps = constant(100e6);
  Course delay_s = constant(0.010);
  Course loss = constant(0);
  Course demand_bps = constant(1e12);
  Course foreign_bps = constant(0);  // In the same queue, whatever happens.
  Course filler = constant(0);       // 1: beside us is a flow that grows until the buffer is full.
  double back_s = 0.010;
  double buffer_s = 0.2;
  double jitter_s = 0;  // Normal, in order: t = max(now + delay, last) + size / rate.
  double policer_bps = 0;
  Course away = constant(0);  // 1: somebody else has the sender's processor.
};

struct Outcome {
  double delivered_bps = 0;  // IP bytes.
  double loss = 0;
  double queue_p50_s = 0, queue_p95_s = 0;
};

/// A sender that paces by the controller, one line, and a receiver that acknowledges every 10 ms or
/// 32 datagrams; datagram by datagram, at virtual time.
class PacedLine {
 public:
  static constexpr double payload = 1400, wire = payload + 28;
  explicit PacedLine(LineModel model) : model_(std::move(model)) {}
  RateControl control;

  Outcome run_until(double end) {
    delays_.clear();
    const double began = now_;
    const std::uint64_t sent = sent_, lost = lost_, delivered = delivered_;
    for (; now_ < end; now_ += tick) {
      if (model_.away(now_) == 0) send();
      receive();
      while (model_.away(now_) == 0 && !acks_.empty() && acks_.front().first <= now_) {
        acks_.front().second.sent_bytes_now = sent_;
        control.feedback(acks_.front().second, at(now_));
        acks_.pop_front();
      }
    }
    Outcome outcome;
    const double ratio = wire / payload;
    outcome.delivered_bps = static_cast<double>(delivered_ - delivered) * 8 * ratio / (end - began);
    outcome.loss =
        static_cast<double>(lost_ - lost) / static_cast<double>(std::max(sent_ - sent, {1}));
    std::sort(delays_.begin(), delays_.end());
    if (!delays_.empty()) {
      outcome.queue_p50_s = delays_[delays_.size() / 2];
      outcome.queue_p95_s = delays_[delays_.size() * 95 / 100];
    }
    return outcome;
  }

 private:
  static constexpr double tick = 50e-6;
  static constexpr auto bytes = static_cast<std::uint64_t>(payload);
  struct Datagram {
    double sent = 0, arrives = 0;
    std::uint64_t sent_bytes = 0, starved_bytes = 0;
    std::uint32_t paused_us = 0;
  };
  static Instant at(double s) { return Instant{seconds(1) + as_duration(s)}; }
  static Duration as_duration(double s) { return Duration{static_cast<std::int64_t>(s * 1e9)}; }

  void send() {
    const double foreign = (model_.foreign_bps(now_) + filler_bps()) * tick / model_.rate_bps(now_);
    if (std::max(free_, now_) - now_ < model_.buffer_s) free_ = std::max(free_, now_) + foreign;
    offered_ = std::min(offered_ + model_.demand_bps(now_) / 8 * tick, 200 * payload);
    while (offered_ >= payload && pacer_.wait(at(now_)) == Duration{0}) {
      offered_ -= payload;
      const bool starved = pacer_.sent(bytes, control.pacing_bps(), at(now_));
      sent_ += bytes;
      starved_ += starved ? bytes : 0;
      transmit();
    }
    pacer_.stops(offered_ >= payload ? control.burst_max() : Duration{0});
  }

  /// A window that grows by 30 datagrams a second (about what CUBIC does around its plateau, at
  /// this rate) and falls to 0.7 when the buffer overflows.
  double filler_bps() {
    if (model_.filler(now_) == 0) {
      window_ = 100;
      return 0;
    }
    const double queue_s = std::max(0.0, free_ - now_);
    const double round_s = model_.delay_s(now_) + model_.back_s + queue_s;
    window_ += 30 * tick;
    if (queue_s >= model_.buffer_s - 0.001 && now_ > cut_ + round_s) window_ *= 0.7, cut_ = now_;
    return window_ * wire * 8 / round_s;
  }

  void transmit() {
    const double delay = model_.delay_s(now_), size_s = wire * 8 / model_.rate_bps(now_);
    if (police() || chance_(random_) < model_.loss(now_) || free_ - now_ > model_.buffer_s) {
      lost_ += bytes;
      return;
    }
    const double wobble = model_.jitter_s > 0 ? model_.jitter_s * normal_(random_) : 0;
    free_ = std::max(free_, now_ + std::max(wobble, -delay)) + size_s;
    delays_.push_back(std::max(0.0, free_ - now_));
    last_ = std::max(last_, free_ + delay);
    flight_.push_back({now_, last_, sent_, starved_, pacer_.paused_us()});
  }

  bool police() {
    if (model_.policer_bps == 0) return false;
    tokens_ = std::min(64e3, tokens_ + (now_ - filled_) * model_.policer_bps / 8);
    filled_ = now_;
    if (tokens_ < wire) return true;
    tokens_ -= wire;
    return false;
  }

  void receive() {
    for (; !flight_.empty() && flight_.front().arrives <= now_; flight_.pop_front()) {
      newest_ = flight_.front();
      delivered_ += bytes;
      least_ = std::min(least_, newest_.arrives - newest_.sent);
      if (++unacknowledged_ == 1) due_ = now_ + 0.010;
    }
    if (unacknowledged_ == 0 || (now_ < due_ && unacknowledged_ < 32)) return;
    const double rtt = newest_.arrives - newest_.sent + model_.back_s;
    smoothed_ += (rtt - smoothed_) / (smoothed_ == 0 ? 1 : 8);
    RateFeedback f;
    f.sent = at(newest_.sent);
    f.sent_bytes = newest_.sent_bytes;
    f.starved_bytes = newest_.starved_bytes;
    f.paused_us = newest_.paused_us;
    f.delivered_bytes = delivered_;
    f.arrived = as_duration(newest_.arrives);
    f.delay = as_duration(least_ - 3600);  // Clocks that are an hour apart.
    f.rtt = as_duration(smoothed_);
    f.datagram_bytes = bytes;
    acks_.push_back({now_ + model_.back_s, f});
    unacknowledged_ = 0;
    least_ = 1e9;
  }

  LineModel model_;
  Pacer pacer_;
  std::mt19937_64 random_{1};
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> chance_;
  double now_ = 0, free_ = 0, last_ = 0, offered_ = 0, tokens_ = 64e3, filled_ = 0;
  std::uint64_t sent_ = 0, starved_ = 0, lost_ = 0, delivered_ = 0;
  std::deque<Datagram> flight_;
  std::deque<std::pair<double, RateFeedback>> acks_;
  Datagram newest_;
  double window_ = 100, cut_ = 0;
  int unacknowledged_ = 0;
  double least_ = 1e9, due_ = 0, smoothed_ = 0;
  std::vector<double> delays_;
};

}  // namespace

TEST_CASE("a line is filled from three seconds on and its queue stays at the target", "[rate]") {
  struct Case {
    double rate_bps, delay_s, share, queue_s;
  };
  const auto [rate_bps, delay_s, share, queue_s] =
      GENERATE(Case{100e6, 0.010, 0.98, 0.010}, Case{300e6, 0.010, 0.98, 0.005},
               Case{5e6, 0.030, 0.97, 0.022}, Case{50e6, 0.120, 0.96, 0.025},
               Case{20e6, 0.320, 0.93, 0.040});
  CAPTURE(rate_bps, delay_s);
  PacedLine line({.rate_bps = constant(rate_bps), .delay_s = constant(delay_s), .back_s = delay_s});
  line.run_until(delay_s < 0.2 ? 3 : 6);
  const Outcome outcome = line.run_until(18);
  CHECK(outcome.delivered_bps > share * rate_bps);
  CHECK(outcome.queue_p95_s < queue_s);
  CHECK(outcome.loss == 0);
  CHECK(line.control.proven());
}

TEST_CASE("a line of 100 Mbit/s carries 0.8 of it in its first second", "[rate]") {
  PacedLine line({});
  CHECK(line.run_until(1).delivered_bps > 80e6);
}

TEST_CASE("the rate follows the line down and up within about a second", "[rate]") {
  PacedLine line({.rate_bps = [](double t) { return t < 5 || t > 10 ? 100e6 : 10e6; }});
  line.run_until(6);
  const Outcome slow = line.run_until(10);
  CHECK(slow.delivered_bps > 9e6);
  CHECK(slow.queue_p95_s < 0.03);
  CHECK(slow.loss < 0.001);
  line.run_until(11);
  CHECK(line.run_until(14).delivered_bps > 95e6);
}

TEST_CASE("only a line whose rate goes up and down is said to swing", "[rate]") {
  PacedLine cable({}), jitters({.rate_bps = constant(50e6), .jitter_s = 0.020});
  PacedLine phone({.rate_bps = [](double t) { return std::fmod(t, 1) < 0.5 ? 20e6 : 7e6; }});
  for (PacedLine* line : {&cable, &jitters, &phone}) line->run_until(10);
  CHECK(cable.control.swing() == 0);
  CHECK(jitters.control.swing() == 0);
  CHECK(phone.control.swing() == 1);
  CHECK(phone.control.peak_bps() > 15'000'000);
}

TEST_CASE("a line that swings is soon full again after each dip", "[rate]") {
  PacedLine line({.rate_bps = [](double t) { return std::fmod(t, 1.5) < 1 ? 40e6 : 4e6; },
                  .delay_s = constant(0.030),
                  .back_s = 0.030});
  line.run_until(6);
  CHECK(line.run_until(36).delivered_bps > 0.42 * 28e6);
}

TEST_CASE("a sender whose turns come late fills the line all the same", "[rate]") {
  struct Case {
    double rate_bps, late_s, every_s, share, queue_s;
  };
  const auto [rate_bps, late_s, every_s, share, queue_s] =
      GENERATE(Case{300e6, 0.004, 0.010, 0.99, 0.011}, Case{300e6, 0.004, 0.040, 0.98, 0.005},
               Case{300e6, 0.008, 0.020, 0.98, 0.013}, Case{300e6, 0.008, 0.040, 0.95, 0.010},
               Case{20e6, 0.004, 0.010, 0.99, 0.020}, Case{20e6, 0.015, 0.040, 0.98, 0.022});
  CAPTURE(rate_bps, late_s, every_s);
  PacedLine line({.rate_bps = constant(rate_bps), .away = [&](double t) {
                    return t > 3 && std::fmod(t, every_s) < late_s ? 1.0 : 0.0;
                  }});
  line.run_until(5);
  const Outcome outcome = line.run_until(15);
  CHECK(outcome.delivered_bps > share * rate_bps);
  CHECK(outcome.queue_p95_s < queue_s);
  CHECK(outcome.loss == 0);
}

TEST_CASE("random loss does not slow a line down", "[rate]") {
  const double loss = GENERATE(0.01, 0.05);
  PacedLine line({.loss = constant(loss)});
  line.run_until(3);
  CHECK(line.run_until(15).delivered_bps > 0.97 * 100e6 * (1 - loss));
}

TEST_CASE("a line that begins to lose a third carries the rest", "[rate]") {
  PacedLine line({.loss = [](double t) { return t < 6 ? 0.01 : 0.3; }});
  line.run_until(9);
  CHECK(line.run_until(15).delivered_bps > 60e6);
}

TEST_CASE("a policer's rate is found, and then little is lost to it", "[rate]") {
  PacedLine line({.rate_bps = constant(1e9), .policer_bps = 50e6});
  line.run_until(3);
  const Outcome outcome = line.run_until(15);
  CHECK(outcome.delivered_bps > 0.95 * 50e6);
  CHECK(outcome.loss < 0.01);
}

TEST_CASE("a buffer shorter than the target is not kept overflowing", "[rate]") {
  PacedLine line({.buffer_s = 0.005});
  line.run_until(3);
  const Outcome outcome = line.run_until(15);
  CHECK(outcome.delivered_bps > 97e6);
  CHECK(outcome.loss < 0.01);
}

TEST_CASE("delay that comes and goes by itself is not taken for a queue", "[rate]") {
  PacedLine line(
      {.rate_bps = constant(50e6), .delay_s = constant(0.020), .back_s = 0.020, .jitter_s = 0.005});
  line.run_until(3);
  CHECK(line.run_until(15).delivered_bps > 0.9 * 50e6);
}

TEST_CASE("a line whose jitter is as large as its delay still carries most of what it can",
          "[rate]") {
  PacedLine line(
      {.rate_bps = constant(50e6), .delay_s = constant(0.020), .back_s = 0.020, .jitter_s = 0.020});
  line.run_until(5);
  CHECK(line.run_until(20).delivered_bps > 0.7 * 50e6);
}

TEST_CASE("a path that becomes longer is not taken for a queue for long", "[rate]") {
  PacedLine line({.delay_s = [](double t) { return t < 5 ? 0.020 : 0.300; }, .back_s = 0.020});
  line.run_until(6);
  CHECK(line.run_until(10).delivered_bps > 80e6);
}

TEST_CASE("after a pause or little to send the line is full again at once", "[rate]") {
  const double little_bps = GENERATE(0.0, 1e6);
  PacedLine line({.demand_bps = [=](double t) { return t < 5 || t > 15 ? 1e12 : little_bps; }});
  line.run_until(15);
  const Outcome outcome = line.run_until(16);
  CHECK(outcome.delivered_bps > 95e6);
  CHECK(outcome.queue_p95_s < 0.02);
}

TEST_CASE("less to send than the line carries makes no queue and claims no more", "[rate]") {
  PacedLine line({.demand_bps = constant(50e6)});
  const Outcome outcome = line.run_until(15);
  CHECK(outcome.queue_p95_s < 0.001);
  CHECK_FALSE(line.control.proven());
}

TEST_CASE("beside traffic that does not yield, the rest of the line is used", "[rate]") {
  PacedLine line({.foreign_bps = [](double t) { return t > 5 ? 50e6 : 0; }});
  line.run_until(7);
  const Outcome outcome = line.run_until(20);
  CHECK(outcome.delivered_bps > 45e6);
  CHECK(outcome.queue_p95_s < 0.03);
}

TEST_CASE("beside a flow that fills the buffer we keep a fair part, and all when it has ended",
          "[rate]") {
  PacedLine line({.filler = [](double t) { return t > 5 && t < 65 ? 1 : 0; }});
  line.run_until(6);
  const Outcome first = line.run_until(20), second = line.run_until(65);
  CHECK(first.delivered_bps > 25e6);
  CHECK(second.delivered_bps > 25e6);
  CHECK(second.delivered_bps < 75e6);
  CHECK(line.control.contested(Instant{seconds(66)}));
  line.run_until(70);
  const Outcome alone = line.run_until(90);
  CHECK(alone.delivered_bps > 97e6);
  CHECK(alone.queue_p95_s < 0.015);
  CHECK_FALSE(line.control.contested(Instant{seconds(91)}));
}

TEST_CASE("a sender that its window holds back still learns what the line carries", "[rate]") {
  // 52 Mbit/s on 50: the queue grows slowly, and pacing never binds.
  PacedLine line(
      {.rate_bps = constant(50e6), .demand_bps = [](double t) { return t < 1 ? 30e6 : 52e6; }});
  const Outcome outcome = line.run_until(2);
  CHECK(line.control.proven());
  CHECK(line.control.capacity_bps() * 1428 / 1400 == Approx(50e6).epsilon(0.03));
  CHECK(outcome.queue_p95_s < 0.015);
}

TEST_CASE("bursts that the line swallows between pauses prove nothing", "[rate]") {
  // Ten datagrams at once every 20 ms, on a line that takes 2.2 ms for them.
  PacedLine line({.rate_bps = constant(50e6),
                  .demand_bps = [](double t) { return std::fmod(t, 0.020) < 0.001 ? 112e6 : 0; }});
  line.run_until(10);
  CHECK_FALSE(line.control.proven());
  CHECK(line.control.pacing_bps() >= RateControl::start_bps);
}

TEST_CASE("a configured rate is never passed", "[rate]") {
  PacedLine line({});
  line.control.set_limit(20'000'000);
  line.run_until(1);
  CHECK(line.run_until(5).delivered_bps == Approx(20e6 * 1428 / 1400).epsilon(0.02));
}

TEST_CASE("a pacer lets datagrams go at its rate, with little credit after a pause", "[pacer]") {
  Pacer pacer;
  Instant now{seconds(100)};
  std::size_t burst = 0;
  for (; pacer.wait(now) == Duration{0}; ++burst) pacer.sent(1250, 100'000'000, now);
  CHECK(burst == 21);  // Two milliseconds of it, and the one that uses them up.
  CHECK(pacer.wake() > now + pacer.wait(now));
  std::size_t sent = 0;
  for (int i = 0; i < 10'000; ++i, now += microseconds(100)) {
    for (; pacer.wait(now) == Duration{0}; ++sent) {
      CHECK_FALSE((pacer.sent(1250, 100'000'000, now) && i > 0));
    }
  }
  CHECK(sent == Approx(10'000).margin(2));
}

TEST_CASE("time that frames waited for a late sender is made up for at twice the rate", "[pacer]") {
  Pacer pacer;
  Instant now{seconds(100)};
  const auto burst = [&] {
    std::size_t sent = 0;
    for (; pacer.wait(now) == Duration{0}; ++sent) pacer.sent(1250, 100'000'000, now);
    return sent;
  };
  burst();
  const bool frames_wait = GENERATE(true, false);
  pacer.stops(frames_wait ? milliseconds(100) : Duration{0});
  now += microseconds(6100);
  CHECK((pacer.busy(now) > Duration{0}) == frames_wait);
  std::size_t sent = burst();
  CHECK(sent == (frames_wait ? 41 : 21));  // Two milliseconds, at twice the rate.
  for (int i = 0; i < 50; ++i, sent += burst()) now += microseconds(100);
  CHECK(sent == (frames_wait ? 111 : 71));
}

TEST_CASE("so much of it is made up for as the line takes in one burst", "[pacer]") {
  const auto [takes_ms, datagrams] = GENERATE(table<int, std::size_t>({{3, 30}, {100, 100}}));
  Pacer pacer;
  Instant now{seconds(100)};
  const auto send_for = [&](int ms) {
    std::size_t sent = 0;
    for (const Instant end = now + milliseconds(ms); now < end; now += microseconds(100)) {
      for (; pacer.wait(now) == Duration{0}; ++sent) pacer.sent(1250, 100'000'000, now);
    }
    return sent;
  };
  send_for(50);
  pacer.stops(milliseconds(takes_ms));
  now += milliseconds(100);
  CHECK(send_for(50) == 500 + 20 + datagrams);
}

TEST_CASE("what a line carried is remembered for seconds, not for long", "[rate]") {
  const Course falls = [](double s) { return s < 10 ? 50e6 : 5e6; };
  PacedLine line({.rate_bps = falls});
  line.run_until(10);
  line.run_until(12);
  CHECK(line.control.capacity_bps() < 7'000'000u);
  CHECK(line.control.recent_bps() > 25'000'000u);
  line.run_until(40);
  CHECK(line.control.recent_bps() < 7'000'000u);
}

TEST_CASE("a line is well known some seconds after it was full for the first time", "[rate]") {
  // First a demand that tells nothing of the line.
  const Course demand = [](double s) { return s < 5 ? 1e6 : 1e12; };
  PacedLine line({.demand_bps = demand});
  line.run_until(5);
  CHECK_FALSE(line.control.proven());
  line.run_until(7);
  CHECK(line.control.proven());
  CHECK_FALSE(line.control.well_known());
  line.run_until(10);
  CHECK(line.control.well_known());
}
