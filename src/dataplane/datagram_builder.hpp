#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "base/packet.hpp"
#include "dataplane/sent_log.hpp"
#include "dataplane/wire.hpp"

namespace mwtun {

/// The content of a data datagram while it is being filled: stamp and chunks, before sealing.
class DatagramBuilder {
 public:
  bool open() const { return open_; }
  bool full() const { return full_; }
  bool eliciting() const { return eliciting_; }
  bool mtu_probe() const { return mtu_probe_; }
  std::uint32_t contents() const { return contents_; }
  std::size_t content_bytes() const { return used_; }
  /// Stamp and chunks, in pieces; good until anything else is called.
  std::span<const Bytes> content() {
    std::size_t count = 0, at = 0;
    for (std::size_t i = 0; i < kept_count_; ++i) {
      parts_[count++] = Bytes(bytes_).subspan(at, kept_[i].behind - at);
      parts_[count++] = kept_[i].bytes;
      at = kept_[i].behind;
    }
    if (at < own_) parts_[count++] = Bytes(bytes_).subspan(at, own_ - at);
    return std::span(parts_).first(count);
  }
  /// Bytes that chunks may still take.
  std::size_t room() const { return limit_ - used_; }

  /// @param datagram_bytes  the whole datagram at most
  void start(std::size_t datagram_bytes, std::uint64_t stamp) {
    limit_ = datagram_bytes - wire::header_bytes - wire::tag_bytes;
    if (bytes_.size() < limit_) bytes_.resize(limit_);
    store_le(bytes_.data(), stamp & 0xffffff, wire::stamp_bytes);
    own_ = used_ = wire::stamp_bytes;
    contents_ = ContentPool::none;
    open_ = true;
    full_ = eliciting_ = mtu_probe_ = false;
  }
  /// What was kept is let go.
  void finish() {
    open_ = false;
    while (kept_count_ > 0) kept_[--kept_count_].slab.reset();
  }
  void set_full() { full_ = true; }
  void set_eliciting() { eliciting_ = true; }
  /// Fills the rest with padding; the datagram is a probe of its own size.
  void pad_as_probe() {
    std::memset(bytes_.data() + own_, 0, limit_ - used_);
    own_ += limit_ - used_;
    used_ = limit_;
    full_ = mtu_probe_ = eliciting_ = true;
  }

  /// Writes with the given function, which takes a Writer over the room left.
  template <typename Write>
  void write(Write&& write) {
    Writer out(MutableBytes(bytes_).subspan(own_, limit_ - used_));
    write(out);
    own_ += out.size();
    used_ += out.size();
  }
  /// A slice of a slab. What is long is not copied, but sealed from where it is.
  void add_slice(const SlabRef& slab, Bytes slice) {
    if (slice.size() < kept_bytes_min || kept_count_ == kept_.size()) {
      return write([&](Writer& out) { out.bytes(slice); });
    }
    kept_[kept_count_++] = {slab, slice, own_};
    used_ += slice.size();
  }
  void add_content(ContentPool& pool, const Content& content) {
    contents_ = pool.add(content, contents_);
  }

 private:
  struct Kept {
    SlabRef slab;
    Bytes bytes;
    std::size_t behind = 0;  // How many of our own bytes come before it.
  };
  // To seal in pieces costs as much as to copy some hundred bytes.
  static constexpr std::size_t kept_bytes_min = 512;
  static constexpr std::size_t kept_max = 2;

  std::vector<std::uint8_t> bytes_;
  std::array<Kept, kept_max> kept_;
  std::array<Bytes, 2 * kept_max + 1> parts_;
  std::size_t kept_count_ = 0;
  std::size_t limit_ = 0;
  std::size_t used_ = 0;
  std::size_t own_ = 0;  // Of those, in bytes_.
  std::uint32_t contents_ = ContentPool::none;
  bool open_ = false, full_ = false, eliciting_ = false, mtu_probe_ = false;
};

}  // namespace mwtun
