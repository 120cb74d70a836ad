#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "linkem/line_model.hpp"
#include "support/sim_agenda.hpp"
#include "support/sim_frames.hpp"

namespace mwtun::test {

/// A packet on a line. Its place in the pool is the line model's token.
struct Packet {
  std::array<std::uint8_t, 2048> bytes{};
  std::uint32_t size = 0;
  std::uint8_t copies = 0;  ///< How often it will still come out.
  class LineUser* user = nullptr;
};

/// Whose packets a line carries; several may share it.
class LineUser {
 public:
  virtual ~LineUser() = default;
  virtual void arrive(std::size_t line, Side at, const Packet& packet, bool corrupt,
                      Instant now) = 0;
};

/// Keeps what it grew, so that the steady state allocates nothing.
class PacketPool {
 public:
  linkem::Token take();
  void give_back(linkem::Token token) { free_.push_back(token); }
  Packet& operator[](linkem::Token token) { return *packets_[token]; }

 private:
  std::vector<std::unique_ptr<Packet>> packets_;
  std::vector<linkem::Token> free_;
};

/// A line in both directions, the same model as the emulator's. Up is what the client sends.
class DuplexLine {
 public:
  /// @param number  what its users call it
  /// @param up,down  a bottleneck which that direction shares with others, or null
  DuplexLine(Agenda& agenda, PacketPool& pool, std::size_t number,
             const linkem::LineOptions& options, std::uint64_t seed,
             const std::shared_ptr<linkem::Bottleneck>& up = nullptr,
             const std::shared_ptr<linkem::Bottleneck>& down = nullptr);

  /// The packet is the line's from now on.
  void send(Side from, linkem::Token token, std::uint32_t ip_bytes);
  const linkem::DirectionOptions& options(Side from) const { return way(from).model.options(); }
  const linkem::Counters& counters(Side from) const { return way(from).model.counters(); }
  void configure(Side from, const linkem::DirectionOptions& options);
  /// Silently dead in that direction, with all that is in it; or alive again.
  void cut(Side from, bool dead);
  void cut(bool dead) { cut(Side::client, dead), cut(Side::server, dead); }
  /// Time each packet waited for the wire, ms; kept only when asked for. Meaningless with jitter.
  void keep_queue_times(Side from, bool keep) { way(from).keep_queue_times = keep; }
  std::vector<float>& queue_times_ms(Side from) { return way(from).queue_times_ms; }
  PacketPool& pool() { return pool_; }
  std::size_t number() const { return number_; }

 private:
  struct Way final : Actor {
    Way(DuplexLine& line_, Side to_, const linkem::DirectionOptions& options, std::uint64_t seed,
        const std::shared_ptr<linkem::Bottleneck>& shared);
    void act(Instant now) override;
    DuplexLine& line;
    Side to;
    linkem::LineDirection model;
    std::size_t actor = 0;
    bool keep_queue_times = false;
    std::vector<float> queue_times_ms;
  };
  Way& way(Side from) { return from == Side::client ? up_ : down_; }
  const Way& way(Side from) const { return from == Side::client ? up_ : down_; }

  Agenda& agenda_;
  PacketPool& pool_;
  std::size_t number_;
  Way up_, down_;
};

/// Takes the frames of one flow as they come out at one side.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual void receive(Side at, Bytes frame, Instant now) = 0;
};

/// Carries Ethernet frames between the two hosts.
class FrameNet {
 public:
  virtual ~FrameNet() = default;
  /// Where to write the next frame of that host; empty: its device has no buffer, the frame is
  /// gone.
  virtual MutableBytes room(Side from) = 0;
  /// Sends what was written there.
  virtual void send(Side from, std::uint32_t bytes) = 0;
  /// A new flow's number; its frames are handed to `sink`, at both sides.
  std::uint16_t open(FrameSink& sink);
  /// Frames that were nobody's: altered beyond recognition.
  std::uint64_t strays() const { return strays_; }

 protected:
  void deliver(Side at, Bytes frame, Instant now);

 private:
  std::vector<FrameSink*> sinks_;
  std::uint64_t strays_ = 0;
};

/// The hosts joined by nothing but one line: what TCP gets without a tunnel. Also hosts outside the
/// tunnel that share a line with it.
class BareNet final : public FrameNet, public LineUser {
 public:
  explicit BareNet(DuplexLine& line) : line_(line) {}
  MutableBytes room(Side from) override;
  void send(Side from, std::uint32_t bytes) override;
  void arrive(std::size_t line, Side at, const Packet& packet, bool corrupt, Instant now) override;

 private:
  DuplexLine& line_;
  linkem::Token token_ = 0;
  bool taken_ = false;
};

}  // namespace mwtun::test
