// Reading back what a clone of a fio job with verify= has written: one block, and all of them after the job.
#pragma once
#include <fmt/format.h>

#include <cstring>
#include <string>
#include <utility>

#include "engine/runtime/task.h"
#include "harness/fio_calls.h"
#include "harness/fio_layout.h"
#include "harness/io_memory.h"
#include "harness/lanes.h"
#include "workloads/written_blocks.h"

namespace cowbench::harness {

// Reads a block into `into` and compares it; a block that is wrong is counted, and remarked upon. Yields why it is wrong,
// and nothing when it is not.
template <FioFiles Files, FioHost Host>
cowfs::runtime::Task<std::string> read_back(Files& files, Host& host, const FioClientOptions& options,
                                            const workloads::VerifyContent& content, workloads::WrittenBlock block,
                                            MutableByteSpan into) {
  const u64 began_ns = host.now_ns();
  const i64 result = co_await files.read(block.file, into, block.offset);
  host.record_latency(static_cast<size_t>(FioLatency::verify), host.now_ns() - began_ns);
  std::string wrong;
  if (result != static_cast<i64>(block.bytes)) {
    wrong = fmt::format("at byte {}: {} of {} bytes could be read back{}", block.offset, std::max(result, i64{0}), block.bytes,
                        result < 0 ? std::string(": ") + std::strerror(static_cast<int>(-result)) : "");
  } else if (const auto mismatch = content.check(block, into)) {
    wrong = mismatch->to_text();
  }
  if (wrong.empty()) co_return wrong;
  wrong = fmt::format("verify: job {}, clone {}, {}: {} (block of {} bytes at {}, write {})", options.job->name, options.clone,
                      fio_paths(*options.job, options.clone)[block.file].path, wrong, block.bytes, block.offset, block.number);
  host.mismatch(wrong);
  co_return wrong;
}

// After the job, on a target that is mounted anew.
template <FioFiles Files, FioHost Host>
class FioVerifier {
  template <typename T>
  using Task = cowfs::runtime::Task<T>;

 public:
  // As FioClient. Of the options, `seed` and `progress` are those of the round that wrote.
  FioVerifier(const FioClientOptions& options, Files& files, Host& host, const IoMemory& memory)
      : options_(options), files_(files), host_(host), memory_(memory),
        content_(workloads::verify_content(*options.job, options.clone, options.seed)) {}

  Task<void> run() {
    const FioJob& job = *options_.job;
    if (!job.verify.reads_back()) co_return;
    auto replayed = replay_writes(job, options_.clone, options_.seed, *options_.progress.begun, options_.progress.durable);
    blocks_ = std::move(replayed.blocks);
    if (replayed.doubtful > 0)
      host_.remark(fmt::format("verify: job {}, clone {}: {} blocks were written again after the last fsync that was answered, "
                               "and are not verified", job.name, options_.clone, replayed.doubtful));
    Lanes lanes(*this, job.depth);
    co_await lanes;
  }

  Task<void> run_lane(u32 lane) {
    while (!host_.stop_requested() && failure_.empty()) {
      const auto block = blocks_.take_first();
      if (!block) break;
      const MutableByteSpan into = memory_.buffer(lane).first(block->bytes);
      std::string wrong = co_await read_back(files_, host_, options_, content_, *block, into);
      host_.count(block->bytes, false);
      if (options_.job->verify.fatal && failure_.empty()) failure_ = std::move(wrong);
      co_await host_.turn();
    }
  }

  // The first block that is wrong, with verify_fatal.
  const std::string& failure() const { return failure_; }

 private:
  const FioClientOptions options_;
  Files& files_;
  Host& host_;
  const IoMemory& memory_;
  const workloads::VerifyContent content_;
  workloads::WrittenBlocks blocks_;
  std::string failure_;
};

}  // namespace cowbench::harness
