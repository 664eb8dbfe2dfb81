// One clone of a fio job: as many operations in flight as its depth, on any target. Each place in the queue is a coroutine
// (a lane) that draws the next operation of the clone's one stream, waits for the target, records, and draws again.
//
// Latency: service time is from handing the operation to the target to its answer (fio's lat; submission is part of it).
// With a rate there is also the response time, from when the operation was due: what a client would have felt that does
// not slow down because the target does. An operation that is due while all lanes are busy begins late, and counts from
// when it was due.
#pragma once
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "engine/runtime/task.h"
#include "harness/fio_read_back.h"
#include "harness/io_memory.h"
#include "harness/verified_writes.h"
#include "workloads/payload.h"

namespace cowbench::harness {

// When operations are due: one schedule for all lanes of a clone.
class FioSchedule {
 public:
  FioSchedule(const FioJob& job, u64 seed) : job_(job), random_(seed) {}
  void start(u64 now_ns) { next_ns_ = static_cast<double>(now_ns); }
  // 0: at once.
  u64 due_ns(const FioOp& op);

 private:
  const FioJob& job_;
  cowfs::Random random_;
  double next_ns_ = 0;
};

template <FioFiles Files, FioHost Host>
class FioClient {
  template <typename T>
  using Task = cowfs::runtime::Task<T>;

 public:
  // `files` and `host` outlive the client; `memory` has a buffer for each lane that holds the largest block.
  FioClient(const FioClientOptions& options, Files& files, Host& host, const IoMemory& memory)
      : options_(options), job_(*options.job), files_(files), host_(host), memory_(memory),
        stream_(job_, options.clone, options.seed), schedule_(job_, options.seed ^ options.clone) {
    if (!job_.zero_buffers) fill_payload(workloads::PayloadKind::random, options.seed, 0, memory.whole());
    if (job_.verify.on())
      verified_ = std::make_unique<VerifiedWrites>(job_, options.clone, options.seed, options.progress);
  }

  // Until the job is done, the host says stop, or an operation fails. At most once.
  Task<void> run() {
    const u64 now = host_.now_ns();
    if (job_.start_delay_ns > 0) co_await host_.sleep_until(now + job_.start_delay_ns);
    began_ns_ = host_.now_ns();
    schedule_.start(began_ns_);
    Lanes lanes(*this, job_.depth);
    co_await lanes;
    if (!failure_.empty() || !job_.fsync_at_end) co_return;
    for (u32 file = 0; file < job_.files; ++file) {
      const FioOp op{FioOp::Kind::fsync, file};
      const i64 result = co_await perform(op);
      if (result < 0) fail(op, result);
    }
  }

  Task<void> run_lane(u32 lane) {
    const MutableByteSpan buffer = memory_.buffer(lane);
    u64 now = host_.now_ns();
    while (!stopping(now)) {
      if (verified_ && verified_->backlog_is_due()) {
        co_await read_backlog(buffer);
        now = host_.now_ns();
      }
      const std::optional<FioOp> op = stream_.next();
      if (!op) break;
      const bool verified = verified_ && op->kind == FioOp::Kind::write;
      if (verified) verified_->draw(*op);
      const u64 due = schedule_.due_ns(*op);
      if (due > now) {
        co_await host_.sleep_until(due);
        now = host_.now_ns();
        if (stopping(now) && !verified) break;
      }
      if (verified) {
        co_await verified_->turn(*op);
        verified_->fill(*op, since_1970_ns(), buffer.first(op->bytes));
        now = host_.now_ns();
      }
      i64 result = 0;
      if (op->moves_data()) {
        result = co_await transfer(*op, buffer.first(op->bytes));
      } else {
        result = co_await perform(*op);
      }
      const u64 end = host_.now_ns();
      const bool made = result == static_cast<i64>(op->moves_data() ? op->bytes : 0);
      if (verified) verified_->done(*op, made);
      if (!made) {
        fail(*op, result);
        break;
      }
      record(*op, now, due, end);
      now = end;
      co_await host_.turn();
    }
  }

  // Why it ended early; empty when it did not.
  const std::string& failure() const { return failure_; }

 private:
  bool stopping(u64 now_ns) {
    return host_.stop_requested() || !failure_.empty() ||
           (options_.runtime_ns > 0 && now_ns - began_ns_ >= options_.runtime_ns);
  }

  static u64 since_1970_ns() {
    return static_cast<u64>(std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count());
  }

  // What verify_backlog wants read back before the next operation.
  Task<void> read_backlog(MutableByteSpan buffer) {
    while (const auto block = verified_->next_of_backlog()) {
      const MutableByteSpan into = buffer.first(block->bytes);
      std::string wrong = co_await read_back(files_, host_, options_, verified_->content(), *block, into);
      verified_->read_back(*block);
      if (job_.verify.fatal && failure_.empty()) failure_ = std::move(wrong);
    }
  }

  // A read or a write: what the target answers with, without a coroutine of its own.
  auto transfer(const FioOp& op, MutableByteSpan buffer) {
    if (op.kind == FioOp::Kind::read) return files_.read(op.file, buffer, op.offset);
    if (job_.refill_buffers && !verified_) fill_payload(workloads::PayloadKind::random, ++refills_, op.offset, buffer);
    return files_.write(op.file, buffer, op.offset);
  }

  Task<i64> perform(const FioOp& op) {
    if (op.kind == FioOp::Kind::trim) co_return co_await files_.trim(op.file, op.offset, op.bytes);
    const u64 complete = verified_ ? verified_->complete() : 0;
    const i64 result = co_await files_.sync(op.file, op.kind == FioOp::Kind::fdatasync);
    if (verified_ && result == 0) verified_->synced(op.file, complete);
    co_return result;
  }

  void record(const FioOp& op, u64 start_ns, u64 due_ns, u64 end_ns) {
    const size_t kind = std::min(static_cast<size_t>(op.kind), static_cast<size_t>(FioLatency::sync));
    host_.record_latency(kind, end_ns - start_ns);
    if (kind == static_cast<size_t>(FioLatency::sync)) return;
    host_.count(op.bytes, op.kind == FioOp::Kind::write);
    if (due_ns > 0) host_.record_response(kind + static_cast<size_t>(FioLatency::read_response), end_ns - due_ns);
  }

  void fail(const FioOp& op, i64 result) {
    static constexpr const char* verbs[] = {"read", "write", "trim", "fsync", "fdatasync"};
    if (!failure_.empty()) return;
    failure_ = fmt::format("job {}, clone {}: {} of {} bytes at {} of file {}: {}", job_.name, options_.clone,
                           verbs[static_cast<size_t>(op.kind)], op.bytes, op.offset, op.file,
                           result < 0 ? std::strerror(static_cast<int>(-result)) : fmt::format("{} bytes moved", result));
  }

  const FioClientOptions options_;
  const FioJob& job_;
  Files& files_;
  Host& host_;
  const IoMemory& memory_;
  workloads::FioStream stream_;
  FioSchedule schedule_;
  u64 began_ns_ = 0;
  u64 refills_ = 0;
  std::unique_ptr<VerifiedWrites> verified_;  // of a job with verify=
  std::string failure_;
};

}  // namespace cowbench::harness
