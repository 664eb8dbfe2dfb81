// One clone of a fio job: as many operations in flight as its depth, on any target. Each place in the queue is a coroutine
// (a lane) that draws the next operation of the clone's one stream, waits for the target, records, and draws again.
//
// Latency: service time is from handing the operation to the target to its answer (fio's lat; submission is part of it).
// With a rate there is also the response time, from when the operation was due: what a client would have felt that does
// not slow down because the target does. An operation that is due while all lanes are busy begins late, and counts from
// when it was due.
#pragma once
#include <fmt/format.h>

#include <cmath>
#include <concepts>
#include <coroutine>
#include <cstring>
#include <string>

#include "engine/runtime/task.h"
#include "harness/io_memory.h"
#include "harness/ready_task.h"
#include "harness/round_phases.h"
#include "harness/target_calls.h"
#include "workloads/fio_stream.h"
#include "workloads/payload.h"

namespace cowbench::harness {

using workloads::FioJob;
using workloads::FioOp;

// What latencies are recorded of; the order of tables.
enum class FioLatency : u8 { read, write, trim, sync, read_response, write_response, trim_response };
constexpr size_t fio_latency_kinds = 7;
static_assert(fio_latency_kinds <= latency_kinds_max);
std::string_view name(FioLatency kind);

// Open files by their index; each call yields what a system call returns.
template <typename Files>
concept FioFiles = requires(Files& files, u32 file, MutableByteSpan into, ByteSpan from, u64 offset, u64 bytes, bool data_only) {
  { files.read(file, into, offset) } -> CallResult;
  { files.write(file, from, offset) } -> CallResult;
  { files.trim(file, offset, bytes) } -> CallResult;
  { files.sync(file, data_only) } -> CallResult;
};

// The clock, when to stop, and where results go; sleep_until() and turn() are awaited by lanes.
template <typename Host>
concept FioHost = requires(Host& host, u64 ns, size_t kind) {
  { host.now_ns() } -> std::convertible_to<u64>;
  { host.stop_requested() } -> std::convertible_to<bool>;
  { host.sleep_until(ns) } -> AwaitableVoid;
  { host.turn() } -> AwaitableVoid;
  host.count(ns, true);
  host.record_latency(kind, ns);
};

struct FioClientOptions {
  const FioJob* job = nullptr;  // outlives the client
  u32 clone = 0;
  u64 seed = 0;
  u64 runtime_ns = 0;  // after which this clone stops although the round goes on; 0: with the round
};

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

template <typename Files, typename Host>
class FioClient {
  template <typename T>
  using Task = cowfs::runtime::Task<T>;

 public:
  // `files` and `host` outlive the client; `memory` has a buffer for each lane that holds the largest block.
  FioClient(const FioClientOptions& options, Files& files, Host& host, const IoMemory& memory)
      : options_(options), job_(*options.job), files_(files), host_(host), memory_(memory),
        stream_(job_, options.clone, options.seed), schedule_(job_, options.seed ^ options.clone) {
    if (!job_.zero_buffers) fill_payload(workloads::PayloadKind::random, options.seed, 0, memory.whole());
  }

  // Until the job is done, the host says stop, or an operation fails. At most once.
  Task<void> run() {
    const u64 now = host_.now_ns();
    if (job_.start_delay_ns > 0) co_await host_.sleep_until(now + job_.start_delay_ns);
    began_ns_ = host_.now_ns();
    schedule_.start(began_ns_);
    lanes_ = job_.depth + 1;  // one for ourselves, so that none can be the last one before all have begun
    for (u32 lane = 0; lane < job_.depth; ++lane) start_lane(*this, lane);
    const AllLanes all{*this};
    co_await all;
    if (!failure_.empty() || !job_.fsync_at_end) co_return;
    for (u32 file = 0; file < job_.files; ++file) {
      const i64 result = co_await files_.sync(file, false);
      if (result < 0) fail({FioOp::Kind::fsync, file}, result);
    }
  }

  // Why it ended early; empty when it did not.
  const std::string& failure() const { return failure_; }

 private:
  static internal::Started start_lane(FioClient& client, u32 lane) {
    co_await client.run_lane(lane);
    client.lane_ended();
  }
  struct AllLanes {
    FioClient& client;
    bool await_ready() const noexcept { return --client.lanes_ == 0; }
    void await_suspend(std::coroutine_handle<> self) const noexcept { client.waiting_ = self; }
    void await_resume() const noexcept {}
  };
  void lane_ended() {
    if (--lanes_ == 0) waiting_.resume();
  }

  bool stopping(u64 now_ns) {
    return host_.stop_requested() || !failure_.empty() ||
           (options_.runtime_ns > 0 && now_ns - began_ns_ >= options_.runtime_ns);
  }

  Task<void> run_lane(u32 lane) {
    const MutableByteSpan buffer = memory_.buffer(lane);
    u64 now = host_.now_ns();
    while (!stopping(now)) {
      const std::optional<FioOp> op = stream_.next();
      if (!op) break;
      const u64 due = schedule_.due_ns(*op);
      if (due > now) {
        co_await host_.sleep_until(due);
        now = host_.now_ns();
        if (stopping(now)) break;
      }
      const i64 result = co_await perform(*op, buffer);
      const u64 end = host_.now_ns();
      if (result != static_cast<i64>(op->moves_data() ? op->bytes : 0)) {
        fail(*op, result);
        break;
      }
      record(*op, now, due, end);
      now = end;
      co_await host_.turn();
    }
  }

  Task<i64> perform(const FioOp& op, MutableByteSpan buffer) {
    switch (op.kind) {
      case FioOp::Kind::read: co_return co_await files_.read(op.file, buffer.first(op.bytes), op.offset);
      case FioOp::Kind::write: {
        if (job_.refill_buffers)
          fill_payload(workloads::PayloadKind::random, ++refills_, op.offset, buffer.first(op.bytes));
        const ByteSpan from = buffer.first(op.bytes);
        co_return co_await files_.write(op.file, from, op.offset);
      }
      case FioOp::Kind::trim: co_return co_await files_.trim(op.file, op.offset, op.bytes);
      case FioOp::Kind::fsync: co_return co_await files_.sync(op.file, false);
      case FioOp::Kind::fdatasync: co_return co_await files_.sync(op.file, true);
    }
    co_return -1;
  }

  void record(const FioOp& op, u64 start_ns, u64 due_ns, u64 end_ns) {
    const size_t kind = std::min(static_cast<size_t>(op.kind), static_cast<size_t>(FioLatency::sync));
    host_.record_latency(kind, end_ns - start_ns);
    if (kind == static_cast<size_t>(FioLatency::sync)) return;
    host_.count(op.bytes, op.kind == FioOp::Kind::write);
    if (due_ns > 0) host_.record_latency(kind + static_cast<size_t>(FioLatency::read_response), end_ns - due_ns);
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
  u32 lanes_ = 0;
  std::coroutine_handle<> waiting_;
  std::string failure_;
};

}  // namespace cowbench::harness
