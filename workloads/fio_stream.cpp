#include "workloads/fio_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cowbench::workloads {
namespace {

// An offset in percent cuts the region; one in bytes moves it.
u64 region_bytes(const FioJob& job, u32 clone) {
  if (!job.offset.percent && !job.offset_increment.percent) return job.file_bytes;
  const u64 begin = fio_region_begin(job, clone);
  return begin < job.file_bytes ? job.file_bytes - begin : 0;
}

}  // namespace

u64 fio_clone_seed(const FioJob& job, u32 clone, u64 round_seed) {
  u64 seed = job.seed.value_or(round_seed);
  for (const char letter : job.name) seed = seed * 0x100000001b3 + static_cast<unsigned char>(letter);
  return cowfs::Random(seed + clone).next();
}

u64 fio_region_begin(const FioJob& job, u32 clone) {
  const u64 wanted = job.offset.of(job.file_bytes) + clone * job.offset_increment.of(job.file_bytes);
  return cowfs::round_down(wanted, job.block_align);
}

std::vector<FioFile> fio_files(const FioJob& job, u32 clone) {
  std::vector<FioFile> files;
  const u64 end = fio_region_begin(job, clone) + region_bytes(job, clone);
  for (u32 file = 0; file < job.files; ++file) {
    const bool named = !job.file_names.empty();
    files.push_back({named ? job.file_names[file] : fmt::format("{}.{}.{}", job.name, clone, file), end});
  }
  return files;
}

FioStream::FioStream(const FioJob& job, u32 clone, u64 round_seed)
    : job_(job), random_(fio_clone_seed(job, clone, round_seed)), order_seed_(random_.next()),
      operations_left_(job.operations_max == 0 ? ~0ull : job.operations_max), loops_left_(job.loops) {
  u64 region = 0;
  for (u32 index = 0; index < job.files; ++index) {
    File& file = files_.emplace_back();
    file.first_byte = fio_region_begin(job, clone);
    file.bytes = region_bytes(job, clone);
    file.blocks = file.bytes / job.block_align;
    region += file.bytes;
    if (job.random && !job.random_map && file.blocks > 0)
      file.distribution.emplace(job.distribution, file.blocks, order_seed_ + index);
  }
  bytes_a_loop_ = job.io_size.of(region);
  if (bytes_a_loop_ == 0) bytes_a_loop_ = std::min(job.size.bytes, region);
  begin_loop();
}

bool FioStream::begin_loop() {
  if (!job_.time_based) {
    if (loops_left_ == 0) return false;
    --loops_left_;
  }
  bytes_left_ = bytes_a_loop_;
  return bytes_left_ > 0;
}

std::optional<FioOp> FioStream::next() {
  if (operations_left_ == 0) return {};
  if (job_.fsync_every > 0 && writes_ - synced_at_ >= job_.fsync_every) {
    synced_at_ = writes_;
    return FioOp{FioOp::Kind::fsync, turn_};
  }
  if (job_.fdatasync_every > 0 && writes_ - data_synced_at_ >= job_.fdatasync_every) {
    data_synced_at_ = writes_;
    return FioOp{FioOp::Kind::fdatasync, turn_};
  }
  if (bytes_left_ == 0 && !begin_loop()) return {};
  FioOp op{choose_kind()};
  const std::size_t kind = static_cast<std::size_t>(op.kind);
  op.file = choose_file();
  File& file = files_[op.file];
  op.bytes = choose_size(kind);
  if (op.bytes > file.bytes) return {};  // an offset in percent left no room for one block
  op.offset = file.first_byte + choose_offset(file, kind, op.bytes);
  bytes_left_ -= std::min(bytes_left_, op.bytes);
  --operations_left_;
  if (op.kind == FioOp::Kind::write) op.number = ++writes_;
  return op;
}

FioOp::Kind FioStream::choose_kind() {
  if (job_.does[0] && job_.does[1]) return random_.below(100) < job_.read_percent ? FioOp::Kind::read : FioOp::Kind::write;
  return job_.does[0] ? FioOp::Kind::read : job_.does[1] ? FioOp::Kind::write : FioOp::Kind::trim;
}

u32 FioStream::choose_file() {
  const u32 files = static_cast<u32>(files_.size());
  if (files == 1) return 0;
  switch (job_.file_choice) {
    case FioFileChoice::roundrobin: return turn_ = (turn_ + 1) % files;
    case FioFileChoice::random: return turn_ = static_cast<u32>(random_.below(files));
    case FioFileChoice::sequential: break;
  }
  const u64 done = bytes_a_loop_ - bytes_left_;
  return turn_ = static_cast<u32>(std::min<u64>(done / std::max<u64>(files_[0].bytes, 1), files - 1));
}

u64 FioStream::choose_size(std::size_t kind) {
  const FioBlockSizes& sizes = job_.block_sizes[kind];
  if (!sizes.split.empty()) {
    u64 draw = random_.below(100);
    for (const FioBlockSizes::Share& share : sizes.split) {
      if (draw < share.percent) return share.bytes;
      draw -= share.percent;
    }
    return sizes.split.back().bytes;
  }
  const u64 low = sizes.range.low, high = sizes.range.high;
  if (low == high) return low;
  if (job_.unaligned_sizes) return low + random_.below(high - low + 1);
  return low * (1 + random_.below(high / low));
}

u64 FioStream::choose_offset(File& file, std::size_t kind, u64 bytes) {
  const bool random = job_.random && (job_.random_percent == 100 || random_.below(100) < job_.random_percent);
  if (!random) {
    u64& at = file.sequential[kind];
    if (job_.sequence_step < 0) {  // from the end; the step counts from the end of the last block, as in fio
      const u64 step = static_cast<u64>(-job_.sequence_step);
      if (at < step) at = file.bytes;
      const u64 offset = std::min(at < step ? 0 : at - step, file.bytes - bytes);
      at = offset + bytes;
      return cowfs::round_down(offset, job_.block_align);
    }
    if (at + bytes > file.bytes) at = 0;
    return std::exchange(at, at + bytes + static_cast<u64>(job_.sequence_step));
  }
  if (same_left_ > 0) {
    --same_left_;
    const u64 offset = job_.repeat_offset ? last_block_end_ - bytes : last_block_end_;
    if (offset + bytes <= file.bytes) {
      last_block_end_ = offset + bytes;
      return offset;
    }
  }
  same_left_ = job_.sequence_length - 1;
  const u64 offset = std::min(random_block(file) * job_.block_align, cowfs::round_down(file.bytes - bytes, job_.block_align));
  last_block_end_ = offset + bytes;
  return offset;
}

u64 FioStream::random_block(File& file) {
  if (!job_.random_map) return file.distribution->next(random_);
  if (!file.order || file.drawn == file.blocks) {
    if (file.order) ++file.pass;
    file.drawn = 0;
    file.order.emplace(file.blocks, order_seed_ + file.pass * 0x9e3779b97f4a7c15 + static_cast<u64>(&file - files_.data()));
  }
  return file.order->at(file.drawn++);
}

}  // namespace cowbench::workloads
