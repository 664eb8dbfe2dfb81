// Where the data of one slice and one lifetime goes: an open bucket, filled from front to back. Small writes leave together
// as one device write, when it is the write point's turn (see write_turns.h) or a buffer is full.
//
// A writer: place() blocks, copy data into `staging`, await written(), insert the extent key, then let the pin go. Or insert
// the key first, having said so with named(), and keep readers from the blocks until they are written: no epoch that began
// before a write ended is committed without it.
#pragma once
#include <memory>
#include <optional>

#include "engine/data/bucket_supply.h"
#include "engine/data/write_buffers.h"
#include "engine/data/write_turns.h"
#include "engine/slice/extent_ahead.h"
#include "engine/slice/slice.h"

namespace cowfs::data {

// A bucket that is being filled. Copygc may look for its data when it is full and all of it is written.
struct Filling {
  format::BucketId bucket;
  u32 generation = 0;
  u64 filled_blocks = 0;
  u32 unwritten_batches = 0;
};

struct Batch;

// Who waits for a device write, and has something to do in the moment in which it has ended: before anyone else runs, and
// together with the others of the same write. Awaited right after placing.
struct Arrival {
  static constexpr u32 approach_steps = slice::ExtentAhead::steps;
  void (*approach)(Arrival&, u32 step) = nullptr;  // before the first arrives, each step for all of the same write
  void (*arrived)(Arrival&) = nullptr;             // called when the write succeeded
  Batch* batch = nullptr;               // the awaiter's placement keeps it
  Arrival* next = nullptr;
  std::coroutine_handle<> waiter;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self);
  Status await_resume() const;
};

// One device write, shared by those whose data is in it.
struct Batch {
  std::byte* buffer = nullptr;
  format::Address address;
  u64 bytes = 0;
  u64 opened_ns = 0;
  std::shared_ptr<Filling> filling;
  space::BucketPin pin;
  Epoch epoch;         // the current one when it was opened
  bool named = false;  // keys of it are in already: without it history cannot go on
  bool done = false;
  Status result;
  runtime::WaitList waiters;
  Arrival* first_arrival = nullptr;
  Arrival* last_arrival = nullptr;

  void ended();

 private:
  void approach() const;
};

struct Placement {
  format::Address address;
  u32 blocks = 0;
  u32 generation = 0;
  std::byte* staging = nullptr;
  std::shared_ptr<Batch> batch;
  space::BucketPin pin;  // until the key is inserted
};

class WritePoint {
 public:
  WritePoint(Slice& slice, space::Stream stream, Watermark watermark, WriteBuffers& buffers, WriteTurns& turns,
             BucketSupply& supply, runtime::Gate& gate);
  ~WritePoint();

  // Room for up to `blocks` contiguous blocks, at least one. Errors: space_no_buckets, and what a commit may say.
  Task<Result<Placement>> place(u32 blocks);
  // The same without waiting; nothing when a bucket or a buffer has to be waited for.
  std::optional<Placement> try_place(u32 blocks);
  // What comes until as many let_go() leaves in full stripes: nobody waits for it, but a commit (hurry), and who lets go.
  void gather() { ++gathering_; }
  void let_go();
  // What comes next goes into another bucket, if the one that is being filled is beyond the end of the space.
  void leave_beyond();
  // A commit has begun, which may wait for what is open.
  void hurry();
  // The placement's key goes in now. A write that fails afterwards breaks the journal.
  static void named(const Placement& placement) { placement.batch->named = true; }
  // Resumes when the placement's data is with the device. Errors: the device's.
  static Task<Status> written(std::shared_ptr<Batch> batch);

  u64 bytes_written() const { return bytes_written_; }

 private:
  friend class WriteTurns;
  // While something is open: no commit that is under way waits for it, and the core has work that may add to it. A core that
  // is busy gains nothing from a device that is.
  bool expects_more() const;
  bool is_awaited() const { return open_->epoch < slice_.stream().current(); }
  bool is_for_commit() const { return open_->named || is_awaited(); }
  u64 open_bytes_of_device() const { return open_->bytes / stripe_blocks_; }
  void send();

  bool open_bucket();
  void leave_bucket();
  u64 batch_blocks_left() const;
  void fill_stripe();
  bool open_batch();
  void seal();
  void close_when_written(const Filling& filling);
  Task<void> write_later(std::shared_ptr<Batch> batch);
  Task<void> write(std::shared_ptr<Batch> batch);

  Slice& slice_;
  const space::Stream stream_;
  const Watermark watermark_;
  const u32 stripe_blocks_;
  WriteBuffers& buffers_;
  WriteTurns& turns_;
  BucketSupply& supply_;
  runtime::Gate& gate_;

  std::shared_ptr<Filling> filling_;
  std::shared_ptr<Batch> open_;  // being filled
  u32 gathering_ = 0;
  u32 in_flight_ = 0;
  u64 bytes_written_ = 0;
};

}  // namespace cowfs::data
