// One client of a shape, on any target: makes what the load works on, then does the one operation again and again.
//
// Names: every client has a directory own-N; `common` is of all. What client N makes for itself is called N-0, N-1, ... and lies
// in the one or the other. One operation at a time, and one clock read for each, at its end.
#pragma once
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/runtime/task.h"
#include "harness/page_buffer.h"
#include "harness/round_phases.h"
#include "shapes/shape.h"
#include "workloads/payload.h"

namespace cowbench::shapes {

using cowfs::i64;
using harness::ByteSpan;
using harness::FileStat;
using harness::MutableByteSpan;
using harness::Ready;

// What is measured: whole operations; those of the client that writes meanwhile; steps of operations that have several.
enum class ShapeLatency : u8 { whole, meanwhile, open, write, sync, close, rename };
constexpr std::string_view step_names[] = {"", "meanwhile", "open", "write", "fsync", "close", "rename"};

constexpr u64 piece_bytes = 4 * cowfs::mib;  // of large reads and writes
constexpr u32 path_depth = 5;
constexpr u32 tree_levels = 4, tree_names = 8;

template <typename Host>
concept ShapeHost = requires(Host& host, u64 number) {
  { host.now_ns() } -> std::convertible_to<u64>;
  { host.stop_requested() } -> std::convertible_to<bool>;
  host.count(number, true);
  host.record_latency(std::size_t{}, number);
  host.record_response(std::size_t{}, number);
  { host.turn() } -> harness::AwaitableVoid;
};

template <harness::TargetCalls Target, ShapeHost Host>
class ShapeClient {
  template <typename T>
  using Task = cowfs::runtime::Task<T>;

 public:
  // `directory`: of the load, empty for the root of the target. The rest outlives the client.
  ShapeClient(const ShapeLoad& load, u32 client, std::string directory, u64 seed, Target& target, Host& host)
      : load_(load), shape_(*load.shape), client_(client), root_(std::move(directory)), common_(root_ + "/common"),
        own_(root_ + "/own-" + std::to_string(client)), place_(shape_.sharing == Sharing::own ? own_ : common_),
        random_(seed + client), target_(target), host_(host), buffer_(std::max(piece_bytes, load.block_bytes)) {
    workloads::fill_payload(workloads::PayloadKind::random, workloads::payload_stream(seed, client, 0, 0), 0, buffer_.span());
  }

  // Makes what the load works on and makes it durable. May go on while other clients do the same.
  Task<void> prepare() {
    co_await make_directory(common_);
    co_await make_directory(own_);
    switch (shape_.act) {
      case Act::append: co_await make_file(data_path(), 0); break;
      case Act::overwrite:
      case Act::read_block: co_await prepare_block_file(); break;
      case Act::cut:
      case Act::checkpoint: co_await make_file(data_path(), load_.size_of(client_, 0)); break;
      case Act::rename:
      case Act::move: co_await make_file(numbered(own_, 0), 0); break;
      case Act::open: co_await prepare_paths(); break;
      default: co_await prepare_files(); break;
    }
    expect("sync", place_, co_await target_.fdatasync_directory(place_));
  }

  // Before the load begins.
  Task<void> begin() {
    if (keeps_open()) {
      handle_ = co_await target_.open(data_path(), flags(O_RDWR), 0600);
      if (handle_ < 0) fail("open", data_path(), handle_);
    }
    size_ = shape_.act == Act::append ? 0 : load_.size_of(client_, 0);
  }

  // Until the host says stop, everything is used up, or an operation fails.
  Task<void> run() {
    u64 start = host_.now_ns();
    while (failure_.empty() && !host_.stop_requested() && !is_used_up()) {
      const i64 moved = co_await next();
      const u64 end = host_.now_ns();
      if (moved < 0) {
        fail(std::string(shape_.name), path_, moved);
        break;
      }
      record(static_cast<u64>(moved), end - start);
      start = end;
      ++works_;
      co_await host_.turn();
    }
  }

  Task<void> end() {
    if (handle_ >= 0) co_await target_.close(handle_);
  }

  // Why it ended early; empty when it did not.
  const std::string& failure() const { return failure_; }

 private:
  bool is_writer() const { return shape_.writer && client_ == 0; }
  bool is_direct() const { return load_.direct || shape_.act == Act::read_sample; }
  int flags(int access) const { return access | (is_direct() ? O_DIRECT : 0); }
  bool keeps_open() const {
    return shape_.act == Act::append || shape_.act == Act::overwrite || shape_.act == Act::read_block || shape_.act == Act::cut;
  }
  bool is_used_up() const {
    return (shape_.act == Act::unlink && works_ == load_.files_each()) || (shape_.act == Act::cut && size_ == 0);
  }

  Task<i64> next() { return is_writer() ? write_meanwhile() : act(); }
  Task<i64> act() {
    switch (shape_.act) {
      case Act::append: return append();
      case Act::overwrite: return overwrite();
      case Act::cut: return cut();
      case Act::read_block: return read_block();
      case Act::create: return create();
      case Act::unlink: return unlink();
      case Act::rename: return rename(numbered(own_, works_ % 2), numbered(own_, 1 - works_ % 2));
      case Act::move: return move();
      case Act::open: return open_path();
      case Act::list: return list();
      case Act::stat: return stat();
      case Act::read_file: return read_file();
      case Act::checkpoint: return checkpoint();
      case Act::read_sample: return read_sample();
    }
    __builtin_unreachable();
  }

  // Data of one open file.
  u64 block_offset() const { return shape_.sharing == Sharing::common ? client_ * load_.block_bytes : 0; }
  Task<i64> append() {
    if (size_ >= load_.size_of(client_, 0)) {
      const i64 emptied = co_await target_.truncate(handle_, 0);
      if (emptied < 0) co_return emptied;
      size_ = 0;
    }
    const ByteSpan block = buffer_.span().first(load_.block_bytes);
    const i64 written = co_await target_.pwrite(handle_, block, size_);
    size_ += load_.block_bytes;
    co_return written;
  }
  Task<i64> overwrite() {
    const ByteSpan block = buffer_.span().first(load_.block_bytes);
    if (!shape_.sync) co_return co_await target_.pwrite(handle_, block, block_offset());
    step_began_ = host_.now_ns();
    const i64 written = co_await target_.pwrite(handle_, block, block_offset());
    step(ShapeLatency::write);
    if (written < 0) co_return written;
    const i64 synced = co_await target_.fsync(handle_);
    step(ShapeLatency::sync);
    co_return synced < 0 ? synced : written;
  }
  Task<i64> cut() {
    size_ -= std::min(size_, load_.block_bytes);
    co_return co_await target_.truncate(handle_, size_);
  }
  Task<i64> read_block() {
    const MutableByteSpan block = buffer_.span().first(load_.block_bytes);
    co_return co_await target_.pread(handle_, block, block_offset());
  }

  // Names.
  Task<i64> create() { co_return co_await write_file(numbered(place_, works_), load_.size_of(client_, works_)); }
  Task<i64> unlink() { co_return co_await target_.unlink(numbered(place_, works_)); }
  Task<i64> rename(std::string from, std::string to) { co_return co_await target_.rename(from, to); }
  Task<i64> move() {
    std::string inside = numbered(own_, 0), outside = numbered(common_, 0);
    if (works_ % 2 == 1) std::swap(inside, outside);
    return rename(std::move(inside), std::move(outside));
  }
  Task<i64> open_path() {
    if (shape_.sharing == Sharing::common) set_tree_path(random_.below(leaves()));
    else path_ = deep_path();
    const i64 handle = co_await target_.open(path_, O_RDONLY, 0);
    if (handle < 0) co_return handle;
    co_return co_await target_.close(handle);
  }
  Task<i64> list() {
    const i64 handle = co_await target_.open_directory(place_);
    if (handle < 0) co_return handle;
    const MutableByteSpan into = buffer_.span().first(harness::directory_buffer_bytes);
    i64 bytes = 1;
    while (bytes > 0) bytes = co_await target_.read_directory(handle, into);
    const i64 closed = co_await target_.close_directory(handle);
    co_return bytes < 0 ? bytes : closed;
  }
  Task<i64> stat() {
    FileStat found;
    co_return co_await target_.stat(numbered(place_, random_.below(load_.files_each())), found);
  }

  // Whole files.
  Task<i64> read_file() {
    const u64 file = random_.below(load_.files_each());
    co_return co_await read_range(numbered(place_, file), 0, load_.size_of(client_, file), O_RDONLY);
  }
  Task<i64> checkpoint() {
    const std::string fresh = numbered(place_, 0);
    const i64 written = co_await write_file(fresh, load_.size_of(client_, 0));
    if (written < 0) co_return written;
    const std::string last = data_path();
    const i64 renamed = co_await target_.rename(fresh, last);
    step(ShapeLatency::rename);
    co_return renamed < 0 ? renamed : written;
  }
  // Every sample once, in another order each time around.
  Task<i64> read_sample() {
    if (order_.empty()) number_samples();
    const u64 at = works_ % order_.size();
    if (at == 0) shuffle();
    const u64 file = order_[at].file;
    const u64 bytes = load_.sample_bytes() != 0 ? load_.sample_bytes() : load_.size_of(client_, file);
    co_return co_await read_range(numbered(place_, file), order_[at].offset, bytes, flags(O_RDONLY));
  }

  // The client that writes where the others read.
  Task<i64> write_meanwhile() {
    if (shape_.act == Act::read_block) co_return co_await overwrite();
    const i64 made = co_await write_file(numbered(path_parent(), ~0u), 0);
    if (made < 0) co_return made;
    co_return co_await target_.unlink(path_);
  }

  Task<i64> write_file(const std::string& path, u64 bytes) {
    const bool steps = bytes > 0;
    if (steps) step_began_ = host_.now_ns();
    const i64 handle = co_await target_.open(path, flags(O_RDWR) | O_CREAT | O_TRUNC, 0600);
    if (steps) step(ShapeLatency::open);
    if (handle < 0) co_return handle;
    i64 result = co_await write_range(handle, bytes);
    if (steps) step(ShapeLatency::write);
    if (result >= 0 && shape_.sync) {
      result = co_await target_.fsync(handle);
      step(ShapeLatency::sync);
    }
    const i64 closed = co_await target_.close(handle);
    if (steps) step(ShapeLatency::close);
    if (result >= 0) result = closed;
    co_return result < 0 ? result : static_cast<i64>(bytes);
  }
  Task<i64> write_range(i64 handle, u64 bytes) {
    for (u64 done = 0; done < bytes;) {
      const ByteSpan piece = buffer_.span().first(std::min(bytes - done, piece_bytes));
      const i64 written = co_await target_.pwrite(handle, piece, done);
      if (written <= 0) co_return written < 0 ? written : -EIO;
      done += static_cast<u64>(written);
    }
    co_return 0;
  }
  Task<i64> read_range(const std::string& path, u64 offset, u64 bytes, int open_flags) {
    const i64 handle = co_await target_.open(path, open_flags, 0);
    if (handle < 0) co_return handle;
    i64 result = 0;
    for (u64 done = 0; done < bytes && result >= 0;) {
      const MutableByteSpan piece = buffer_.span().first(std::min(bytes - done, piece_bytes));
      result = co_await target_.pread(handle, piece, offset + done);
      if (result == 0) result = -EIO;  // shorter than it was made
      done += piece.size();
    }
    const i64 closed = co_await target_.close(handle);
    if (result >= 0) result = closed;
    co_return result < 0 ? result : static_cast<i64>(bytes);
  }

  // What is there before.
  void expect(const char* what, const std::string& path, i64 result) {
    if (result < 0) fail(what, path, result);
  }
  Task<void> make_directory(std::string path) {
    const i64 made = co_await target_.mkdir(path, 0700);
    if (made < 0 && made != -EEXIST) fail("make", path, made);
  }
  Task<void> make_file(std::string path, u64 bytes) {
    if (!failure_.empty()) co_return;
    const i64 handle = co_await target_.open(path, flags(O_RDWR) | O_CREAT, 0600);
    if (handle < 0) co_return fail("make", path, handle);
    const i64 written = co_await write_range(handle, bytes);
    if (written < 0) fail("write", path, written);
    if (bytes > 0) expect("sync", path, co_await target_.fsync(handle));
    expect("close", path, co_await target_.close(handle));
  }
  // A common file is as long as all blocks; each client writes its own.
  Task<void> prepare_block_file() {
    const std::string path = data_path();
    co_await make_file(path, 0);
    const i64 handle = co_await target_.open(path, flags(O_RDWR), 0600);
    if (handle < 0) co_return fail("open", path, handle);
    const ByteSpan block = buffer_.span().first(load_.block_bytes);
    const i64 written = co_await target_.pwrite(handle, block, block_offset());
    if (written < 0) fail("write", path, written);
    expect("sync", path, co_await target_.fsync(handle));
    expect("close", path, co_await target_.close(handle));
  }
  Task<void> prepare_files() {
    for (u64 file = 0; file < load_.files_each(); ++file) {
      std::string path = numbered(place_, file);
      co_await make_file(std::move(path), load_.size_of(client_, file));
    }
  }
  Task<void> prepare_paths() {
    if (shape_.sharing == Sharing::common) {
      if (client_ == 0) co_await prepare_tree();
      co_return;
    }
    std::string directory = place_;
    for (u32 level = 1; level < path_depth; ++level) {
      directory += "/d";
      co_await make_directory(directory);
    }
    co_await make_file(deep_path(), 0);
  }
  Task<void> prepare_tree() {
    for (u64 leaf = 0; leaf < leaves(); ++leaf) {
      set_tree_path(leaf);
      for (u32 level = 1; level < tree_levels; ++level) {
        std::string directory = path_.substr(0, common_.size() + 2 * level);
        if (leaf % (leaves() >> 3 * level) == 0) co_await make_directory(std::move(directory));
      }
      std::string path = path_;
      co_await make_file(std::move(path), 0);
    }
  }

  std::string data_path() const { return place_ + "/data"; }
  std::string deep_path() const {
    std::string path = place_;
    for (u32 level = 1; level < path_depth; ++level) path += "/d";
    return path + "/file";
  }
  std::string path_parent() const { return shape_.sharing == Sharing::same ? deep_path().substr(0, deep_path().rfind('/')) : common_; }
  static constexpr u64 leaves() { return u64{1} << 3 * tree_levels; }
  static_assert(tree_names == 1u << 3);
  void set_tree_path(u64 leaf) {
    path_ = common_;
    for (u32 level = tree_levels; level-- > 0;) {
      path_ += '/';
      path_ += static_cast<char>('0' + (leaf >> 3 * level) % tree_names);
    }
  }
  // In path_, for there it survives the call.
  const std::string& numbered(const std::string& directory, u64 number) {
    path_ = directory;
    path_ += '/';
    append_number(client_);
    path_ += '-';
    append_number(number);
    return path_;
  }
  void append_number(u64 number) {
    char digits[20];
    path_.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  }

  void number_samples() {
    for (u64 file = 0; file < load_.files_each(); ++file) {
      const u64 bytes = load_.size_of(client_, file);
      const u64 step = load_.sample_bytes() != 0 ? load_.sample_bytes() : bytes;
      for (u64 offset = 0; offset + step <= bytes; offset += step) order_.push_back({file, offset});
    }
  }
  void shuffle() {
    for (std::size_t left = order_.size(); left > 1; --left) std::swap(order_[left - 1], order_[random_.below(left)]);
  }

  void step(ShapeLatency kind) {
    const u64 now = host_.now_ns();
    host_.record_response(static_cast<std::size_t>(kind), now - step_began_);
    step_began_ = now;
  }
  void record(u64 bytes, u64 latency_ns) {
    if (is_writer()) return host_.record_response(static_cast<std::size_t>(ShapeLatency::meanwhile), latency_ns);
    host_.count(bytes, shape_.writes());
    host_.record_latency(static_cast<std::size_t>(ShapeLatency::whole), latency_ns);
  }
  void fail(std::string_view what, const std::string& path, i64 result) {
    if (!failure_.empty()) return;
    failure_ = fmt::format("client {}: {} {}: {}", client_, what, path, std::strerror(static_cast<int>(-result)));
  }

  struct Sample {
    u64 file;
    u64 offset;
  };

  const ShapeLoad& load_;
  const Shape& shape_;
  const u32 client_;
  const std::string root_, common_, own_;
  const std::string& place_;  // of what it works on
  cowfs::Random random_;
  Target& target_;
  Host& host_;
  harness::PageBuffer buffer_;
  std::string path_;
  i64 handle_ = -1;
  u64 size_ = 0;   // of the open file
  u64 works_ = 0;
  u64 step_began_ = 0;
  std::vector<Sample> order_;
  std::string failure_;
};

}  // namespace cowbench::shapes
