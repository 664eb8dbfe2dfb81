#include "engine/data/write_point.h"

#include <algorithm>

#include "engine/base/points.h"

namespace cowfs::data {

using format::Address;

namespace {
constexpr u64 gather_ns_max = 500'000;  // for which a batch waits for more although the device is free
}

void Arrival::await_suspend(std::coroutine_handle<> self) {
  assert(!batch->done);
  waiter = self;
  (batch->first_arrival != nullptr ? batch->last_arrival->next : batch->first_arrival) = this;
  batch->last_arrival = this;
}

Status Arrival::await_resume() const { return batch->result; }

void Batch::approach() const {
  for (u32 step = 0; step < Arrival::approach_steps; ++step) {
    for (Arrival* arrival = first_arrival; arrival != nullptr; arrival = arrival->next) arrival->approach(*arrival, step);
  }
}

void Batch::ended() {
  done = true;
  if (result) approach();
  for (Arrival* arrival = first_arrival; arrival != nullptr; arrival = arrival->next) {
    if (result) arrival->arrived(*arrival);
    runtime::this_reactor().schedule(arrival->waiter);
  }
  waiters.wake_all();
}

WritePoint::WritePoint(Slice& slice, space::Stream stream, Watermark watermark, WriteBuffers& buffers, WriteTurns& turns,
                       BucketSupply& supply, runtime::Gate& gate)
    : slice_(slice),
      stream_(stream),
      watermark_(watermark),
      stripe_blocks_(slice.devices()[0].stripe_blocks()),
      buffers_(buffers),
      turns_(turns),
      supply_(supply),
      gate_(gate) {}

WritePoint::~WritePoint() { assert(in_flight_ == 0 && !open_); }

Task<Result<Placement>> WritePoint::place(u32 blocks) {
  while (true) {
    std::optional<Placement> placement = try_place(blocks);
    if (placement) co_return std::move(*placement);
    if (!filling_ && !slice_.may_take(watermark_)) {
      const Status supplied = co_await supply_.wait_for_bucket(watermark_);
      if (!supplied) co_return supplied.error();
    } else {
      co_await buffers_.returned();
    }
  }
}

std::optional<Placement> WritePoint::try_place(u32 blocks) {
  if (!open_bucket() || !open_batch()) return std::nullopt;
  const u64 bucket_left = slice_.bucket_blocks() - filling_->filled_blocks;
  Placement placement;
  placement.blocks = static_cast<u32>(std::min<u64>({blocks, bucket_left, batch_blocks_left()}));
  placement.address = format::first_block(filling_->bucket, slice_.bucket_blocks()).plus(filling_->filled_blocks);
  placement.generation = filling_->generation;
  placement.staging = open_->buffer + open_->bytes;
  placement.batch = open_;
  placement.pin = slice_.buckets().pin(placement.address);

  filling_->filled_blocks += placement.blocks;
  open_->bytes += placement.blocks * block_bytes;
  const bool bucket_full = filling_->filled_blocks == slice_.bucket_blocks();
  if (bucket_full || batch_blocks_left() == 0) {
    turns_.leave(*this);
    seal();
  }
  if (bucket_full) filling_.reset();
  return placement;
}

// Whole stripes go into a buffer.
u64 WritePoint::batch_blocks_left() const {
  constexpr u64 buffer_blocks = write_buffer_bytes / block_bytes;
  return buffer_blocks - buffer_blocks % stripe_blocks_ - open_->bytes / block_bytes;
}

// What leaves before its last stripe is full leaves the rest of it empty.
void WritePoint::fill_stripe() {
  const u64 end = std::min(round_up(filling_->filled_blocks, stripe_blocks_), slice_.bucket_blocks());
  const u64 bytes = (end - filling_->filled_blocks) * block_bytes;
  std::memset(open_->buffer + open_->bytes, 0, bytes);
  open_->bytes += bytes;
  filling_->filled_blocks = end;
  if (end == slice_.bucket_blocks()) filling_.reset();
}

bool WritePoint::open_bucket() {
  if (filling_) return true;
  if (!slice_.may_take(watermark_)) return false;
  const Epoch epoch = slice_.stream().current();
  filling_ = std::make_shared<Filling>();
  filling_->bucket = *slice_.buckets().take(stream_, epoch);
  filling_->generation = static_cast<u32>(epoch.value);
  if (watermark_ == Watermark::user) supply_.bucket_taken();
  return true;
}

// As if it were full.
void WritePoint::leave_bucket() {
  filling_->filled_blocks = slice_.bucket_blocks();
  close_when_written(*filling_);
  filling_.reset();
}

void WritePoint::leave_beyond() {
  if (filling_ && !open_ && slice_.buckets().is_beyond(filling_->bucket)) leave_bucket();
}

bool WritePoint::open_batch() {
  if (open_) return true;
  leave_beyond();
  // Of the simulator, while there are buckets enough.
  if (has_points() && !supply_.is_low() && filling_ && forced(Point::data_bucket_left)) leave_bucket();
  if (!open_bucket()) return false;
  std::byte* buffer = buffers_.try_take();
  if (buffer == nullptr) return false;
  open_ = std::make_shared<Batch>();
  open_->buffer = buffer;
  open_->address = format::first_block(filling_->bucket, slice_.bucket_blocks()).plus(filling_->filled_blocks);
  open_->filling = filling_;
  ++filling_->unwritten_batches;
  open_->pin = slice_.buckets().pin(open_->address);
  open_->epoch = slice_.stream().write_began();
  open_->opened_ns = runtime::this_reactor().now_ns();
  const bool has_time = gathering_ > 0 && stripe_blocks_ > 1;
  if (!has_time) turns_.wait(*this);
  return true;
}

void WritePoint::hurry() {
  if (open_) turns_.wait(*this);
}

void WritePoint::let_go() {
  hurry();
  --gathering_;
}

bool WritePoint::expects_more() const {
  const runtime::Reactor& reactor = runtime::this_reactor();
  return !is_awaited() && reactor.is_busy() && reactor.now_ns() - open_->opened_ns < gather_ns_max;
}

void WritePoint::send() {
  fill_stripe();
  ++in_flight_;
  turns_.began();
  gate_.spawn(write(std::exchange(open_, nullptr)));
}

// A full batch leaves by itself.
void WritePoint::seal() {
  ++in_flight_;
  turns_.began();
  gate_.spawn(write_later(std::exchange(open_, nullptr)));
}

// Its last writer has yet to copy.
Task<void> WritePoint::write_later(std::shared_ptr<Batch> batch) {
  co_await runtime::yield();
  co_await write(std::move(batch));
}

Task<void> WritePoint::write(std::shared_ptr<Batch> batch) {
  const ByteSpan data{batch->buffer, batch->bytes};
  batch->result = co_await slice_.devices()[batch->address.device()].write(batch->address.offset_bytes(), data);
  slice_.stream().write_ended(batch->epoch, batch->named ? batch->result : Status{});
  bytes_written_ += batch->bytes;
  batch->ended();
  --batch->filling->unwritten_batches;
  close_when_written(*batch->filling);
  batch->pin.release();
  buffers_.put(std::exchange(batch->buffer, nullptr));
  --in_flight_;
  turns_.ended();
}

void WritePoint::close_when_written(const Filling& filling) {
  const bool full = filling.filled_blocks == slice_.bucket_blocks();
  if (full && filling.unwritten_batches == 0) slice_.buckets().close(filling.bucket, slice_.stream().current());
}

Task<Status> WritePoint::written(std::shared_ptr<Batch> batch) {
  while (!batch->done) co_await batch->waiters.wait();
  co_return batch->result;
}

}  // namespace cowfs::data
