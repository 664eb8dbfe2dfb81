// How far the clones of a fio load with verify= have come: which writes were begun, and which an fsync has covered. In
// memory that all clients share, or in a file mapped so: that holds what was stored when its process is killed, and costs the
// jobs no system call. (It is not synced: after a loss of power it may be older than the target.)
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/outcome.h"
#include "workloads/fio_job.h"

namespace cowbench::harness {

using cowfs::u32;
using cowfs::u64;

// Of one clone, which alone writes it; plain stores of words.
struct CloneProgress {
  u64* begun = nullptr;     // the last write that may have reached the target
  std::span<u64> durable;   // of each file: all of the clone's writes to it up to this one are on stable storage
};

class FioProgress {
 public:
  // For a round that begins. Failure failed: no memory.
  static Outcome<std::unique_ptr<FioProgress>> create(const std::vector<workloads::FioJob>& jobs, u64 round_seed);
  // The same, kept in `file`, which is made. Failures failed: the system call's, also when it is there.
  static Outcome<std::unique_ptr<FioProgress>> keep(const std::string& file, const std::vector<workloads::FioJob>& jobs,
                                                    u64 round_seed);
  // What an earlier process has kept. Failures request: it is of other jobs, or damaged; failed: the system call's.
  static Outcome<std::unique_ptr<FioProgress>> open(const std::string& file, const std::vector<workloads::FioJob>& jobs);
  ~FioProgress();
  FioProgress(const FioProgress&) = delete;
  FioProgress& operator=(const FioProgress&) = delete;

  u64 round_seed() const;
  // By the number of its client: all clones of the first job, then those of the next.
  CloneProgress clone(u32 client) const;
  // The clients are done and the target is synced: all that was begun is durable.
  void settle();

 private:
  FioProgress() = default;
  static std::unique_ptr<FioProgress> shape(const std::vector<workloads::FioJob>& jobs);
  Action map(int descriptor);
  bool is_plausible() const;

  std::vector<u64> first_word_;  // of each clone, and the end
  u64 jobs_hash_ = 0;
  u64* words_ = nullptr;
};

}  // namespace cowbench::harness
