#include "engine/data/write_point.h"

#include <algorithm>

namespace cowfs::data {

using format::Address;

WritePoint::WritePoint(Slice& slice, space::Stream stream, Watermark watermark, WriteBuffers& buffers,
                       BucketSupply& supply, runtime::Gate& gate)
    : slice_(slice), stream_(stream), watermark_(watermark), buffers_(buffers), supply_(supply), gate_(gate) {
  hook_.owner = this;
  hook_.call = [](runtime::TurnHook& hook) { static_cast<Hook&>(hook).owner->turn_ended(); };
}

WritePoint::~WritePoint() { assert(in_flight_ == 0 && !open_); }

Task<Result<Placement>> WritePoint::place(u32 blocks) {
  while (true) {
    std::optional<Placement> placement = try_place(blocks);
    if (placement) co_return std::move(*placement);
    if (!bucket_ && !slice_.may_take(watermark_)) {
      const Status supplied = co_await supply_.wait_for_bucket(watermark_);
      if (!supplied) co_return supplied.error();
    } else {
      co_await buffers_.returned();
    }
  }
}

std::optional<Placement> WritePoint::try_place(u32 blocks) {
  if (!open_bucket() || !open_batch()) return std::nullopt;
  const u64 bucket_left = slice_.bucket_blocks() - filled_blocks_;
  const u64 batch_left = (write_buffer_bytes - open_->bytes) / block_bytes;
  Placement placement;
  placement.blocks = static_cast<u32>(std::min<u64>({blocks, bucket_left, batch_left}));
  placement.address = format::first_block(*bucket_, slice_.bucket_blocks()).plus(filled_blocks_);
  placement.generation = generation_;
  placement.staging = open_->buffer + open_->bytes;
  placement.batch = open_;
  placement.pin = slice_.buckets().pin(placement.address);

  filled_blocks_ += placement.blocks;
  open_->bytes += placement.blocks * block_bytes;
  const bool bucket_full = filled_blocks_ == slice_.bucket_blocks();
  if (bucket_full || open_->bytes == write_buffer_bytes) seal();
  if (bucket_full) {
    slice_.buckets().close(*bucket_, slice_.stream().current());
    bucket_.reset();
  }
  return placement;
}

bool WritePoint::open_bucket() {
  if (bucket_) return true;
  if (!slice_.may_take(watermark_)) return false;
  const Epoch epoch = slice_.stream().current();
  bucket_ = slice_.buckets().take(stream_, epoch);
  filled_blocks_ = 0;
  generation_ = static_cast<u32>(epoch.value);
  if (watermark_ == Watermark::user) supply_.bucket_taken();
  return true;
}

bool WritePoint::open_batch() {
  if (open_) return true;
  std::byte* buffer = buffers_.try_take();
  if (buffer == nullptr) return false;
  open_ = std::make_shared<Batch>();
  open_->buffer = buffer;
  open_->address = format::first_block(*bucket_, slice_.bucket_blocks()).plus(filled_blocks_);
  open_->pin = slice_.buckets().pin(open_->address);
  if (!hook_.armed) runtime::this_reactor().at_turn_end(hook_);
  return true;
}

// The open batch leaves; its last writer has copied by the end of this turn, and the write starts after that.
void WritePoint::seal() {
  ++in_flight_;
  gate_.spawn(write(std::exchange(open_, nullptr)));
}

void WritePoint::turn_ended() {
  if (open_ && in_flight_ < in_flight_wanted_) seal();
}

Task<void> WritePoint::write(std::shared_ptr<Batch> batch) {
  co_await runtime::yield();
  const ByteSpan data{batch->buffer, batch->bytes};
  batch->result = co_await slice_.devices()[batch->address.device()].write(batch->address.offset_bytes(), data);
  bytes_written_ += batch->bytes;
  batch->done = true;
  batch->pin.release();
  batch->waiters.wake_all();
  buffers_.put(std::exchange(batch->buffer, nullptr));
  --in_flight_;
  if (open_ && !hook_.armed) runtime::this_reactor().at_turn_end(hook_);
}

Task<Status> WritePoint::written(std::shared_ptr<Batch> batch) {
  while (!batch->done) co_await batch->waiters.wait();
  co_return batch->result;
}

}  // namespace cowfs::data
