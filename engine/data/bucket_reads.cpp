#include "engine/data/bucket_reads.h"

#include <algorithm>

namespace cowfs::data {

using runtime::Task;

Task<void> BucketReads::read(const std::vector<LiveBlocks>& live) {
  for (const LiveBlocks& next : live) {
    LiveBlocks* last = requests_.empty() ? nullptr : &requests_.back().range;
    const bool near = last != nullptr && next.from.block() - last->end().block() <= gap_blocks_max &&
                      next.end().block() - last->from.block() <= request_blocks_max;
    if (near) {
      last->blocks = static_cast<u32>(next.end().block() - last->from.block());
    } else {
      requests_.push_back({next, {}, {}});
    }
  }
  runtime::Gate under_way;
  for (Request& request : requests_) under_way.spawn(carry_out(request));
  co_await under_way.drained();
}

Task<void> BucketReads::carry_out(Request& request) {
  request.data = device::AlignedBuffer(request.range.blocks * block_bytes);
  request.result = co_await device_.read(request.range.from.offset_bytes(), request.data.span());
}

BucketReads::Answer BucketReads::ask(const LiveBlocks& blocks) {
  const auto behind = std::upper_bound(requests_.begin(), requests_.end(), blocks.from.block(),
                                       [](u64 block, const Request& request) { return block < request.range.from.block(); });
  assert(behind != requests_.begin());
  Request& request = *std::prev(behind);
  const u64 skipped = blocks.from.block() - request.range.from.block();
  assert(skipped + blocks.blocks <= request.range.blocks);
  return {request.result, request.data.span().subspan(skipped * block_bytes, blocks.blocks * block_bytes)};
}

}  // namespace cowfs::data
