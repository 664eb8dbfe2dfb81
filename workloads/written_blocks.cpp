#include "workloads/written_blocks.h"

#include <algorithm>
#include <iterator>

#include "workloads/fio_stream.h"
#include "workloads/payload.h"

namespace cowbench::workloads {

void WrittenBlocks::add(const WrittenBlock& block) {
  forget(block.file, block.offset, block.bytes);
  blocks_[{block.file, block.offset}] = {block.bytes, block.number};
}

u64 WrittenBlocks::forget(u32 file, u64 offset, u64 bytes) {
  auto at = blocks_.lower_bound({file, offset});
  if (at != blocks_.begin()) {
    const auto before = std::prev(at);
    if (before->first.file == file && before->first.offset + before->second.bytes > offset) at = before;
  }
  u64 forgotten = 0;
  for (; at != blocks_.end() && at->first.file == file && at->first.offset < offset + bytes; ++forgotten)
    at = blocks_.erase(at);
  return forgotten;
}

std::optional<WrittenBlock> WrittenBlocks::take_first() {
  if (blocks_.empty()) return {};
  const auto first = blocks_.begin();
  const WrittenBlock block{first->first.file, first->first.offset, first->second.bytes, first->second.number};
  blocks_.erase(first);
  return block;
}

VerifyContent verify_content(const FioJob& job, u32 clone, u64 round_seed) {
  return {job.verify.form, payload_stream(round_seed, clone, 0, fio_clone_seed(job, clone, round_seed))};
}

ReplayedWrites replay_writes(const FioJob& job, u32 clone, u64 round_seed, u64 begun, std::span<const u64> durable) {
  ReplayedWrites replayed;
  FioStream stream(job, clone, round_seed);
  while (stream.writes() < begun) {
    const std::optional<FioOp> op = stream.next();
    if (!op) break;
    if (op->kind != FioOp::Kind::write) continue;
    if (op->number <= durable[op->file]) replayed.blocks.add({op->file, op->offset, op->bytes, op->number});
    else replayed.doubtful += replayed.blocks.forget(op->file, op->offset, op->bytes);
  }
  return replayed;
}

}  // namespace cowbench::workloads
