// The writes of one clone of a fio job with verify=, as they are under way. Writes that overlap are made in the order in which
// they were drawn, so that it is known which of them a block must hold: a lane waits for its turn (fio's serialize_overlap;
// writes that do not overlap never wait). One thread.
#pragma once
#include <coroutine>
#include <list>
#include <optional>

#include "harness/fio_progress.h"
#include "harness/target_calls.h"
#include "workloads/fio_stream.h"
#include "workloads/written_blocks.h"

namespace cowbench::harness {

class VerifiedWrites {
  struct Claim {
    workloads::WrittenBlock range;  // number 0: it is read back
    std::coroutine_handle<> waiting = {};
  };

 public:
  // `job` outlives it.
  VerifiedWrites(const workloads::FioJob& job, u32 clone, u64 round_seed, CloneProgress progress)
      : job_(job), content_(workloads::verify_content(job, clone, round_seed)), progress_(progress) {}

  // A write was drawn, and will be made. In the order of draws.
  void draw(const workloads::FioOp& write);
  // Ready when what was drawn before and overlaps is done.
  struct Turn {
    VerifiedWrites& writes;
    Claim& claim;
    bool await_ready() const { return writes.is_first(claim); }
    void await_suspend(std::coroutine_handle<> lane) const { claim.waiting = lane; }
    void await_resume() const noexcept {}
  };
  Turn turn(const workloads::FioOp& write);
  void fill(const workloads::FioOp& write, u64 time_ns, MutableByteSpan into) const;
  // It was made, or failed.
  void done(const workloads::FioOp& write, bool made);

  // Every write up to this number is done. To be asked before an fsync, and given to synced() after it.
  u64 complete() const;
  void synced(u32 file, u64 complete);

  bool backlog_is_due() const { return batch_left_ > 0; }
  // Of the backlog, what is to be read back now, if anything is; nobody writes there until read_back().
  std::optional<workloads::WrittenBlock> next_of_backlog();
  void read_back(const workloads::WrittenBlock& block);

  const workloads::VerifyContent& content() const { return content_; }

 private:
  std::list<Claim>::iterator claim_of(const workloads::FioOp& write);
  bool is_first(const Claim& claim) const;
  void release(std::list<Claim>::iterator claim);

  const workloads::FioJob& job_;
  const workloads::VerifyContent content_;
  const CloneProgress progress_;
  std::list<Claim> claims_;  // in the order of draws, one a lane at most
  u64 drawn_ = 0;
  workloads::WrittenBlocks backlog_;
  u64 backlog_writes_ = 0;  // since it was last read back
  u64 batch_left_ = 0;
};

}  // namespace cowbench::harness
