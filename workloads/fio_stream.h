// The operations of one clone of a fio job, one after the other: a seed and the job in, operations out; no time and no I/O.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "workloads/block_choice.h"
#include "workloads/fio_job.h"

namespace cowbench::workloads {

struct FioOp {
  enum class Kind : cowfs::u8 { read, write, trim, fsync, fdatasync };
  Kind kind;
  u32 file = 0;
  u64 offset = 0;
  u64 bytes = 0;
  u64 number = 0;  // of a write: which of the clone's, from 1
  bool moves_data() const { return kind == Kind::read || kind == Kind::write; }
};

// A file that the clone uses, as it must be laid out.
struct FioFile {
  std::string name;  // relative
  u64 bytes = 0;     // its end; the job's region may begin later
};
std::vector<FioFile> fio_files(const FioJob& job, u32 clone);

// Where the region of a clone begins in its files.
u64 fio_region_begin(const FioJob& job, u32 clone);

// From which everything random of a clone follows. `round_seed` counts only when the job has no seed of its own.
u64 fio_clone_seed(const FioJob& job, u32 clone, u64 round_seed);

class FioStream {
 public:
  // `job` outlives the stream.
  FioStream(const FioJob& job, u32 clone, u64 round_seed);

  // Nothing: the job is done. A time-based job never is.
  std::optional<FioOp> next();
  u64 writes() const { return writes_; }  // so far

 private:
  struct File {
    u64 first_byte = 0, bytes = 0;  // the region
    u64 blocks = 0;
    std::array<u64, fio_kind_count> sequential{};  // where each direction goes on, within the region
    u64 drawn = 0;                                 // from the order of this pass
    u64 pass = 0;
    std::optional<RandomOrder> order;
    std::optional<BlockDistribution> distribution;
  };

  bool begin_loop();
  FioOp::Kind choose_kind();
  u32 choose_file();
  u64 choose_size(std::size_t kind);
  u64 choose_offset(File& file, std::size_t kind, u64 bytes);
  u64 random_block(File& file);

  const FioJob& job_;
  cowfs::Random random_;
  u64 order_seed_;
  std::vector<File> files_;
  u64 bytes_left_ = 0;  // of this loop
  u64 bytes_a_loop_ = 0;
  u64 operations_left_;
  u32 loops_left_;
  u32 turn_ = 0;  // of files
  u64 writes_ = 0;
  u64 synced_at_ = 0, data_synced_at_ = 0;  // the writes before the last of each
  u32 same_left_ = 0;     // of sequence_length
  u64 last_block_end_ = 0;
};

}  // namespace cowbench::workloads
