#pragma once
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
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
  Bytes content() const { return {bytes_.data(), used_}; }
  /// Bytes that chunks may still take.
  std::size_t room() const { return limit_ - used_; }
  bool only_stamp() const { return used_ == wire::stamp_bytes; }

  /// @param datagram_bytes  the whole datagram at most
  void start(std::size_t datagram_bytes, std::uint64_t stamp) {
    limit_ = datagram_bytes - wire::header_bytes - wire::tag_bytes;
    if (bytes_.size() < limit_) bytes_.resize(limit_);
    store_le(bytes_.data(), stamp & 0xffffff, wire::stamp_bytes);
    used_ = wire::stamp_bytes;
    contents_ = ContentPool::none;
    open_ = true;
    full_ = eliciting_ = mtu_probe_ = false;
  }
  void finish() { open_ = false; }
  void set_full() { full_ = true; }
  void set_eliciting() { eliciting_ = true; }
  /// Fills the rest with padding; the datagram is a probe of its own size.
  void pad_as_probe() {
    std::memset(bytes_.data() + used_, 0, limit_ - used_);
    used_ = limit_;
    full_ = mtu_probe_ = eliciting_ = true;
  }

  /// Writes with the given function, which takes a Writer over the room left.
  template <typename Write>
  void write(Write&& write) {
    Writer out(MutableBytes(bytes_).subspan(used_, limit_ - used_));
    write(out);
    used_ += out.size();
  }
  void add_content(ContentPool& pool, const Content& content) {
    contents_ = pool.add(content, contents_);
  }

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t limit_ = 0;
  std::size_t used_ = 0;
  std::uint32_t contents_ = ContentPool::none;
  bool open_ = false, full_ = false, eliciting_ = false, mtu_probe_ = false;
};

}  // namespace mwtun
