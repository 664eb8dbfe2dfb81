// What fio's options mean: jobs, from sections of settings. Meaning, defaults and limits are fio 3.33's HOWTO's; what a
// comparison of targets must decide itself is different, on purpose:
//   where     files lie on the target; directory= has no effect, and a filename= that leaves the target is refused
//   engine    each target is driven by its best interface; ioengine= only says whether iodepth counts (fio's synchronous
//             engines have a depth of 1)
//   layout    files are preallocated and written in full before the round, on every target alike
//   sequence  random numbers are ours: the same seed gives the same operations on every target, but not fio's own
//   several   block sizes with a random order are drawn with replacement (fio's map cannot cover them once each either)
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "workloads/fio_text.h"
#include "workloads/fio_values.h"
#include "workloads/steady_rule.h"
#include "workloads/verify_block.h"

namespace cowbench::workloads {

enum class FioKind : cowfs::u8 { read, write, trim };
constexpr std::size_t fio_kind_count = 3;

struct FioBlockSizes {
  struct Share {
    u64 bytes;
    u32 percent;
  };
  FioRange range{4096, 4096};
  std::vector<Share> split;  // empty: the range, in steps of its low end
  u64 smallest() const;
  u64 largest() const;
  bool fixed() const { return smallest() == largest(); }
};

struct FioDistribution {
  enum class Shape : cowfs::u8 { uniform, zipf, pareto, normal, zoned };
  struct Zone {
    u32 access_percent;
    u32 size_percent;
  };
  Shape shape = Shape::uniform;
  double parameter = 0;  // theta, power, or deviation in percent
  std::optional<double> center;
  std::vector<Zone> zones;
};

// verify=: blocks are written so that they can be recognised, and read back after the job.
struct FioVerify {
  VerifyForm form;
  bool fatal = false;       // the first block that is wrong ends the job
  bool at_end = true;       // do_verify
  bool only = false;        // nothing is written: what an earlier run left is read back
  u64 backlog = 0;          // also as the job runs, after so many writes; 0: not
  u64 backlog_batch = 0;    // so many of them; 0: all
  bool on() const { return form.method != VerifyMethod::none; }
  bool reads_back() const { return on() && (at_end || only); }  // when the job is done
};

enum class FioFileChoice : cowfs::u8 { roundrobin, random, sequential };
enum class FioRateProcess : cowfs::u8 { linear, poisson };

struct FioJob {
  std::string name;
  FioPlace place;
  bool stonewall = false;  // begins when all before it are done
  u32 clones = 1;          // numjobs

  std::array<bool, fio_kind_count> does{true, false, false};
  bool random = false;
  u32 read_percent = 50;  // of a mix
  u32 random_percent = 100;
  u32 sequence_length = 1;         // rw=randread:8: that many before a new offset
  std::int64_t sequence_step = 0;  // rw=write:4k: skipped after each operation; negative goes backwards
  bool repeat_offset = false;      // rw_sequencer=identical
  std::array<FioBlockSizes, fio_kind_count> block_sizes;
  bool unaligned_sizes = false;
  u64 block_align = 0;  // 0: the smallest block size
  FioDistribution distribution;
  bool random_map = true;  // every block once before any again
  std::optional<u64> seed;  // the same in every round; absent: the round's

  FioAmount size, io_size;  // io_size 0: as size
  u64 file_bytes = 0;       // filesize=; 0: size / files
  std::vector<std::string> file_names;  // filename=, shared by clones; empty: one's own
  u32 files = 1;
  FioFileChoice file_choice = FioFileChoice::roundrobin;
  FioAmount offset, offset_increment;
  u64 operations_max = 0;  // number_ios; 0: no limit
  u32 loops = 1;

  u32 depth = 1;
  bool direct = false;
  bool sync_each = false, data_sync_each = false;  // sync=sync, dsync
  u64 fsync_every = 0, fdatasync_every = 0;        // writes
  bool fsync_at_end = false;
  bool zero_buffers = false, refill_buffers = false;
  FioVerify verify;

  u64 runtime_ns = 0;  // 0: until done
  bool time_based = false;
  u64 ramp_ns = 0;
  SteadyRule steady;  // the job ends when it holds
  u64 start_delay_ns = 0;
  std::array<u64, fio_kind_count> rate_iops{};   // 0: as fast as it goes
  std::array<u64, fio_kind_count> rate_bytes{};  // a second
  FioRateProcess rate_process = FioRateProcess::linear;

  std::vector<FioSetting> settings;  // as given, globals first; what --showcmd prints
  std::vector<std::string> moot;     // "ioengine=mmap: why it has no effect here"

  bool writes() const { return does[1] || does[2]; }
};

// Every section but the global ones. Errors, each with its place: no job; an option that is unknown (the closest one is
// named) or that this program does not honour (why); a value that is none; a job without size; sizes that do not fit.
FioResult<std::vector<FioJob>> fio_jobs(const FioSections& sections);

// "fio --name=a --rw=randwrite ...": one line a job.
std::string fio_command_line(const FioJob& job);

}  // namespace cowbench::workloads
